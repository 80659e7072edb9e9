"""A request's body: the content so far, and how many bytes are missing (RFC 9112 section 6).

Both kinds read from a position in the buffer and return the position they have reached.
"""

import re

from servers import limits
from servers.protocol.fields import check_trailers, is_valid_so_far
from servers.protocol.messages import Refused, malformed

_TOKEN = rb"[!#$%&'*+\-.^_`|~0-9A-Za-z]+"
_QUOTED = rb'"(?:[\t \x21\x23-\x5b\x5d-\x7e\x80-\xff]|\\[\t \x21-\x7e\x80-\xff])*"'
_EXTENSION = rb"[ \t]*;[ \t]*%b(?:[ \t]*=[ \t]*(?:%b|%b))?" % (_TOKEN, _TOKEN, _QUOTED)
# RFC 9112 section 7.1: any number of digits. Zeros in front change no value; those beyond 16 digits
# are as good as an extension, and count as one. More than 16 others overflow: 400.
_DIGITS = rb"(?=[0-9A-Fa-f])0*+([0-9A-Fa-f]{0,16})"
_CHUNK_SIZE = re.compile(rb"%b((?:%b)*)\r\n" % (_DIGITS, _EXTENSION))
_CHUNK_SIZE_BEGUN = re.compile(rb"%b(?:\r?|[ \t;].*)" % _DIGITS, re.DOTALL)
_SIZE_DIGITS_MAX = 16


class SizedBody:
    """A body of Content-Length bytes."""

    __slots__ = ("_missing", "complete", "content")

    def __init__(self, length: int) -> None:
        self._missing = length
        self.content = bytearray()
        self.complete = False

    def feed(self, data: bytes, position: int) -> int:
        """Read the bytes of this body; never refuses."""
        part = data[position : position + self._missing]
        self.content += part
        self._missing -= len(part)
        self.complete = not self._missing
        return position + len(part)


class ChunkedBody:
    """A body in chunks; extensions and trailers are checked and skipped.

    Args:
        bytes_max: More content is refused with 413, at the chunk that announces it.
    """

    __slots__ = (
        "_bytes_max",
        "_data_missing",
        "_extension_bytes",
        "_in_trailers",
        "_scanned",
        "complete",
        "content",
    )

    def __init__(self, bytes_max: int) -> None:
        self._bytes_max = bytes_max
        self._extension_bytes = 0
        self._data_missing = 0  # of the current chunk, its CRLF included
        self._in_trailers = False
        self._scanned = 0  # bytes of an unfinished line already checked for control characters
        self.content = bytearray()
        self.complete = False

    def feed(self, data: bytes, position: int) -> int:
        """Read whole lines and any part of a chunk's data.

        Raises:
            Refused: 400 for bad framing; 413 and 431 beyond a limit.
        """
        end = len(data)
        while position < end and not self.complete:
            if self._data_missing:
                position = self._feed_data(data, position)
            elif self._in_trailers:
                reached = self._feed_trailers(data, position)
                if reached == position:
                    break
                position = reached
            else:
                # A line that comes in parts is checked in parts, or each byte would cost a match.
                line = None if self._scanned else _CHUNK_SIZE.match(data, position)
                if line is None:
                    line = self._finished_size(data, position)
                    if line is None:
                        break
                size = self._begin_chunk(line)
                position = line.end()
                after = position + size
                if size and data[after : after + 2] == b"\r\n":  # the whole chunk has arrived
                    self.content += data[position:after]
                    self._data_missing = 0
                    position = after + 2
        return position

    @property
    def _line_max(self) -> int:
        """The most bytes that the next chunk-size line may have."""
        return _SIZE_DIGITS_MAX + 2 + limits.CHUNK_EXTENSION_BYTES_MAX - self._extension_bytes

    def _begin_chunk(self, line: re.Match[bytes]) -> int:
        """Begin a chunk at its size line; return the size of its data."""
        self._scanned = 0
        digits, extensions = line.groups()
        zeros = line.end(1) - line.start() - _SIZE_DIGITS_MAX
        if extensions or zeros > 0:
            self._extension_bytes += len(extensions) + max(zeros, 0)
            if self._extension_bytes > limits.CHUNK_EXTENSION_BYTES_MAX:
                raise _extensions_too_long()
        size = int(digits or b"0", 16)
        if len(self.content) + size > self._bytes_max:
            raise Refused(413, f"expected no more than {self._bytes_max} bytes of content")
        if size:
            self._data_missing = size + 2
        else:
            self._in_trailers = True
        return size

    def _feed_data(self, data: bytes, position: int) -> int:
        take = min(self._data_missing, len(data) - position)
        content = min(take, max(self._data_missing - 2, 0))
        self.content += data[position : position + content]
        end_of_chunk = data[position + content : position + take]
        if end_of_chunk:
            # Behind the data come CR and LF, and nothing else.
            expected = b"\r\n"[2 - (self._data_missing - content) :]
            if not expected.startswith(end_of_chunk):
                raise malformed()
        self._data_missing -= take
        return position + take

    def _finished_size(self, data: bytes, position: int) -> re.Match[bytes] | None:
        """Return a chunk-size line that came in parts, or None until it is whole."""
        if data.find(b"\r\n", position + self._scanned, position + self._line_max) < 0:
            self._check_unfinished_size(data, position)
            return None
        line = _CHUNK_SIZE.match(data, position)
        if line is None:
            raise malformed()
        return line

    def _check_unfinished_size(self, data: bytes, position: int) -> None:
        """Refuse an unfinished chunk-size line that is wrong or too long."""
        start = data[position : position + self._line_max]
        if not _CHUNK_SIZE_BEGUN.fullmatch(start) or not is_valid_so_far(start[self._scanned :]):
            raise malformed()
        if len(start) == self._line_max:
            raise _extensions_too_long()
        self._scanned = len(start) - start.endswith(b"\r")

    def _feed_trailers(self, data: bytes, position: int) -> int:
        if data.startswith(b"\r\n", position):
            self.complete = True
            return position + 2
        end = data.find(b"\r\n\r\n", position, position + limits.HEAD_BYTES_MAX)
        start = data[position : position + limits.HEAD_BYTES_MAX]
        if end >= 0:
            check_trailers(data[position : end + 4])
            self.complete = True
            return end + 4
        if not is_valid_so_far(start[self._scanned :]):
            raise malformed()
        if len(start) == limits.HEAD_BYTES_MAX:
            raise Refused(431, f"expected no more than {limits.HEAD_BYTES_MAX} bytes of trailers")
        self._scanned = len(start) - start.endswith(b"\r")
        return position


def _extensions_too_long() -> Refused:
    most = limits.CHUNK_EXTENSION_BYTES_MAX
    return Refused(413, f"expected no more than {most} bytes of chunk extensions and zeros")
