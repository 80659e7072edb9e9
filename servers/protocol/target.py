"""A request's host and target (RFC 9112 section 3.2, RFC 3986)."""

import ipaddress
import re

from servers.protocol.messages import Refused, Request

# RFC 3986 section 3.2.2 without the comma, which joins two Hosts into one.
_HOST = re.compile(
    rb"(?:\[([0-9A-Fa-f:.]+)\]|(?:[A-Za-z0-9\-._~!$&'()*+;=]|%[0-9A-Fa-f]{2})+)(?::0*+([0-9]{0,5}))?"
)
_ABSOLUTE_FORM = re.compile(rb"([A-Za-z][A-Za-z0-9+.\-]*)://([^/?]*)([^?]*)(?:\?(.*))?")
# RFC 3986 sections 3.3 and 3.4. The grammar of a path is enforced strictly: RFC 9112 section 3 asks
# for 400, because a filter on the way may read other characters differently, and no path of this
# server has one. A query is data and not decoded: it may also hold what browsers do not encode (URL
# Standard, query percent-encode set), [ ] { } | \ ^ ` and a percent sign that encodes nothing.
# Browsers encode " < and >, so these are refused.
_PATH = re.compile(rb"[A-Za-z0-9\-._~!$&'()*+,;=:@/%]*+")
_QUERY = re.compile(rb"[!$-;=?-~]*+")
PLAIN_TARGET = re.compile(rb"/[A-Za-z0-9\-._~!$&'()*+,;=:@/]*+(?:\?[!$-;=?-~]*+)?")
"""A right origin-form whose path has nothing to decode."""

_PERCENT = re.compile(rb"%([0-9A-Fa-f]{2})?")


def check_host(value: bytes) -> None:
    """Refuse a value that is no host, with or without a port (RFC 9110 section 7.2)."""
    match = _HOST.fullmatch(value)
    if match is None or (match[2] and int(match[2]) > 65535):
        raise Refused(400, "malformed Host")
    if match[1] is not None:
        try:
            ipaddress.IPv6Address(match[1].decode("ascii"))
        except ValueError:  # brackets must hold an IPv6 address
            raise Refused(400, "malformed Host") from None


def set_target(request: Request, target: bytes) -> None:
    """Set path and query of a request whose target is not a plain path (RFC 9112 section 3.2)."""
    path, query = request.path, request.query
    if target == b"*":
        if request.method != b"OPTIONS":
            raise Refused(400, "the asterisk target is for OPTIONS")
    elif target[0] != 47:
        match = _ABSOLUTE_FORM.fullmatch(target)
        if match is None:
            raise Refused(400, "malformed request target")
        scheme, authority, path, query = match.groups(b"")
        check_host(authority)
        if scheme.lower() != b"http":
            raise Refused(421, "this server answers for http only")
        path = path or (b"*" if request.method == b"OPTIONS" and not query else b"/")
    if not (_PATH.fullmatch(path) and _QUERY.fullmatch(query)):
        raise Refused(400, "malformed request target")
    request.path = _decode(path)
    request.query = query


def _decode(path: bytes) -> bytes:
    """Decode percent-encoding once; an encoded slash stays encoded, as a part of its segment.

    Any other byte may be encoded, UTF-8 or not (RFC 3986 section 2.1): such a path is just not
    found. NUL is refused (section 7.3).
    """

    def byte(match: re.Match[bytes]) -> bytes:
        if match[1] is None or match[1] == b"00":
            raise Refused(400, "malformed percent-encoding")
        return match[0] if match[1].upper() == b"2F" else bytes((int(match[1], 16),))

    return _PERCENT.sub(byte, path)
