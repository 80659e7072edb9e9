"""The reviewed list: where we refuse what h11 takes, or go on where h11 does not, and why.

Every reason has an example to which it alone applies, so that none can outlive its difference.
"""

import ipaddress
import re
from collections.abc import Callable
from dataclasses import dataclass

from servers import limits
from tests.support.h11_verdict import Message

BODY_BYTES_MAX = 200
"""Small, so that chance gets beyond it."""


@dataclass(frozen=True)
class Reason:
    """Why we refuse, with which status, what h11 takes; ``applies`` knows only the message."""

    status: int
    why: str
    applies: Callable[[Message], object]
    example: bytes


# RFC 9112 section 7.1.1, RFC 9110 section 5.6.4, RFC 3986 section 3.2.2.
_TOKEN = rb"[!#$%&'*+\-.^_`|~0-9A-Za-z]+"
_QUOTED_STRING = rb'"(?:[\t \x21\x23-\x5b\x5d-\x7e\x80-\xff]|\\[\t \x21-\x7e\x80-\xff])*"'
_CHUNK_LINE = re.compile(
    rb"(0*[0-9A-Fa-f]{1,16})((?:[ \t]*;[ \t]*%b(?:[ \t]*=[ \t]*(?:%b|%b))?)*)\r\n"
    % (_TOKEN, _TOKEN, _QUOTED_STRING)
)
_URI_HOST = re.compile(
    rb"(?:\[(?P<ipv6>[0-9A-Fa-f:.]*)\]|(?:[A-Za-z0-9._~!$&'()*+;=-]|%[0-9A-Fa-f]{2})+)"
    rb"(?::(?P<port>[0-9]*))?"
)
_METHODS = {b"GET", b"HEAD", b"POST", b"PUT", b"DELETE", b"OPTIONS", b"TRACE", b"PATCH"}
_NEVER_TRAILERS = {
    b"host", b"connection", b"proxy-connection", b"content-length", b"transfer-encoding", b"expect",
    b"upgrade", b"authorization", b"cache-control", b"content-encoding", b"content-range",
    b"content-type", b"cookie", b"keep-alive", b"max-forwards", b"proxy-authorization",
    b"set-cookie", b"te", b"trailer",
}  # fmt: skip


def _bad_host(value: bytes) -> bool:
    match = _URI_HOST.fullmatch(value)
    if match is None or int((match["port"] or b"").lstrip(b"0")[:6] or b"0") > 65535:
        return True
    try:
        ipaddress.IPv6Address((match["ipv6"] or b"::").decode("ascii"))
    except ValueError:
        return True
    return False


def _authorities(message: Message) -> list[bytes]:
    absolute = [message.split_target()[1]] if message.form == "absolute" else []
    return message.values(b"host") + absolute


def _well_formed_method(message: Message) -> bool:
    """Return whether some server might know the method, and CONNECT's form of target."""
    if message.method == b"CONNECT":
        has_port = re.search(rb":0*[1-9][0-9]*$", message.target)
        return has_port is not None and not _bad_host(message.target)
    return True


def _extension_bytes(message: Message) -> int:
    lines = (line.removesuffix(b"\r\n") for line in message.chunk_lines)
    sizes = [(line, len(line.lstrip(b"0123456789abcdefABCDEF"))) for line in lines]
    return sum(rest + max(len(line) - rest - 16, 0) for line, rest in sizes)


def _is_1_1(message: Message) -> bool:
    """Return whether a request is read as HTTP/1.1 (RFC 9110 section 2.5)."""
    version = message.request.http_version
    return version[:1] == b"1" and version != b"1.0"


def _head(*fields: bytes, line: bytes = b"GET / HTTP/1.1", host: bytes = b"Host: a") -> bytes:
    return b"\r\n".join([line, *filter(None, [host]), *fields, b"", b""])


def _get(target: bytes) -> bytes:
    return _head(line=b"GET %b HTTP/1.1" % target)


def _chunked(body: bytes) -> bytes:
    return _head(b"Transfer-Encoding: chunked", line=b"POST / HTTP/1.1") + body


