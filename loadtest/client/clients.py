"""A client on a plain blocking socket: one request at a time, its reply right to the last byte.

Locust patches the socket module: a client that blocks is then a waiting greenlet. Without the patch
the same code blocks its thread.
"""

import socket
import time
from collections.abc import Sequence
from typing import Self

from loadtest.client.address import Address, Resolved, resolve
from loadtest.client.replies import HTTPExchange
from loadtest.measure.errors import (
    LeftOverError,
    TimedOutError,
    WrongContentError,
    more_telling,
    of_the_kernel,
)

TIMEOUT_S = 30.0
"""Longest silence a client accepts, and longest time for a whole reply. A server that forks 1,000
times first needs a few seconds."""

REPLY_BYTES_MAX = 16 * 1024 * 1024
"""Longest reply, because it is kept in memory: a thousand times our own /metrics."""

_RECV_BYTES = 64 * 1024


class HTTPClient:
    """Connects at once and speaks HTTP/1.1; close it, or use it in a ``with`` block.

    Raises:
        ReplyError: From every method, for whatever goes wrong between here and the server.
    """

    def __init__(self, address: Address, timeout_s: float = TIMEOUT_S) -> None:
        self._address, self._timeout_s = address, timeout_s
        try:
            self._sock = _connected(resolve(address), timeout_s)
        except OSError as error:  # no connection, for whatever reason
            raise of_the_kernel(error, connecting=True) from error

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the connection; a second call does nothing."""
        self._sock.close()

    def get(self, target: str, expected: bytes | None) -> bytes:
        """Return the content of a resource.

        Args:
            target: The path, and the query if there is one.
            expected: The content that must come; None where it cannot be known in advance.
        """
        return self._exchange(
            HTTPExchange(self._address, target, expected=expected, keeps=expected is None)
        )

    def get_and_close(self, target: str, expected: bytes) -> bytes:
        """Return the content of a resource, requested as the last of this connection."""
        exchange = HTTPExchange(self._address, target, expected=expected, closes=True)
        content = self._exchange(exchange)
        try:
            rest = self._sock.recv(_RECV_BYTES)
        except OSError as error:  # a reset, or silence
            raise of_the_kernel(error, connecting=False) from error
        if rest:
            raise LeftOverError(f"{len(rest)} bytes or more came after the last reply")
        self.close()
        return content

    def _exchange(self, exchange: HTTPExchange) -> bytes:
        reply, received_bytes = exchange.new_reply(), 0
        give_up_s = time.monotonic() + self._timeout_s
        try:
            self._sock.sendall(exchange.request)
            # Bytes that come even later precede the next reply, which then is wrong.
            while not reply.feed(data := self._sock.recv(_RECV_BYTES)):
                received_bytes += len(data)
                if time.monotonic() > give_up_s:
                    raise TimedOutError(f"no complete reply within {self._timeout_s:g} s")
                if received_bytes > REPLY_BYTES_MAX:
                    raise WrongContentError(f"a reply of more than {REPLY_BYTES_MAX} bytes")
        except OSError as error:  # a reset, or silence
            raise of_the_kernel(error, connecting=False) from error
        return bytes(reply.content) if exchange.expected is None else exchange.expected


def _connected(addresses: Sequence[Resolved], timeout_s: float) -> socket.socket:
    """Return a connection to the first address that accepts one."""
    failure: OSError | None = None
    for family, sockaddr in addresses:
        sock: socket.socket | None = None
        try:
            sock = socket.socket(family, socket.SOCK_STREAM)
            sock.settimeout(timeout_s)
            sock.connect(sockaddr)
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        except BaseException as error:  # also a greenlet that is killed while it connects
            if sock is not None:
                sock.close()
            if not isinstance(error, OSError):
                raise
            failure = more_telling(failure, error)
        else:
            return sock
    assert failure is not None  # a name has at least one address
    raise failure
