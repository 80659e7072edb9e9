"""Clients on plain blocking sockets: only a reply that is right to the last byte counts.

Locust patches the socket module, and a client that blocks is then a greenlet that waits. Nothing
here knows of that: without the patch, the same code blocks its thread.
"""

import functools
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from typing import NamedTuple, Self
from urllib.parse import urlsplit

TIMEOUT_S = 30.0
"""Longest silence a client puts up with. A server that forks 1,000 times first needs a few."""

HEAD_BYTES_MAX = 16 * 1024
"""Longest head of a reply, as the servers' own limit for a request's."""

_RECV_BYTES = 64 * 1024


class ReplyError(Exception):
    """A request went wrong; the subclass says how, and its connection is of no more use."""


class RefusedError(ReplyError):
    """Nobody listens there."""


class NotConnectedError(ReplyError):
    """No connection came about: an unknown host, or no port or descriptor left on our side."""


class TimedOutError(ReplyError):
    """The server was silent for too long."""


class ResetError(ReplyError):
    """The server broke the connection off."""


class TruncatedError(ReplyError):
    """The server stopped sending before the reply was complete."""


class LeftOverError(ReplyError):
    """More came than the reply that was asked for."""


class WrongHeadError(ReplyError):
    """The reply does not begin as HTTP/1.1 says, or does not say how long it is."""


class WrongStatusError(ReplyError):
    """The reply has a status other than 200."""


class WrongContentError(ReplyError):
    """The reply has the right form and the wrong bytes."""


class Address(NamedTuple):
    """Where a server listens."""

    host: str
    port: int


@functools.cache
def address_of(text: str, default_port: int) -> Address:
    """Return the address in ``http://HOST:PORT``, ``HOST:PORT`` or ``HOST``.

    Raises:
        NotConnectedError: It is none of these.
    """
    try:
        parts = urlsplit(text if "//" in text else f"//{text}")
        host, port = parts.hostname, parts.port
    except ValueError:  # a port that is no number, a bracket that is never closed
        host, port = None, None
    if host is None or parts.scheme not in ("", "http"):
        raise NotConnectedError(f"expected http://HOST:PORT or HOST:PORT, got {text!r}")
    return Address(host, default_port if port is None else port)