LINES = [
    Reason(
        400,
        "RFC 9112 section 2.2: a recipient MAY take a bare LF for the end of a line; we do not",
        lambda m: re.search(rb"(?<!\r)\n", m.framing),
        b"GET / HTTP/1.1\nHost: a\r\n\r\n",
    ),
    Reason(
        400,
        "RFC 9110 section 5.5: control characters are invalid, and MAY be retained; we do not",
        lambda m: re.search(rb"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f]", m.framing),
        _head(b"X: \x01"),
    ),
    Reason(
        400,
        "RFC 9112 section 5.2: a server MUST reject or replace obs-fold; h11 replaces it",
        lambda m: re.search(rb"\n[ \t]", m.head + m.trailer_section),
        _head(b"X: y", b" z"),
    ),
    Reason(
        400,
        "RFC 9112 section 2.2: at least one empty line SHOULD be ignored; we ignore a few",
        lambda m: m.empty_lines > limits.EMPTY_LINES_MAX,
        b"\r\n" * (limits.EMPTY_LINES_MAX + 1) + _head(),
    ),
]

FRAMING = [
    Reason(
        400,
        "RFC 9112 section 6.1: a server MAY reject Transfer-Encoding beside Content-Length",
        lambda m: m.values(b"transfer-encoding") and m.values(b"content-length"),
        _head(b"Content-Length: 5", b"Transfer-Encoding: chunked") + b"0\r\n\r\n",
    ),
    Reason(
        400,
        "RFC 9112 section 6.1: Transfer-Encoding in HTTP/1.0 MUST be treated as faulty framing",
        lambda m: m.request.http_version == b"1.0" and m.values(b"transfer-encoding"),
        _head(b"Transfer-Encoding: chunked", line=b"GET / HTTP/1.0") + b"0\r\n\r\n",
    ),
    Reason(
        400,
        "RFC 9112 section 6.3: a list of equal lengths may be taken for one; we take one length",
        lambda m: b"," in b",".join(m.values(b"content-length")),
        _head(b"Content-Length: 5, 5") + b"hello",
    ),
    Reason(
        400,
        "RFC 9112 section 7.1.1: extensions have a grammar; h11 takes any",
        lambda m: not all(map(_CHUNK_LINE.fullmatch, m.chunk_lines)),
        _chunked(b"5;=\r\nhello\r\n0\r\n\r\n"),
    ),
    Reason(
        400,
        "RFC 9110 section 6.5.1: what frames, routes, modifies or authenticates is no trailer",
        lambda m: _NEVER_TRAILERS.intersection(name for name, _ in m.trailers),
        _chunked(b"0\r\nHost: b\r\n\r\n"),
    ),
]

TARGETS = [
    Reason(
        400,
        "RFC 9112 section 3.2: an invalid Host MUST be answered with 400; h11 looks into none",
        lambda m: any(map(_bad_host, _authorities(m))),
        _head(host=b"Host: a b"),
    ),
    Reason(
        400,
        "RFC 9112 section 3.2: a fragment is no part of any form of target",
        lambda m: b"#" in m.target,
        _get(b"/#a"),
    ),
    Reason(
        400,
        "RFC 9112 section 3.2.4: the asterisk-form is for OPTIONS",
        lambda m: m.form == "asterisk" and m.method != b"OPTIONS",
        _get(b"*"),
    ),
    Reason(
        400,
        "RFC 9112 section 3.2.3: the authority-form is for CONNECT; and some have no form at all",
        lambda m: m.form == "authority, or none at all" and m.method != b"CONNECT",
        _get(b"a:80"),
    ),
    Reason(
        400,
        "RFC 9110 section 9.3.6: CONNECT takes nothing but a host and a port",
        lambda m: m.method == b"CONNECT" and not _well_formed_method(m),
        _head(line=b"CONNECT / HTTP/1.1"),
    ),
    Reason(
        421,
        "RFC 9110 section 7.4: a request for an origin that is not ours",
        lambda m: m.form == "absolute" and m.split_target()[0].lower() != b"http",
        _get(b"https://a/"),
    ),
    Reason(
        400,
        "RFC 3986 section 2.1: a percent sign begins two hexadecimal digits; and NUL is no data",
        lambda m: re.search(rb"%(?![0-9A-Fa-f]{2})|%00", m.split_target()[2]),
        _get(b"/%4"),
    ),
    Reason(
        400,
        "RFC 9112 section 3: a path holds what RFC 3986 section 3.3 allows and nothing else",
        lambda m: re.search(rb"[^A-Za-z0-9._~!$&'()*+,;=:@/%#-]", m.split_target()[2]),
        _get(b"/[a]"),
    ),
    Reason(
        400,
        "RFC 9112 section 3: a query holds, besides that, only what browsers leave as it is",
        lambda m: re.search(rb'["<>]', m.split_target()[3]),
        _get(b"/?<"),
    ),
]

