"""One request head: from bytes to a Request, or to the reason it is refused.

``httptools`` (llhttp, strict) reads the fields. The gate around it checks what llhttp leaves
open: the request line, Host, transfer codings, sizes and versions. Complaints come in one
order: broken syntax or framing 400; sizes 413, 414, 431; version 505; coding or method 501.
"""

import re

import httptools

from servers import limits
from servers.protocol.messages import Refused, Request, malformed
from servers.protocol.request_line import (
    METHODS,
    REQUEST_LINE,
    refuse_method,
    refuse_unfinished_line,
)
from servers.protocol.target import USUAL_TARGET, check_host, set_target

# The usual head: a request line known to be right in all that is asked of one, path and query
# already apart; then lines, and the empty line at the very end. The rest takes the long way.
_USUAL_HEAD = re.compile(
    rb"GET (/[A-Za-z0-9\-._~/]*)(?:\?([A-Za-z0-9\-._~/=&]*))? HTTP/1\.1\r\n(?:[^\r\n]+\r\n)+\r\n"
)

_NOT_CONTROLS = bytes(byte for byte in range(256) if byte == 9 or (byte >= 32 and byte != 127))

_LOOKED_AT = frozenset(
    (
        b"host", b"connection", b"proxy-connection", b"content-length", b"transfer-encoding",
        b"expect", b"upgrade",
    )
)  # fmt: skip
_USUAL_FIELDS = frozenset(
    (b"Host", b"User-Agent", b"Accept", b"Accept-Encoding", b"Accept-Language")
)
# RFC 9110 section 6.5.1: what frames, routes, modifies or authenticates comes too late here.
_NEVER_A_TRAILER = _LOOKED_AT | {
    b"authorization", b"cache-control", b"content-encoding", b"content-range", b"content-type",
    b"cookie", b"keep-alive", b"max-forwards", b"proxy-authorization", b"set-cookie", b"te",
    b"trailer",
}  # fmt: skip


class _Fields(list[tuple[bytes, bytes]]):
    """What httptools calls: names in lower case, values, in the order they came."""

    def on_header(self, name: bytes, value: bytes) -> None:
        self.append((name.lower(), value))


class _UsualFields(dict[bytes, bytes]):
    """What httptools calls for the usual head: faster, but the last of two namesakes wins."""

    on_header = dict.__setitem__


