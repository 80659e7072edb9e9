"""What is sent, and whether what comes back is right to the last byte. No socket, no clock.

A reply that equals, byte for byte, one to the same request that was checked before is right too:
that comparison takes 0.05 µs, a parser 5 µs. Only the Date makes a server's next reply differ.
"""

from typing import ClassVar, Protocol

import httptools

from loadtest.address import Address
from loadtest.errors import (
    LeftOverError,
    ReplyError,
    TruncatedError,
    WrongContentError,
    WrongHeadError,
    WrongStatusError,
)

HEAD_BYTES_MAX = 16 * 1024
"""Longest head of a reply, as the servers' own limit for a request's."""


class Reply(Protocol):
    """A reply that is being received."""

    def feed(self, data: bytes) -> bool:
        """Take the next bytes, ``b""`` for the end of the stream; return whether it is complete.

        Raises:
            ReplyError: It is wrong, or more than itself.
        """


class Exchange(Protocol):
    """A request, and how its reply is checked.

    Attributes:
        request: The bytes to send.
        known: A whole reply that is right; None while none is known.
        closes: Whether the server has to close the connection after its reply.
        learns: Whether it takes note of whole replies that were right.
    """

    request: bytes
    known: bytes | None
    closes: bool
    learns: bool

    def new_reply(self) -> Reply:
        """Return what takes the reply."""

    def learn(self, received: bytes) -> None:
        """Take note that these bytes were a right reply, whole."""


class Asks(Protocol):
    """Who says what to ask: a Locust user.

    Attributes:
        quiet: Whether it only holds its connection once that has had a first reply.
        read_rate_bytes_per_s: How fast replies are read; None: as they come.
    """

    @property
    def quiet(self) -> bool: ...  # noqa: D102

    @property
    def read_rate_bytes_per_s(self) -> float | None: ...  # noqa: D102

    def address(self) -> Address:
        """Return where the server is."""

    def next_exchange(self) -> Exchange:
        """Return what to ask now."""


class EchoExchange:
    """The echo protocol (RFC 862): the same bytes back."""

    closes = learns = False

    def __init__(self, payload: bytes) -> None:
        self.request = payload
        self.known: bytes | None = payload

    def new_reply(self) -> Reply:
        """Return what takes the bytes that come back."""
        return EchoReply(self.request)

    def learn(self, received: bytes) -> None:
        """Nothing: it is known before it is sent."""


class EchoReply:
    """Bytes that have to be the ones that were sent."""

    def __init__(self, payload: bytes) -> None:
        self._payload = payload
        self._received = 0

    def feed(self, data: bytes) -> bool:
        """Take the next bytes; return whether all have come."""
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
    """A request of HTTP/1.1 and its reply, of status 200.

    Args:
        address: Of the server, for the Host field.
        target: The path, and the query if there is one.
        method: Such as "GET".
        content: What is sent with it.
        expected: The content that must come; None where it cannot be known in advance.
        closes: Ask the server to close afterwards.
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
    ) -> None:
        host = f"[{address.host}]" if ":" in address.host else address.host
        lines = [f"{method} {target} HTTP/1.1", f"Host: {host}:{address.port}"]
        if content or method in ("POST", "PUT"):
            lines.append(f"Content-Length: {len(content)}")
        if closes:
            lines.append("Connection: close")
        self.request = "\r\n".join([*lines, "", ""]).encode("ascii") + content
        self.known: bytes | None = None  # not b"", which is what recv() returns at the end
        self.closes = closes
        self.expected = expected

    def new_reply(self) -> "HTTPReply":
        """Return what takes the reply."""
        return HTTPReply(self.expected)

    def learn(self, received: bytes) -> None:
        """Take note of a whole reply that is right."""
        self.known = received


class HTTPReply:
    """A reply of HTTP/1.1 (RFC 9112) that says how long it is.

    Attributes:
        content: What came, where what was to come is not known; else b"".
    """

    _FRAMING: ClassVar = (b"content-length", b"transfer-encoding")

    def __init__(self, expected: bytes | None) -> None:
        self.content = b""
        self._expected = expected
        self._parser = httptools.HttpResponseParser(self)
        self._received = self._content_bytes = 0
        self._in_head, self._complete, self._framed = True, False, False
        self._begin: bytes = b""
        self._pieces: list[bytes] = []
        self._wrong: ReplyError | None = None

    def feed(self, data: bytes) -> bool:
        """Take the next bytes; return whether the reply is complete."""
        if not data:
            raise TruncatedError(
                f"the server closed after {self._received} bytes, expected the rest of the reply"
            )
        if self._complete:
            raise LeftOverError(f"{len(data)} bytes came after the reply")
        self._received += len(data)
        try:
            if self._in_head:
                self._begin = (self._begin + data)[:80]
            self._parser.feed_data(data)
        except httptools.HttpParserError as error:  # also what the callbacks below raise
            raise self._named(error) from error
        if self._in_head and self._received > HEAD_BYTES_MAX:
            raise WrongHeadError(f"{self._received} bytes came, expected the end of the head")
        if not self._complete:
            return False
        return self._judged()

    def _named(self, error: httptools.HttpParserError) -> ReplyError:
        if self._wrong is not None:
            return self._wrong
        if self._complete:  # the parser begins with a next reply, and that is none
            return LeftOverError(f"more came after the {self._content_bytes} bytes of the content")
        return WrongHeadError(f"{self._begin!r}, expected a reply of HTTP/1.1: {error}")

    def _judged(self) -> bool:
        status = self._parser.get_status_code()
        self.content = b"".join(self._pieces)
        if status != 200:
            raise WrongStatusError(f"status {status}, expected 200: {self.content[:80]!r}")
        if self._expected is not None and self._content_bytes != len(self._expected):
            raise WrongContentError(
                f"content of {self._content_bytes} bytes, expected {len(self._expected)}"
            )
        return True

    def _fail(self, error: ReplyError) -> None:
        self._wrong = self._wrong or error
        raise error

    # What the parser calls.

    def on_message_begin(self) -> None:
        """Take note if this is a second reply."""
        if self._complete:
            self._fail(LeftOverError("a second reply came to one request"))

    def on_header(self, name: bytes, value: bytes) -> None:
        """Take note of a field that says how long the content is."""
        self._framed = self._framed or name.lower() in self._FRAMING

    def on_headers_complete(self) -> None:
        """Judge the head."""
        self._in_head = False
        if self._parser.get_http_version() not in ("1.1", "1.0"):
            self._fail(WrongHeadError(f"status line {self._begin!r}, expected one of HTTP/1.1"))
        if not self._framed:
            self._fail(WrongHeadError("no Content-Length, expected exactly one, or chunks"))

    def on_body(self, data: bytes) -> None:
        """Compare the content, or collect it."""
        start, self._content_bytes = self._content_bytes, self._content_bytes + len(data)
        if self._expected is None or self._parser.get_status_code() != 200:
            self._pieces.append(data)
        elif not self._expected.startswith(data, start):
            expected = self._expected[start : start + 80]
            self._fail(WrongContentError(f"content {data[:80]!r}, expected {expected!r}"))

    def on_message_complete(self) -> None:
        """Take note of the end."""
        self._complete = True