class Client:
    """A connection, made at once; close it, or use it in a ``with`` block.

    Raises:
        ReplyError: From every method, for all that can go wrong between here and the server.
    """

    def __init__(self, address: Address, timeout_s: float = TIMEOUT_S) -> None:
        with _errors_named(connecting=True):
            family, sockaddr = _resolve(*address)
            self._sock = socket.socket(family, socket.SOCK_STREAM)
            try:
                self._sock.settimeout(timeout_s)
                self._sock.connect(sockaddr)
                self._sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            except BaseException:  # a user that is stopped while it connects, too
                self._sock.close()
                raise

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the connection; once is enough, twice does no harm."""
        self._sock.close()

    def _receive(self, received: bytes, wanted: str) -> bytes:
        """Return what has been received and the next bytes; there must be some."""
        data = self._sock.recv(_RECV_BYTES)
        if not data:
            raise TruncatedError(
                f"the server closed after {len(received)} bytes, expected {wanted}"
            )
        return received + data


class EchoClient(Client):
    """Speaks the echo protocol (RFC 862)."""

    def exchange(self, payload: bytes) -> int:
        """Send bytes, expect the same ones back and no more; return how many came back.

        Args:
            payload: All of it is sent before anything is read, so a few KiB at the most.
        """
        with _errors_named():
            self._sock.sendall(payload)
            reply = b""
            while len(reply) < len(payload):
                reply = self._receive(reply, f"{len(payload)} bytes")
        if len(reply) > len(payload):
            raise LeftOverError(f"{len(reply)} bytes came back, expected {len(payload)}")
        if reply != payload:
            raise WrongContentError(f"other bytes came back than the {len(payload)} sent")
        return len(reply)


class HTTPClient(Client):
    """Speaks HTTP/1.1, one request at a time, on a connection that is kept."""

    def __init__(self, address: Address, timeout_s: float = TIMEOUT_S) -> None:
        super().__init__(address, timeout_s)
        self._host = f"Host: {address.host}:{address.port}\r\n".encode("ascii")

    def get(self, target: str, expected: bytes | None) -> bytes:
        """Return the content of a resource.

        Args:
            target: The path, and the query if there is one.
            expected: The content that must come; None where it cannot be known in advance.
        """
        return self._exchange(
            b"GET %b HTTP/1.1\r\n%b\r\n" % (target.encode(), self._host), expected
        )

    def post(self, target: str, content: bytes, expected: bytes | None) -> bytes:
        """Send content and return the reply's; else as ``get``."""
        head = b"POST %b HTTP/1.1\r\n%bContent-Length: %d\r\n\r\n"
        return self._exchange(
            head % (target.encode(), self._host, len(content)) + content, expected
        )

    def get_and_close(self, target: str, expected: bytes) -> bytes:
        """Return the content of a resource, asked for and sent as this connection's last."""
        head = b"GET %b HTTP/1.1\r\n%bConnection: close\r\n\r\n" % (target.encode(), self._host)
        content = self._exchange(head, expected)
        with _errors_named():
            rest = self._sock.recv(_RECV_BYTES)
        if rest:
            raise LeftOverError(f"{len(rest)} bytes or more came after the last reply")
        self.close()
        return content

    def _exchange(self, request: bytes, expected: bytes | None) -> bytes:
        with _errors_named():
            self._sock.sendall(request)
            reply, head_bytes = b"", -1
            while head_bytes < 0:
                if len(reply) > HEAD_BYTES_MAX:
                    raise WrongHeadError(f"{len(reply)} bytes came, expected the end of the head")
                reply = self._receive(reply, "a reply's head")
                head_bytes = reply.find(b"\r\n\r\n")
            status, content_bytes = _parse(reply[:head_bytes])
            reply_bytes = head_bytes + 4 + content_bytes
            while len(reply) < reply_bytes:
                reply = self._receive(reply, f"{reply_bytes} bytes")
        # What is sent even later than this comes in front of the next reply, and is found there.
        if len(reply) > reply_bytes:
            raise LeftOverError(f"{len(reply)} bytes came, expected {reply_bytes}")
        content = reply[head_bytes + 4 :]
        if status != 200:
            raise WrongStatusError(f"status {status}, expected 200: {content[:80]!r}")
        if expected is not None and content != expected:
            raise WrongContentError(f"content {content[:80]!r}, expected {expected[:80]!r}")
        return content


def _parse(head: bytes) -> tuple[int, int]:
    """Return the status and the length of the content that a head announces."""
    status_line, *fields = head.split(b"\r\n")
    version, _, rest = status_line.partition(b" ")
    status = rest.partition(b" ")[0]
    if version != b"HTTP/1.1" or len(status) != 3 or not status.isdigit():
        raise WrongHeadError(f"status line {status_line[:80]!r}, expected one of HTTP/1.1")
    lengths = [
        value.strip()
        for name, _, value in (field.partition(b":") for field in fields)
        if name.lower() == b"content-length"
    ]
    if len(lengths) != 1 or not lengths[0].isdigit():
        raise WrongHeadError(f"Content-Length {lengths}, expected exactly one, and a number")
    return int(status), int(lengths[0])


@functools.cache
def _resolve(host: str, port: int) -> tuple[int, tuple[str, int]]:
    """Return the family and address of a server: looked up once, not for each connection."""
    family, _, _, _, sockaddr = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
    return family, sockaddr[:2]  # type: ignore[return-value]


@contextmanager
def _errors_named(connecting: bool = False) -> Iterator[None]:
    """Turn what the kernel says into the error of that name."""
    try:
        yield
    except ConnectionRefusedError as error:  # the address is right or wrong, but nobody is there
        raise RefusedError(f"nobody listens there: {error.strerror}") from error
    except TimeoutError as error:  # the socket's own, or the kernel's while connecting
        raise TimedOutError("the server was silent for too long") from error
    except OSError as error:  # a reset, or, before there is a connection, whatever prevented it
        raise (NotConnectedError if connecting else ResetError)(str(error)) from error