SIZES = [
    Reason(
        413,
        "RFC 9110 section 15.5.14: content larger than we are able to process",
        lambda m: len(m.content) > BODY_BYTES_MAX,
        _head(b"Content-Length: %d" % (BODY_BYTES_MAX + 1)) + b"x" * (BODY_BYTES_MAX + 1),
    ),
    Reason(
        413,
        "RFC 9112 section 7.1.1: a server ought to limit the total length of chunk extensions",
        lambda m: _extension_bytes(m) > limits.CHUNK_EXTENSION_BYTES_MAX,
        _chunked(b"0;" + b"a" * limits.CHUNK_EXTENSION_BYTES_MAX + b"\r\n\r\n"),
    ),
    Reason(
        414,
        "RFC 9112 section 3: a request line longer than any we wish to parse",
        lambda m: len(m.target) > limits.TARGET_BYTES_MAX,
        _get(b"/" + b"a" * limits.TARGET_BYTES_MAX),
    ),
    Reason(
        431,
        "RFC 6585 section 5: too many fields",
        lambda m: max(len(m.fields), len(m.trailers)) > limits.FIELDS_MAX,
        _head(*[b"X: y"] * limits.FIELDS_MAX),
    ),
    Reason(
        431,
        "RFC 6585 section 5: a field too large",
        lambda m: any(
            len(name) + len(value) > limits.FIELD_BYTES_MAX for name, value in m.fields + m.trailers
        ),
        _head(b"X:" + b"y" * limits.FIELD_BYTES_MAX),
    ),
    Reason(
        431,
        "RFC 6585 section 5: fields too large together",
        lambda m: max(len(m.head), len(m.trailer_section)) > limits.HEAD_BYTES_MAX,
        _head(*[b"X: " + b"y" * (limits.FIELD_BYTES_MAX - 100)] * 3),
    ),
]

NOT_DONE_HERE = [
    Reason(
        505,
        "RFC 9110 section 15.6.6: a major version that is not 1",
        lambda m: m.request.http_version[:1] != b"1",
        _head(line=b"GET / HTTP/2.0"),
    ),
    Reason(
        400,
        "RFC 9110 section 2.5: HTTP/1.2 is read as HTTP/1.1, and so needs a Host",
        lambda m: _is_1_1(m) and not m.values(b"host"),
        _head(line=b"GET / HTTP/1.2", host=b""),
    ),
    Reason(
        501,
        "RFC 9110 section 9.1: an unrecognized method SHOULD be answered with 501",
        lambda m: m.method not in _METHODS and _well_formed_method(m),
        _head(line=b"PURGE / HTTP/1.1"),
    ),
    Reason(
        417,
        "RFC 9110 section 10.1.1: an expectation that is not met MAY be answered with 417",
        lambda m: _is_1_1(m) and {*m.tokens(b"expect")} - {b"", b"100-continue"},
        _head(b"Expect: x"),
    ),
]

REASONS = [*LINES, *FRAMING, *TARGETS, *SIZES, *NOT_DONE_HERE]
"""What h11 takes and we refuse."""

OURS_ALONE = {
    "RFC 9112 section 7.1.1: white space before a chunk extension's semicolon MUST be parsed": (
        re.compile(r"illegal chunk header: bytearray\(b'[0-9A-Fa-f]+[ \\t]+;"),
        _chunked(b"0 ;a\r\n\r\n"),
    ),
    "RFC 9112 section 7.1: a size has any number of digits; h11 stops at 20": (
        re.compile(r"illegal chunk header: bytearray\(b'0{5,}[0-9A-Fa-f]{0,16}(?![0-9A-Fa-f])"),
        _chunked(b"0" * 30 + b"\r\n\r\n"),
    ),
    "RFC 9110 section 8.6: a length has any number of digits; h11 stops at 20": (
        re.compile(
            r"(?i)bad Content-Length\n(?s:.*?)\ncontent-length:[ \t]*0{2,}[0-9]{0,19}[ \t]*\r"
        ),
        _head(b"Content-Length: " + b"0" * 30 + b"5") + b"hello",
    ),
}
"""What h11 says, and of which rest of the stream; why we go on; an example. No more is compared."""
