"""One request head: from bytes to a Request, or to the reason it is refused.

``httptools`` (llhttp, strict) reads the fields. The gate around it checks what llhttp leaves
open: the request line, Host, transfer codings, sizes and versions. Complaints come in one
order: broken syntax or framing 400; sizes 413, 414, 431; version 505; coding or method 501.
"""

import ipaddress
import re

import httptools

from servers import limits


class Refused(Exception):
    """A request that gets an error for an answer, and its connection closed.

    Attributes:
        status: The status code of the answer.
        detail: One fixed sentence for its body; never a byte of the request.
    """

    def __init__(self, status: int, detail: str) -> None:
        super().__init__(status, detail)
        self.status = status
        self.detail = detail


class Request:
    """A request as the application sees it; ``content`` is filled in when the body is whole."""

    http_1_0 = False
    keep_alive = True
    content_length = 0
    chunked = False
    expectation = b""
    content = b""

    def __init__(self, method: bytes, path: bytes, query: bytes) -> None:
        self.method = method
        self.path = path
        self.query = query


# RFC 9112 section 3: exactly one space between the parts. A target is visible ASCII without
# a fragment; which of its four forms it has is looked at when all else is right.
_TOKEN = rb"[!#$%&'*+\-.^_`|~0-9A-Za-z]+"
REQUEST_LINE = re.compile(rb"(%b) ([!-\"$-~]+) HTTP/([0-9])\.([0-9])\r\n" % _TOKEN)
_REQUEST_LINE_BEGUN = re.compile(rb"(?:%b(?: (?:[!-\"$-~]+(?: [HTP/0-9.]*\r?)?)?)?)?" % _TOKEN)

# The usual request line: known to be right in all that is asked of one, with path and query
# already apart. Whatever else is right as well takes the long way.
_USUAL_LINE = re.compile(
    rb"(GET|HEAD|POST|OPTIONS) (/[A-Za-z0-9\-._~/]*)(?:\?([A-Za-z0-9\-._~/=&]*))? HTTP/1\.1\r\n"
)

NEVER_VALID = re.compile(rb"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f]|(?<!\r)\n|\r(?=[^\n])")
"""What no head, chunk-size line or trailer may hold: controls, a bare CR, a bare LF."""

_ANY_LINE = b"GET / HTTP/1.1\r\n"

# RFC 3986 section 3.2.2 without the comma, which joins two Hosts into one.
_HOST = re.compile(
    rb"(?:\[([0-9A-Fa-f:.]+)\]|(?:[A-Za-z0-9\-._~!$&'()*+;=]|%[0-9A-Fa-f]{2})+)(?::([0-9]*))?"
)
_ABSOLUTE_FORM = re.compile(rb"([A-Za-z][A-Za-z0-9+.\-]*)://([^/?]*)([^?]*)(?:\?(.*))?")
_PERCENT = re.compile(rb"%([0-9A-Fa-f]{2})?")
_SEPARATOR = re.compile(rb"[ \t]*,[ \t]*")

_METHODS = frozenset(
    (b"GET", b"HEAD", b"POST", b"OPTIONS", b"PUT", b"DELETE", b"PATCH", b"TRACE")
)
# llhttp remembers these from one message to the next, so a parser that met one is not used again.
_SPOILS_PARSER = frozenset(
    (b"connection", b"proxy-connection", b"content-length", b"transfer-encoding", b"upgrade")
)
_LOOKED_AT = _SPOILS_PARSER | {b"host", b"expect"}
# RFC 9110 section 6.5.1: what frames, routes, modifies or authenticates comes too late here.
_NEVER_A_TRAILER = _LOOKED_AT | {
    b"authorization", b"cache-control", b"content-encoding", b"content-range", b"content-type",
    b"cookie", b"keep-alive", b"max-forwards", b"proxy-authorization", b"set-cookie", b"te",
    b"trailer",
}  # fmt: skip


