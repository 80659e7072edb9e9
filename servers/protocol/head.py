"""One request head: from bytes to a Request, or to the reason it is refused.

``httptools`` (llhttp, strict) reads the fields. The gate around it checks what llhttp leaves
open: the request line, Host, transfer codings, sizes and versions. Complaints come in one
order: broken syntax or framing 400; sizes 413, 414, 431; version 505; coding or method 501.
"""

import re

import httptools

from servers import limits
from servers.protocol.fields import (
    SEMANTIC_FIELDS,
    Semantics,
    check_sizes,
    is_valid_so_far,
    parse_fields,
)
from servers.protocol.messages import Refused, Request, malformed
from servers.protocol.request_line import (
    METHODS,
    REQUEST_LINE,
    refuse_method,
    refuse_unfinished_line,
)
from servers.protocol.target import PLAIN_TARGET, check_host, set_target

# A head for the fast way: a request line that needs no further check, path and query already
# apart; then lines, and the empty line at the very end. All other heads take the long way.
_FAST_HEAD = re.compile(
    rb"GET (/[A-Za-z0-9\-._~/]*)(?:\?([A-Za-z0-9\-._~/=&]*))? HTTP/1\.1\r\n(?:[^\r\n]+\r\n)+\r\n"
)

_COMMON_FIELDS = frozenset(
    (b"Host", b"User-Agent", b"Accept", b"Accept-Encoding", b"Accept-Language")
)


class _FastFields(dict[bytes, bytes]):
    """The fields of a fast head: quicker to collect, but the last of two namesakes wins."""

    on_header = dict.__setitem__


class HeadParser:
    """Parses the heads of one connection, each of them whole.

    Args:
        body_bytes_max: A longer announced body is refused with 413.
    """

    __slots__ = ("_checked_host", "_fast_fields", "_fast_parser", "body_bytes_max")

    def __init__(self, body_bytes_max: int) -> None:
        self.body_bytes_max = body_bytes_max
        self._checked_host: bytes | None = None  # a connection's host seldom changes
        self._fast_fields = _FastFields()
        self._fast_parser: httptools.HttpRequestParser | None = None

    def parse_fast(self, data: bytes) -> Request | None:
        """Return the request if ``data`` is one whole, plain head and nothing else.

        None: ``parse`` has to decide; nothing has been decided here.
        """
        head = _FAST_HEAD.fullmatch(data)
        if head is None or len(data) > limits.FIELD_BYTES_MAX:
            return None
        fields = self._fast_fields
        fields.clear()
        parser = self._fast_parser
        if parser is None:
            parser = self._fast_parser = httptools.HttpRequestParser(fields)
        try:
            parser.feed_data(data)
            host = fields[b"Host"]
            if host != self._checked_host:
                check_host(host)
                self._checked_host = host
            if data.count(b"\r") == len(fields) + 2 and (
                _COMMON_FIELDS.issuperset(fields) or _has_no_semantic_field(fields)
            ):
                path, query = head.groups()
                return Request(b"GET", path, query or b"")
        except (httptools.HttpParserError, httptools.HttpParserUpgrade, KeyError, Refused):
            pass  # perhaps a wrong head: parse() finds the first complaint of all, if there is one
        # A parser remembers what it has read, so only one that has read plain heads is used again.
        self._fast_parser = None
        return None

    def parse(self, head: bytes) -> Request:
        """Return the request that ``head``, its closing empty line included, stands for.

        Raises:
            Refused: With the first complaint in the order of this module's docstring.
        """
        line = REQUEST_LINE.match(head)
        if line is None:
            raise malformed()
        section = head[line.end() :]
        fields = parse_fields(section)
        method, target, major, minor = line.groups()
        path, _, query = target.partition(b"?")
        request = Request(method, path, query)
        # RFC 9110 section 2.5: a higher minor version is read as the highest we know, HTTP/1.1.
        http_1 = major == b"1"
        request.http_1_0 = http_1 and minor == b"0"
        semantics = Semantics(fields)
        semantics.frame(request, needs_host=http_1 and not request.http_1_0)
        if request.content_length > self.body_bytes_max:
            raise Refused(413, f"expected no more than {self.body_bytes_max} bytes of content")
        check_sizes(target, section, fields)
        if not http_1:
            raise Refused(505, "expected HTTP/1.1 or HTTP/1.0")
        if semantics.codings is not None and len(semantics.codings) > 1:
            raise Refused(501, "the only transfer coding is chunked")
        if method not in METHODS:
            raise refuse_method(method, target)
        if not PLAIN_TARGET.fullmatch(target):
            set_target(request, target)
        semantics.set_options(request)
        return request


def refuse_incomplete(start: bytes) -> Refused:
    """Return why a head whose first HEAD_BYTES_MAX bytes are ``start`` is refused."""
    if not is_valid_so_far(start):
        return malformed()
    line = REQUEST_LINE.match(start)
    if line is None:
        return refuse_unfinished_line(start)
    try:
        section = start[line.end() : start.rfind(b"\r\n") + 2] + b"\r\n"
        check_sizes(line[2], b"", parse_fields(section))
    except Refused as refusal:  # a complaint that comes before the head's size
        return refusal
    return Refused(431, f"expected no more than {limits.HEAD_BYTES_MAX} bytes of head")


def _has_no_semantic_field(fields: dict[bytes, bytes]) -> bool:
    """Return whether no field but Host has a meaning to this server, whatever its spelling."""
    if len(fields) > limits.FIELDS_MAX:
        return False
    if fields.get(b"Connection", b"keep-alive") != b"keep-alive":
        return False
    others = fields.keys() - _COMMON_FIELDS - {b"Connection"}
    return SEMANTIC_FIELDS.isdisjoint(map(bytes.lower, others))
