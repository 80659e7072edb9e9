"""What h11 makes of a stream of requests, and the bytes that it takes each of them from."""

import re
from dataclasses import dataclass, field
from urllib.parse import unquote_to_bytes

import h11


@dataclass(frozen=True)
class Taken:
    """A request that reached its handler, or should have."""

    method: bytes
    path: bytes
    query: bytes
    content: bytes


@dataclass
class Message:
    """A request that h11 takes, and the bytes that it takes it from."""

    request: h11.Request
    head: bytes
    empty_lines: int  # before it
    content: bytes = b""
    chunk_lines: list[bytes] = field(default_factory=list)  # each with its CRLF
    trailer_section: bytes = b""
    end: int = 0  # in the stream

    @property
    def framing(self) -> bytes:
        """All of the message but its content."""
        return self.head + b"".join(self.chunk_lines) + self.trailer_section

    @property
    def method(self) -> bytes:
        return self.request.method

    @property
    def target(self) -> bytes:
        return self.request.target

    @property
    def fields(self) -> list[tuple[bytes, bytes]]:
        """Names in lower case, and values, as they were sent: h11 merges and drops some."""
        return _fields(self.head.partition(b"\n")[2])

    @property
    def trailers(self) -> list[tuple[bytes, bytes]]:
        return _fields(self.trailer_section)

    @property
    def has_body(self) -> bool:
        return bool(self.content or self.chunk_lines)

    def values(self, name: bytes) -> list[bytes]:
        return [value.rstrip(b" \t") for other, value in self.fields if other == name]

    def tokens(self, name: bytes) -> list[bytes]:
        return [token.strip(b" \t").lower() for v in self.values(name) for token in v.split(b",")]

    @property
    def form(self) -> str:
        """The form of the target (RFC 9112 section 3.2)."""
        if self.target == b"*":
            return "asterisk"
        if self.target[:1] == b"/":
            return "origin"
        if re.match(rb"[A-Za-z][A-Za-z0-9+.-]*://", self.target):
            return "absolute"
        return "authority, or none at all"

    def split_target(self) -> tuple[bytes, bytes, bytes, bytes]:
        """Return scheme, authority, path and query, the path still encoded."""
        if self.target[:1] == b"/":
            path, _, query = self.target.partition(b"?")
            return b"", b"", path, query
        match = _URI.fullmatch(self.target)
        assert match is not None
        scheme, authority, path, query = match.groups(b"")
        return scheme, authority, path, query

    def meaning(self) -> Taken:
        """Return what a handler must be given, read by the letter of RFC 3986."""
        _, _, path, query = self.split_target()
        if not path:  # RFC 9112 section 3.2.4
            path = b"*" if self.method == b"OPTIONS" and not query else b"/"
        pieces = re.split(rb"(%2[Ff])", path)  # an encoded slash is no slash: it stays encoded
        pieces[::2] = map(unquote_to_bytes, pieces[::2])
        return Taken(self.method, b"".join(pieces), query, self.content)


# RFC 3986 appendix B: it takes any text apart, right or wrong. There is no fragment to a target.
_URI = re.compile(rb"(?:([^:/?]+):)?(?://([^/?]*))?([^?]*)(?:\?(.*))?")


def _fields(section: bytes) -> list[tuple[bytes, bytes]]:
    lines = [line.partition(b":") for line in section.split(b"\r\n") if line]
    return [(name.lower(), value.lstrip(b" \t")) for name, _, value in lines]


def h11_verdict(stream: bytes) -> tuple[list[Message], str]:
    """Return the requests that h11 takes, and what it has against the rest, or "".

    Each one is read by a connection of its own. So two things are possible that h11 itself does not
    do, and that we must or may do:

    - Empty lines before a request line are passed over (RFC 9112 section 2.2: SHOULD).
    - An HTTP/1.0 connection lives on when ``keep-alive`` asks for it (RFC 9112 section 9.3: may).
    """
    messages: list[Message] = []
    rest = stream
    while True:
        begun = len(rest)
        while rest.startswith(b"\r\n"):
            rest = rest[2:]
        if not rest:
            return messages, ""
        try:
            message, rest, persistent = _read_one(rest, (begun - len(rest)) // 2)
        except h11.RemoteProtocolError as error:
            return messages, str(error)
        message.end = len(stream) - len(rest)
        messages.append(message)
        if not persistent:
            return messages, ""


def _read_one(stream: bytes, empty_lines: int) -> tuple[Message, bytes, bool]:
    """Return the first message, what follows it, and whether that may be another one."""
    connection = h11.Connection(h11.SERVER, max_incomplete_event_size=len(stream))
    connection.receive_data(stream)
    connection.receive_data(b"")
    rest = stream
    message: Message | None = None
    while True:
        event = connection.next_event()
        before, rest = rest, connection.trailing_data[0]
        consumed = before[: len(before) - len(rest)]
        if isinstance(event, h11.Request):
            message = Message(event, consumed, empty_lines)
            continue
        assert message is not None
        if isinstance(event, h11.Data):
            message.content += event.data
            line = consumed[: -len(event.data)]
        else:
            assert isinstance(event, h11.EndOfMessage)
            line, crlf, message.trailer_section = consumed.removeprefix(b"\r\n").partition(b"\r\n")
            line += crlf
        if line:
            message.chunk_lines.append(line.removeprefix(b"\r\n"))  # it ends the chunk before
        if isinstance(event, h11.EndOfMessage):
            break
    status = 501 if message.method == b"CONNECT" else 200  # or h11 would go on as a tunnel
    connection.send(h11.Response(status_code=status, headers=[("Content-Length", "0")]))
    connection.send(h11.EndOfMessage())
    persistent = connection.our_state is h11.DONE
    if message.request.http_version == b"1.0":
        tokens = message.tokens(b"connection")
        persistent = b"keep-alive" in tokens and b"close" not in tokens
    return message, rest, persistent