class _Fields(list[tuple[bytes, bytes]]):
    """What httptools calls: names in lower case, values, in the order they came."""

    __slots__ = ()

    def on_header(self, name: bytes, value: bytes) -> None:
        self.append((name.lower(), value))


class HeadParser:
    """Parses the heads of one connection, each handed in whole.

    Args:
        body_bytes_max: A longer announced body is refused with 413.
    """

    __slots__ = ("_body_bytes_max", "_fields", "_host", "_parser")

    def __init__(self, body_bytes_max: int) -> None:
        self._body_bytes_max = body_bytes_max
        self._fields = _Fields()
        self._parser: httptools.HttpRequestParser | None = None
        self._host = b""

    def parse(self, head: bytes) -> Request:
        """Return the request that ``head``, its closing empty line included, stands for.

        Raises:
            Refused: With the first complaint in the order this module's text gives.
        """
        fields = None
        line = _USUAL_LINE.match(head)
        if line is not None:
            fields = self._parse_fields(head)
            if len(fields) <= limits.FIELDS_MAX and len(head) <= limits.FIELD_BYTES_MAX:
                hosts = 0
                for name, value in fields:
                    if name in _LOOKED_AT:
                        if name != b"host" or value != self._host:
                            break
                        hosts += 1
                else:
                    if hosts == 1:
                        return Request(*line.groups(b""))
        line = REQUEST_LINE.match(head)
        if line is None:
            raise Refused(400, "malformed request line")
        section = head[line.end() :]
        if fields is None:
            # llhttp gets a line without surprises: what is wrong with this one we say ourselves.
            fields = self._parse_fields(_ANY_LINE + section)
        return self._check(line, section, fields)

    def _parse_fields(self, head: bytes) -> _Fields:
        fields = self._fields
        fields.clear()
        parser = self._parser
        if parser is None:
            parser = self._parser = httptools.HttpRequestParser(fields)
        try:
            parser.feed_data(head)
        except httptools.HttpParserUpgrade:
            self._parser = None  # it would pass over what follows; to us an upgrade is a field
        except httptools.HttpParserError:
            self._parser = None
            raise Refused(400, "malformed header field") from None
        return fields

    def _check(self, line: re.Match[bytes], section: bytes, fields: _Fields) -> Request:
        """Look at everything, in the order of complaints."""
        method, target, major, minor = line.groups()
        path, _, query = target.partition(b"?")
        request = Request(method, path, query)
        hosts: list[bytes] = []
        codings: list[bytes] | None = None
        lengths: list[bytes] = []
        connection: list[bytes] = []
        for name, value in fields:
            if name not in _LOOKED_AT:
                continue
            if name in _SPOILS_PARSER:
                self._parser = None
            stripped = value.strip(b" \t")
            if name == b"host":
                _check_host(stripped)
                hosts.append(value)
            elif name == b"connection":
                connection += _SEPARATOR.split(stripped.lower())
            elif name == b"transfer-encoding":
                codings = (codings or []) + _SEPARATOR.split(stripped.lower())
            elif name == b"content-length":
                lengths.append(stripped)
            elif name == b"expect":
                request.expectation += stripped.lower()  # two of them make none that is known

        # Framing (RFC 9112 section 6). llhttp has refused TE beside CL and a repeated CL.
        request.http_1_0 = minor == b"0"
        http_1 = major == b"1" and minor in b"01"
        if len(hosts) != 1 and (hosts or (http_1 and not request.http_1_0)):
            raise Refused(400, "expected exactly one Host field")
        self._host = hosts[0] if hosts else b""  # one connection's Host seldom changes
        if lengths:
            if len(lengths) > 1 or not lengths[0].isdigit() or len(lengths[0]) > 19:
                raise Refused(400, "malformed Content-Length")
            request.content_length = int(lengths[0])
        if codings is not None:
            if request.http_1_0:
                raise Refused(400, "Transfer-Encoding in HTTP/1.0")
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
        if method not in _METHODS:
            _refuse_method(method, target)
        if target[0] != 47 or b"%" in path:  # 47: a slash, the usual origin-form
            _set_target(request, target)
        if connection:
            request.keep_alive = b"close" not in connection and (
                not request.http_1_0 or b"keep-alive" in connection
            )
        elif request.http_1_0:
            request.keep_alive = False
        if request.http_1_0:
            request.expectation = b""  # RFC 9110 section 10.1.1
        return request

    def trailers(self, section: bytes) -> None:
        """Check a trailer section, its closing empty line included; nobody here reads one.

        Raises:
            Refused: 400 for bad syntax and for fields that must not come this late; 431.
        """
        self._parser = None
        fields = self._parse_fields(_ANY_LINE + section)
        self._parser = None
        for name, _ in fields:
            if name in _NEVER_A_TRAILER:
                raise Refused(400, "field not allowed in a trailer section")
        self._check_sizes(b"", section, fields)

    def refuse_incomplete(self, start: bytes) -> Refused:
        """Return why a head whose first HEAD_BYTES_MAX bytes are ``start`` is refused."""
        if NEVER_VALID.search(start):
            return Refused(400, "control character in the head")
        line = REQUEST_LINE.match(start)
        if line is None:
            if b"\r\n" in start or not _REQUEST_LINE_BEGUN.fullmatch(start):
                return Refused(400, "malformed request line")
            return Refused(414, f"expected no more than {limits.TARGET_BYTES_MAX} bytes of target")
        try:
            section = start[line.end() : start.rfind(b"\r\n") + 2] + b"\r\n"
            self._check_sizes(line[2], b"", self._parse_fields(_ANY_LINE + section))
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


