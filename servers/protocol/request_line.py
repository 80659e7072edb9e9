"""The request line, whole or as far as it has come (RFC 9112 section 3).

This module splits it into its three parts and refuses wrong methods. The target's meaning comes
last, when the rest of the request is right (``servers.protocol.target``).
"""

import re

from servers import limits
from servers.protocol.messages import Refused, malformed
from servers.protocol.target import check_host

# Exactly one space between the parts. A target is visible ASCII without a fragment.
_TOKEN = rb"[!#$%&'*+\-.^_`|~0-9A-Za-z]++"
REQUEST_LINE = re.compile(rb"(%b) ([!-\"$-~]++) HTTP/([0-9])\.([0-9])\r\n" % _TOKEN)
_VERSION_BEGUN = rb"(?:H(?:T(?:T(?:P(?:/(?:[0-9](?:\.(?:[0-9]\r?)?)?)?)?)?)?)?)?"
_REQUEST_LINE_BEGUN = re.compile(
    rb"(?:%b(?: (?:[!-\"$-~]++(?: %b)?)?)?)?" % (_TOKEN, _VERSION_BEGUN)
)

METHODS = frozenset((b"GET", b"HEAD", b"POST", b"OPTIONS", b"PUT", b"DELETE", b"PATCH", b"TRACE"))


def can_become_request_line(start: bytes) -> bool:
    """Return whether ``start`` begins with a request line, or can still become one."""
    if b"\r\n" in start:
        return REQUEST_LINE.match(start) is not None
    return _REQUEST_LINE_BEGUN.fullmatch(start.removesuffix(b"\r")) is not None


def asks_for_head(data: bytes, start: int = 0) -> bool:
    """Return whether the request that begins at ``start`` is known to be HEAD.

    It is known from the space behind the method on, even if the rest of the line is missing or
    wrong; its reply has no content then (RFC 9110 section 9.3.2).
    """
    return data.startswith(b"HEAD ", start)


def refuse_unfinished_line(start: bytes) -> Refused:
    """Return why a request line that does not end within HEAD_BYTES_MAX bytes is refused."""
    if b"\r\n" in start or not _REQUEST_LINE_BEGUN.fullmatch(start):
        return malformed()
    # RFC 9112 section 3: 414 is for a long target, 501 for a method longer than any known one.
    if len(start.partition(b" ")[2]) <= limits.TARGET_BYTES_MAX:
        return Refused(501, "method not implemented")
    return Refused(414, f"expected no more than {limits.TARGET_BYTES_MAX} bytes of target")


def refuse_method(method: bytes, target: bytes) -> Refused:
    """Return why a request whose method is not in METHODS is refused.

    Methods are case-sensitive (RFC 9110 section 9.1): ``get`` is unknown.
    """
    if method == b"CONNECT":
        check_host(target)  # RFC 9110 section 9.3.6: with a port
        if not target.rpartition(b":")[2].lstrip(b"0").isdigit():
            return Refused(400, "CONNECT takes a host and a port")
    return Refused(501, "method not implemented")
