"""A field section: the fields of a head, or the trailers of a body (RFC 9112 section 5).

``httptools`` (llhttp, strict) reads it; what it leaves open is checked here.
"""

import httptools

from servers import limits
from servers.protocol.messages import Refused, Request, malformed
from servers.protocol.target import check_host

_NOT_CONTROLS = bytes(byte for byte in range(256) if byte == 9 or (byte >= 32 and byte != 127))

SEMANTIC_FIELDS = frozenset(
    (
        b"host", b"connection", b"proxy-connection", b"content-length", b"transfer-encoding",
        b"expect", b"upgrade",
    )
)  # fmt: skip
"""The fields that have a meaning to this server."""

# RFC 9110 section 6.5.1: fields that frame, route, modify or authenticate come too late here.
_NEVER_A_TRAILER = SEMANTIC_FIELDS | {
    b"authorization", b"cache-control", b"content-encoding", b"content-range", b"content-type",
    b"cookie", b"keep-alive", b"max-forwards", b"proxy-authorization", b"set-cookie", b"te",
    b"trailer",
}  # fmt: skip


class Fields(list[tuple[bytes, bytes]]):
    """The fields as httptools reports them: names in lower case, values, in order."""

    def on_header(self, name: bytes, value: bytes) -> None:
        """Append a field (called by httptools)."""
        self.append((name.lower(), value))


def parse_fields(section: bytes) -> Fields:
    """Parse a field section, its closing empty line included.

    Raises:
        Refused: 400, for what RFC 9112 sections 5 and 6 and RFC 9110 section 5 forbid.
    """
    fields = Fields()
    try:
        # llhttp gets a request line without surprises: the real one is checked here. It also gets
        # no tab, which it takes for a part of a coding: a tab is as good as a space wherever one
        # may stand, and no part of a value (RFC 9110 sections 5.5 and 5.6.3).
        section = section.replace(b"\t", b" ")
        httptools.HttpRequestParser(fields).feed_data(b"GET / HTTP/1.1\r\n" + section)
    except httptools.HttpParserUpgrade:  # an upgrade is a field like any other
        return fields
    except httptools.HttpParserError:  # strict llhttp has the final say on fields
        raise malformed() from None
    return fields


class Semantics:
    """The values of the fields that have a meaning to this server."""

    __slots__ = ("codings", "connection", "expected", "host_count", "lengths")

    def __init__(self, fields: Fields) -> None:
        """Collect them.

        Raises:
            Refused: 400 for a malformed Host.
        """
        self.host_count = 0
        self.codings: list[bytes] | None = None
        self.lengths: list[bytes] = []
        self.connection: list[bytes] = []
        self.expected: set[bytes] = set()
        for name, value in fields:
            if name not in SEMANTIC_FIELDS:
                continue
            if name == b"host":
                check_host(value.strip(b" \t"))
                self.host_count += 1
            elif name == b"connection":
                self.connection += _members(value)
            elif name == b"transfer-encoding":
                self.codings = (self.codings or []) + _members(value)
            elif name == b"content-length":
                self.lengths.append(value.strip(b" \t"))
            elif name == b"expect":
                self.expected.update(filter(None, _members(value)))

    def frame(self, request: Request, *, needs_host: bool) -> None:
        """Set how long a request's body is (RFC 9112 section 6).

        llhttp has refused Transfer-Encoding beside Content-Length and a repeated Content-Length.

        Raises:
            Refused: 400 for broken framing.
        """
        if self.host_count != 1 and (self.host_count or needs_host):
            raise Refused(400, "expected exactly one Host field")
        if self.lengths:
            # RFC 9110 section 8.6: any number of digits. Zeros in front, which the limit of a field
            # bounds, change no value; no parser counts more than 19 others.
            digits = self.lengths[0].lstrip(b"0")
            if len(self.lengths) > 1 or not self.lengths[0].isdigit() or len(digits) > 19:
                raise Refused(400, "malformed Content-Length")
            request.content_length = int(digits or b"0")
        codings = self.codings
        if codings is not None:
            if request.http_1_0:
                raise Refused(400, "Transfer-Encoding in HTTP/1.0")
            # An empty member is refused though RFC 9110 section 5.6.1.2 would have it ignored: no
            # honest client sends one here, and parsers that disagree on ",chunked" disagree on
            # where the request ends.
            if codings[-1] != b"chunked" or b"chunked" in codings[:-1] or b"" in codings:
                raise Refused(400, "chunked is not the final transfer coding")
            request.chunked = True

    def set_options(self, request: Request) -> None:
        """Set whether the connection stays open, and what the client expects before its body."""
        if self.connection:
            request.keep_alive = b"close" not in self.connection and (
                not request.http_1_0 or b"keep-alive" in self.connection
            )
        elif request.http_1_0:
            request.keep_alive = False
        if not request.http_1_0:  # RFC 9110 section 10.1.1: HTTP/1.0 expects nothing
            # A list: empty members and repeats mean nothing (section 5.6.1.2). A comma in a quoted
            # string makes members that are not 100-continue either: 417, as it should be.
            request.expectation = b",".join(self.expected)


def check_trailers(section: bytes) -> None:
    """Check a trailer section, its closing empty line included; its fields are not used.

    Raises:
        Refused: 400 for bad syntax and for fields that must not come this late; 431.
    """
    fields = parse_fields(section)
    for name, _ in fields:
        if name in _NEVER_A_TRAILER:
            raise Refused(400, "field not allowed in a trailer section")
    check_sizes(b"", section, fields)


def is_valid_so_far(start: bytes) -> bool:
    """Return whether ``start`` holds no control character, bare CR or bare LF.

    None of these has a place in a head, a chunk-size line or a trailer section. The LF of a CR at
    the very end may still come.
    """
    controls = len(start.translate(None, _NOT_CONTROLS))
    return controls == 2 * start.count(b"\r\n") + start.endswith(b"\r")


def check_sizes(target: bytes, section: bytes, fields: Fields) -> None:
    """Check a target and a field section against the limits.

    Raises:
        Refused: 414 or 431.
    """
    if len(target) > limits.TARGET_BYTES_MAX:
        raise Refused(414, f"expected no more than {limits.TARGET_BYTES_MAX} bytes of target")
    if len(fields) > limits.FIELDS_MAX:
        raise Refused(431, f"expected no more than {limits.FIELDS_MAX} header fields")
    if len(section) > limits.FIELD_BYTES_MAX:
        for name, value in fields:
            if len(name) + len(value) > limits.FIELD_BYTES_MAX:
                raise Refused(
                    431, f"expected no more than {limits.FIELD_BYTES_MAX} bytes in a field"
                )


def _members(value: bytes) -> list[bytes]:
    """Return the members of a comma-separated list, in lower case (RFC 9110 section 5.6.1)."""
    return [member.strip(b" \t") for member in value.lower().split(b",")]