def request_line_may_follow(start: bytes) -> bool:
    """Say whether ``start``, without a CRLF yet, can still become a request line."""
    return _REQUEST_LINE_BEGUN.fullmatch(start) is not None


def _check_host(value: bytes) -> None:
    match = _HOST.fullmatch(value)
    if match is None or (match[2] and int(match[2]) > 65535):
        raise Refused(400, "malformed Host")
    if match[1] is not None:
        try:
            ipaddress.IPv6Address(match[1].decode("ascii"))
        except ValueError:  # brackets hold an IPv6 address and nothing else
            raise Refused(400, "malformed Host") from None


def _refuse_method(method: bytes, target: bytes) -> None:
    if method.upper() != method:
        raise Refused(400, "methods are case-sensitive")
    if method == b"CONNECT" and not _HOST.fullmatch(target):
        raise Refused(400, "CONNECT takes an authority for its target")
    raise Refused(501, "method not implemented")


def _set_target(request: Request, target: bytes) -> None:
    """Work out path and query of a target that is not a plain path (RFC 9112 section 3.2)."""
    path, query = request.path, request.query
    if target == b"*":
        if request.method != b"OPTIONS":
            raise Refused(400, "the asterisk target is for OPTIONS")
    elif target[0] != 47:
        match = _ABSOLUTE_FORM.fullmatch(target)
        if match is None:
            raise Refused(400, "malformed request target")
        scheme, authority, path, query = match.groups(b"")
        _check_host(authority)
        if scheme.lower() != b"http":
            raise Refused(421, "this server answers for http only")
        path = path or (b"*" if request.method == b"OPTIONS" and not query else b"/")
    request.path = _decode(path)
    request.query = query


def _decode(path: bytes) -> bytes:
    """Undo percent-encoding once; an encoded slash stays what it is, a part of a segment."""

    def byte(match: re.Match[bytes]) -> bytes:
        if match[1] is None or match[1] == b"00":
            raise Refused(400, "malformed percent-encoding")
        return match[0] if match[1].upper() == b"2F" else bytes((int(match[1], 16),))

    path = _PERCENT.sub(byte, path)
    try:
        path.decode("utf-8")
    except UnicodeDecodeError:
        raise Refused(400, "the path is not UTF-8") from None
    return path
