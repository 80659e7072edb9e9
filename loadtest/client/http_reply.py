"""A reply of HTTP/1.1 or HTTP/1.0, as real servers send it: checked piece by piece, not kept."""

import re

import httptools

from loadtest.measure.errors import (
    LeftOverError,
    ReplyError,
    TruncatedError,
    WrongContentError,
    WrongHeadError,
    WrongStatusError,
)

HEAD_BYTES_MAX = 16 * 1024
"""Longest head of a reply, as our servers' limit for a request's. Interim replies before it count:
there may be any number of them (RFC 9110 section 15.2), but not for ever."""

EXCERPT_BYTES = 80
"""How much of a wrong head or content an error shows."""

CONTENT_BYTES_MAX = 16 * 1024 * 1024
"""Longest content that is kept on request: /metrics of a large server are some 100 KB."""

_TAB_BEHIND = re.compile(rb"(?im)^(transfer-encoding:[^\r\n]*?)[ \t]*\t[ \t]*\r?\n")
"""White space is no part of a value (RFC 9110 section 5.5), but llhttp takes a tab after this value
for part of it, and then reads chunks as plain content."""

_WITHOUT_CONTENT = (204, 304)


class HTTPReply:
    """One final reply, and the interim ones before it.

    Its end is found as RFC 9112 section 6.3 says: a reply to HEAD, 204 and 304 have no content;
    else chunks or Content-Length say where it ends; else the end of the stream does.

    Args:
        method: Of the request.
        status: The right one.
        expected: The right content; None: any.
        keeps: Whether to keep the content.

    Attributes:
        content: All of it if it is kept, else no more than its beginning.
        stays: Whether the connection can take another request (RFC 9112 section 9.3); known once
            the reply is complete.
    """

    def __init__(
        self, method: str, status: int, expected: bytes | None, keeps: bool = False
    ) -> None:
        self.content = bytearray()
        self.stays = False
        self._is_to_head = method == "HEAD"
        self._status, self._expected = status, None if self._is_to_head else expected
        self._kept_bytes_max = CONTENT_BYTES_MAX if keeps else EXCERPT_BYTES
        self._keeps = keeps
        self._parser = httptools.HttpResponseParser(self)
        self._received = self._content_bytes = 0
        self._in_head, self._complete, self._until_the_end = True, False, False
        self._begin: bytes = b""
        self._head: bytes = b""  # all that has come, as long as it is head
        self._has_tab = False
        self._wrong: ReplyError | None = None

    def feed(self, data: bytes) -> bool:
        """Take the next bytes, ``b""`` for the end of the stream; return whether it is complete.

        Raises:
            ReplyError: The reply is wrong, or more bytes came.
        """
        if not data:
            return self._ended()
        if self._complete:
            raise LeftOverError(f"{len(data)} bytes came after the reply")
        self._received += len(data)
        try:
            if self._in_head:
                self._begin = (self._begin + data)[:EXCERPT_BYTES]
            self._parse(data)
        except httptools.HttpParserError as error:  # also for what the callbacks below raise
            raise self._named(error) from error
        if self._in_head and self._received > HEAD_BYTES_MAX:
            raise WrongHeadError(f"{self._received} bytes came, expected the end of the head")
        return self._complete and self._judged()

    def _parse(self, data: bytes) -> None:
        if self._in_head:
            self._head += data
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserError:
            if not self._has_tab:
                raise
            self._has_tab = False
            data, found = _TAB_BEHIND.subn(rb"\1\r\n", self._head, 1)
            if not found:
                raise
            self._parser, self._head = httptools.HttpResponseParser(self), b""
            self._parse(data)
        if not self._in_head:
            self._head = b""

    def _ended(self) -> bool:
        if self._until_the_end and not self._complete:
            self._complete = True
            return self._judged()
        raise TruncatedError(
            f"the server closed after {self._received} bytes, expected the rest of the reply"
        )

    def _named(self, error: httptools.HttpParserError) -> ReplyError:
        if self._wrong is not None:
            return self._wrong
        if self._complete:  # the parser takes the bytes for another reply
            return LeftOverError(f"more came after the {self._content_bytes} bytes of the content")
        return WrongHeadError(f"{self._begin!r}, expected a reply of HTTP/1.1: {error}")

    def _judged(self) -> bool:
        status = self._parser.get_status_code()
        if status != self._status:
            begin = bytes(self.content[:EXCERPT_BYTES])
            text = f"{self._came(begin)}, expected status {self._status}"
            raise WrongStatusError(text, status)
        if self._expected is not None and self._content_bytes != len(self._expected):
            raise WrongContentError(f"{self._came()}, expected {len(self._expected)}")
        return True

    def _came(self, excerpt: bytes = b"", at: int = 0) -> str:
        """Return the status line, how much content there is, and some of it."""
        version, status = self._parser.get_http_version(), self._parser.get_status_code()
        line = f"HTTP/{version} {status} {self._reason.decode('latin-1')}".rstrip()
        length = max(self._length, self._content_bytes)
        where = f" at byte {at}" if at else ""
        some = f" {excerpt!r}" if excerpt else ""
        return f"{line!r} with {length} bytes of content{where}{some}"

    def _fail(self, error: ReplyError) -> None:
        self._wrong = self._wrong or error
        raise error

    # What the parser calls.

    def on_message_begin(self) -> None:
        """Begin a head: the first, or the one after an interim reply."""
        if self._complete:
            self._fail(LeftOverError("a second reply came to one request"))
        self._framed = False
        self._connection: set[bytes] = set()
        self._reason = b""
        self._length = 0  # as in the head; only for error texts

    def on_status(self, reason: bytes) -> None:
        """Note the end of the status line."""
        self._reason += reason

    def on_header(self, name: bytes, value: bytes) -> None:
        """Note a field that decides where the reply ends, or whether the connection stays."""
        if not self._in_head:  # a trailer decides neither
            return
        match name.lower():
            case b"content-length":
                self._framed, value = True, value.strip(b" \t")
                self._length = int(value) if value.isdigit() and len(value) < 20 else 0
            case b"transfer-encoding":  # the last coding of the last such field counts
                if value.endswith((b"\t", b" ")):
                    self._has_tab = b"\t" in value[len(value.rstrip()) :]
                    if self._has_tab:
                        raise WrongHeadError("a tab that the parser takes for part of a value")
                self._framed = value.rpartition(b",")[2].strip().lower() == b"chunked"
            case b"connection":
                self._connection.update(part.strip().lower() for part in value.split(b","))

    def on_headers_complete(self) -> None:
        """Check the head, unless it is an interim reply's (RFC 9110 section 15.2)."""
        status, version = self._parser.get_status_code(), self._parser.get_http_version()
        if version not in ("1.1", "1.0") or status < 100:
            self._fail(WrongHeadError(f"status line {self._begin!r}, expected one of HTTP/1.1"))
        if status == 101:
            text = f"status 101, expected {self._status}: no upgrade was requested"
            self._fail(WrongStatusError(text, status))
        if status < 200:
            return
        self._in_head = False
        empty = self._is_to_head or status in _WITHOUT_CONTENT
        self._length = 0 if empty else self._length
        self._until_the_end = not (empty or self._framed)
        asked_to_stay = version == "1.1" or b"keep-alive" in self._connection
        self.stays = asked_to_stay and b"close" not in self._connection and not self._until_the_end
        self._complete = self._is_to_head  # the parser does not know the method

    def on_chunk_header(self) -> None:
        """Refuse chunks where no content may be."""
        if self._complete:
            self._fail(LeftOverError("chunks came after a reply that has no content"))

    def on_body(self, data: bytes) -> None:
        """Compare the content, or keep what is wanted of it."""
        if self._complete:
            self._fail(LeftOverError(f"{len(data)} bytes came after a reply without content"))
        start, self._content_bytes = self._content_bytes, self._content_bytes + len(data)
        if self._expected is None or self._parser.get_status_code() != self._status:
            if self._keeps and self._content_bytes > CONTENT_BYTES_MAX:
                self._fail(WrongContentError(f"content above {CONTENT_BYTES_MAX} bytes"))
            if (room := self._kept_bytes_max - len(self.content)) > 0:
                self.content += data[:room]
        elif not self._expected.startswith(data, start):
            expected = self._expected[start : start + EXCERPT_BYTES]
            came = self._came(data[:EXCERPT_BYTES], start)
            text = f"{came}, expected {len(self._expected)}: {expected!r}"
            self._fail(WrongContentError(text))

    def on_message_complete(self) -> None:
        """Note the end of the reply; an interim reply does not count."""
        self._complete = not self._in_head
