"""Requests, and whether their replies are right to the last byte. No socket, no clock.

A reply that equals a checked reply to the same request, byte for byte, is right too: the comparison
takes 0.05 µs, a parser 5 µs. Only the Date makes a server's next reply differ.
"""

from collections.abc import Sequence
from typing import Protocol

from loadtest.client.address import Address
from loadtest.client.http_reply import HTTPReply
from loadtest.client.request import asks_to_close, head_of
from loadtest.measure.errors import LeftOverError, TruncatedError, WrongContentError

LEARNT_BYTES_MAX = 16 * 1024
"""Longer replies are checked piece by piece: joining them first would cost more."""

_IDEMPOTENT = frozenset(("GET", "HEAD", "OPTIONS", "TRACE", "PUT", "DELETE"))
"""RFC 9110 section 9.2.2: sent twice, they have the effect of one."""


class Reply(Protocol):
    """A reply while it comes.

    Attributes:
        stays: Whether its connection can take another request; known once the reply is complete.
    """

    stays: bool

    def feed(self, data: bytes) -> bool:
        """Take the next bytes, ``b""`` for the end of the stream; return whether it is complete.

        Raises:
            ReplyError: The reply is wrong, or more bytes came.
        """


class Exchange(Protocol):
    """A request, and the check of its reply.

    Attributes:
        request: The bytes to send.
        known: A complete reply that is right; None while none is known.
        closes: Whether the server has to close the connection after its reply.
        learns: Whether ``learn`` remembers complete replies that were right.
        repeatable: Whether the request may be sent again if the server ended a kept connection just
            then, with no byte of a reply (RFC 9112 section 9.3.1).
    """

    request: bytes
    known: bytes | None
    closes: bool
    learns: bool
    repeatable: bool

    def new_reply(self) -> Reply:
        """Return a reply that has not begun."""

    def learn(self, received: bytes) -> None:
        """Remember a complete reply that was right."""


class RequestSource(Protocol):
    """Where requests come from: a Locust user.

    Attributes:
        quiet: Whether the connection is only held after a first reply.
        read_rate_bytes_per_s: How fast replies are read; None: as they come.
    """

    @property
    def quiet(self) -> bool: ...  # noqa: D102

    @property
    def read_rate_bytes_per_s(self) -> float | None: ...  # noqa: D102

    def address(self) -> Address:
        """Return the server's address."""

    def next_exchange(self) -> Exchange:
        """Return the next request; called just before it is sent."""


class Reading:
    """Reads one reply; the exchange learns it if it is right and short.

    Attributes:
        reply_bytes: How many bytes have come.
        stays: Whether the connection can take another request; known once the reply is complete.
    """

    __slots__ = ("_exchange", "_pieces", "_reply", "reply_bytes", "stays")

    def __init__(self, exchange: Exchange) -> None:
        self._exchange, self._reply = exchange, exchange.new_reply()
        self._pieces: list[bytes] = []
        self.reply_bytes = 0
        self.stays = False

    def take(self, data: bytes) -> bool:
        """Take the next bytes, ``b""`` for the end of the stream; return whether it is complete.

        Raises:
            ReplyError: The reply is wrong, or more bytes came.
        """
        self.reply_bytes += len(data)
        learns = self._exchange.learns and self.reply_bytes <= LEARNT_BYTES_MAX
        if learns:
            self._pieces.append(data)
        else:
            self._pieces.clear()
        if not self._reply.feed(data):
            return False
        self.stays = self._reply.stays
        # A reply that ends its connection needs the parser, unless all of this exchange do.
        if learns and (self.stays or self._exchange.closes):
            self._exchange.learn(b"".join(self._pieces))
        return True


class EchoExchange:
    """The echo protocol (RFC 862): the same bytes back."""

    closes = learns = repeatable = False

    def __init__(self, payload: bytes) -> None:
        self.request = payload
        self.known: bytes | None = payload

    def new_reply(self) -> Reply:
        """Return the reply that is to come."""
        return EchoReply(self.request)

    def learn(self, received: bytes) -> None:
        """Do nothing: the reply is known before the request is sent."""


class EchoReply:
    """The bytes that were sent, on their way back."""

    stays = True

    def __init__(self, payload: bytes) -> None:
        self._payload = payload
        self._received = 0

    def feed(self, data: bytes) -> bool:
        """Take the next bytes; return whether all have come back."""
        expected = len(self._payload)
        if not data:
            raise TruncatedError(
                f"the server closed after {self._received} bytes, expected {expected} bytes"
            )
        start, self._received = self._received, self._received + len(data)
        if self._received > expected:
            raise LeftOverError(f"{self._received} bytes came back, expected {expected}")
        if not self._payload.startswith(data, start):
            raise WrongContentError(f"other bytes came back than the {expected} sent")
        return self._received == expected


class HTTPExchange:
    """A request of HTTP/1.1 and its reply.

    Args:
        address: Of the server, for the Host field.
        target: The path, and the query if there is one.
        method: Such as "GET".
        content: Of the request.
        expected: The right content of the reply; None where it cannot be known in advance.
        closes: Ask the server to close the connection afterwards.
        status: The right one.
        keeps: Whether to keep the reply's content.
        headers: Further fields, ``Name: value``; they replace ours of the same name.

    Raises:
        ValueError: The request cannot be sent; says what was expected.
    """

    learns = True

    def __init__(
        self,
        address: Address,
        target: str = "/",
        method: str = "GET",
        content: bytes = b"",
        expected: bytes | None = None,
        closes: bool = False,
        status: int = 200,
        keeps: bool = False,
        headers: Sequence[str] = (),
    ) -> None:
        more = []
        if content or method in ("POST", "PUT"):
            more.append(f"Content-Length: {len(content)}")
        if asks_to_close(headers):
            closes = True
        elif closes:
            more.append("Connection: close")
        self.request = head_of(method, target, address.field, headers, more) + content
        self.known: bytes | None = None  # not b"": recv() returns that at the end
        self.closes = closes
        self.expected = expected
        self.repeatable = method in _IDEMPOTENT
        self._method, self._status, self._keeps = method, status, keeps

    def new_reply(self) -> HTTPReply:
        """Return a reply that has not begun."""
        return HTTPReply(self._method, self._status, self.expected, self._keeps)

    def learn(self, received: bytes) -> None:
        """Remember a complete reply that was right."""
        self.known = received