class HeadParser:
    """Parses the heads of one connection, each handed in whole.

    Args:
        body_bytes_max: A longer announced body is refused with 413.
    """

    __slots__ = ("_body_bytes_max", "_host", "_usual_fields", "_usual_parser")

    def __init__(self, body_bytes_max: int) -> None:
        self._body_bytes_max = body_bytes_max
        self._host: bytes | None = None  # one that was right: a connection's seldom changes
        self._usual_fields = _UsualFields()
        self._usual_parser: httptools.HttpRequestParser | None = None

    def parse_usual(self, data: bytes) -> Request | None:
        """Return the request if ``data`` is one whole head of the usual kind and nothing else.

        None means only that it takes ``parse`` to tell; nothing has been decided then.
        """
        head = _USUAL_HEAD.fullmatch(data)
        if head is None or len(data) > limits.FIELD_BYTES_MAX:
            return None
        fields = self._usual_fields
        fields.clear()
        parser = self._usual_parser
        if parser is None:
            parser = self._usual_parser = httptools.HttpRequestParser(fields)
        try:
            parser.feed_data(data)
            host = fields[b"Host"]
            if host != self._host:
                check_host(host)
                self._host = host
            if data.count(b"\r") == len(fields) + 2 and (
                _USUAL_FIELDS.issuperset(fields) or _none_matters(fields)
            ):
                path, query = head.groups()
                return Request(b"GET", path, query or b"")
        except (httptools.HttpParserError, httptools.HttpParserUpgrade, KeyError, Refused):
            pass
        # A parser remembers what it has read, so it is used again only after a usual head. It is
        # for parse() to say what is wrong, if anything is, and to find the first complaint of all.
        self._usual_parser = None
        return None

    def parse(self, head: bytes) -> Request:
        """Return the request that ``head``, its closing empty line included, stands for.

        Raises:
            Refused: With the first complaint in the order this module's text gives.
        """
        line = REQUEST_LINE.match(head)
        if line is None:
            raise malformed()
        section = head[line.end() :]
        return self._check(line, section, _parse_fields(section))

    def _check(self, line: re.Match[bytes], section: bytes, fields: _Fields) -> Request:
        """Look at everything, in the order of complaints."""
        method, target, major, minor = line.groups()
        path, _, query = target.partition(b"?")
        request = Request(method, path, query)
        hosts = 0
        codings: list[bytes] | None = None
        lengths: list[bytes] = []
        connection: list[bytes] = []
        expected: set[bytes] = set()
        for name, value in fields:
            if name not in _LOOKED_AT:
                continue
            stripped = value.strip(b" \t")
            if name == b"host":
                check_host(stripped)
                hosts += 1
            elif name == b"connection":
                connection += _members(value)
            elif name == b"transfer-encoding":
                codings = (codings or []) + _members(value)
            elif name == b"content-length":
                lengths.append(stripped)
            elif name == b"expect":
                expected.update(filter(None, _members(value)))

        # Framing (RFC 9112 section 6). llhttp has refused TE beside CL and a repeated CL.
        # RFC 9110 section 2.5: a higher minor version is read as the highest we know, HTTP/1.1.
        http_1 = major == b"1"
        request.http_1_0 = http_1 and minor == b"0"
        if hosts != 1 and (hosts or (http_1 and not request.http_1_0)):
            raise Refused(400, "expected exactly one Host field")
        if lengths:
            # RFC 9110 section 8.6: any number of digits. Zeros in front, which the limit of a field
            # bounds, change no value; more than 19 others are beyond what any parser counts.
            digits = lengths[0].lstrip(b"0")
            if len(lengths) > 1 or not lengths[0].isdigit() or len(digits) > 19:
                raise Refused(400, "malformed Content-Length")
            request.content_length = int(digits or b"0")
        if codings is not None:
            if request.http_1_0:
                raise Refused(400, "Transfer-Encoding in HTTP/1.0")
            # An empty member is refused though RFC 9110 section 5.6.1.2 would have it ignored: no
            # honest client sends one here, and parsers that disagree on ",chunked" disagree on
            # where the request ends.
            if codings[-1] != b"chunked" or b"chunked" in codings[:-1] or b"" in codings:
                raise Refused(400, "chunked is not the final transfer coding")
            request.chunked = True

        if request.content_length > self._body_bytes_max:
            raise Refused(413, f"expected no more than {self._body_bytes_max} bytes of content")
        self._check_sizes(target, section, fields)
        if not http_1:
            raise Refused(505, "expected HTTP/1.1 or HTTP/1.0")
        if codings is not None and len(codings) > 1:
            raise Refused(501, "the only transfer coding is chunked")
        if method not in METHODS:
            raise refuse_method(method, target)
        if not USUAL_TARGET.fullmatch(target):
            set_target(request, target)
        if connection:
            request.keep_alive = b"close" not in connection and (
                not request.http_1_0 or b"keep-alive" in connection
            )
        elif request.http_1_0:
            request.keep_alive = False
        if not request.http_1_0:  # RFC 9110 section 10.1.1: HTTP/1.0 expects nothing
            # A list, whose empty members and repeats mean nothing (section 5.6.1.2). A comma in a
            # quoted string makes members that are not 100-continue, either: so 417, as it should.
            request.expectation = b",".join(expected)
        return request

    def trailers(self, section: bytes) -> None:
        """Check a trailer section, its closing empty line included; nobody here reads one.

        Raises:
            Refused: 400 for bad syntax and for fields that must not come this late; 431.
        """
        fields = _parse_fields(section)
        for name, _ in fields:
            if name in _NEVER_A_TRAILER:
                raise Refused(400, "field not allowed in a trailer section")
        self._check_sizes(b"", section, fields)

    def refuse_incomplete(self, start: bytes) -> Refused:
        """Return why a head whose first HEAD_BYTES_MAX bytes are ``start`` is refused."""
        if not valid_so_far(start):
            return malformed()
        line = REQUEST_LINE.match(start)
        if line is None:
            return refuse_unfinished_line(start)
        try:
            section = start[line.end() : start.rfind(b"\r\n") + 2] + b"\r\n"
            self._check_sizes(line[2], b"", _parse_fields(section))
        except Refused as refusal:
            return refusal
        return Refused(431, f"expected no more than {limits.HEAD_BYTES_MAX} bytes of head")

    def _check_sizes(self, target: bytes, section: bytes, fields: _Fields) -> None:
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


def _none_matters(fields: dict[bytes, bytes]) -> bool:
    """Say whether none of the fields but Host has a meaning to us, whatever its spelling."""
    if len(fields) > limits.FIELDS_MAX:
        return False
    if fields.get(b"Connection", b"keep-alive") != b"keep-alive":
        return False
    others = fields.keys() - _USUAL_FIELDS - {b"Connection"}
    return _LOOKED_AT.isdisjoint(map(bytes.lower, others))


def _parse_fields(section: bytes) -> _Fields:
    """Parse a field section, its closing empty line included.

    Raises:
        Refused: 400, for what RFC 9112 sections 5 and 6 and RFC 9110 section 5 forbid.
    """
    fields = _Fields()
    try:
        # llhttp gets a request line without surprises: ours has been, or will be, read by us. It
        # also gets no tab, which it takes for a part of a coding: a tab is as good as a space
        # wherever one may stand, and no part of a value (RFC 9110 sections 5.5 and 5.6.3).
        section = section.replace(b"\t", b" ")
        httptools.HttpRequestParser(fields).feed_data(b"GET / HTTP/1.1\r\n" + section)
    except httptools.HttpParserUpgrade:  # to us an upgrade is a field like any other
        return fields
    except httptools.HttpParserError:  # strict llhttp has the final say on fields
        raise malformed() from None
    return fields


def valid_so_far(start: bytes) -> bool:
    """Say whether there is no control character in ``start``, no bare CR and no bare LF.

    None of these has a place in a head, a chunk-size line or a trailer section. A CR at the very
    end may yet get its LF.
    """
    controls = len(start.translate(None, _NOT_CONTROLS))
    return controls == 2 * start.count(b"\r\n") + start.endswith(b"\r")
