"""The head of a request: what a user wrote is encoded as browsers do it, or refused."""

import re
from collections.abc import Iterable, Sequence
from urllib.parse import quote

from loadtest.host.command_line import NOT_KEPT
from servers import __version__

USER_AGENT = f"concurrency-showcase/{__version__}"
"""RFC 9110 section 10.1.5: a client should name itself; a server's log then tells load apart."""

TOKEN = re.compile(r"[!#$%&'*+\-.^_`|~0-9A-Za-z]+")  # RFC 9110 section 5.6.2

_VALUE = re.compile(r"[\t -~]*")
_CONTROL = re.compile(r"[\x00-\x1f\x7f]")
_NO_ESCAPE = re.compile(r"%(?![0-9A-Fa-f]{2})")
_PATH_AND_QUERY = "%/?:@!$&'()*+,;=-._~"
"""What RFC 3986 (sections 3.3 and 3.4) allows beside letters and digits."""

_FRAMING = ("content-length", "transfer-encoding")


def target_of(text: str) -> str:
    """Return a path, and the query if there is one, as it goes out (RFC 9112 section 3.2.1).

    A character that RFC 3986 does not allow raw, such as a space or a letter outside ASCII, is
    encoded as browsers do it, in UTF-8. A text that is ambiguous or would end the line is refused.

    Raises:
        ValueError: Says what was expected and what was got.
    """
    if not text.startswith("/"):
        raise ValueError(f"expected a path that begins with a slash, got {text!r}")
    if _CONTROL.search(text):
        raise ValueError(f"expected a path without control characters, got {text!r}")
    if "#" in text:
        raise ValueError(f"expected a path without a fragment (# is %23), got {text!r}")
    if _NO_ESCAPE.search(text):
        raise ValueError(f"expected two hexadecimal digits after each % (% is %25), got {text!r}")
    return quote(text, safe=_PATH_AND_QUERY, errors="surrogateescape")


def field_of(text: str) -> tuple[str, str]:
    """Return name and value of ``Name: value``.

    Raises:
        ValueError: It is no field, or one that frames the request; says what was expected.
    """
    name, colon, value = text.partition(":")
    value = value.strip(" \t")
    if not colon or not TOKEN.fullmatch(name) or not _VALUE.fullmatch(value):
        raise ValueError(f"expected 'Name: value' in visible ASCII, got {text!r}")
    if name.lower() in _FRAMING:
        raise ValueError(f"expected no {name}: each request has it where it needs it")
    return name, value


def field_line(text: str) -> str:
    """Return ``Name: value`` as it goes out.

    Raises:
        ValueError: As ``field_of``.
    """
    return "{}: {}".format(*field_of(text))


def head_of(
    method: str, target: str, host: str, headers: Sequence[str], more: Iterable[str]
) -> bytes:
    """Return the head of a request of HTTP/1.1.

    Args:
        method: Such as "GET".
        target: As ``target_of`` takes it; of OPTIONS also an asterisk (RFC 9112 section 3.2.4).
        host: Value of Host, unless a header has one.
        headers: Fields as ``field_of`` takes them.
        more: Fields that are known to be right.

    Raises:
        ValueError: Says what was expected and what was got.
    """
    if not TOKEN.fullmatch(method):
        raise ValueError(f"expected a method such as GET, got {method!r}")
    if not (method == "OPTIONS" and target == "*"):
        target = target_of(target)
    fields = [field_of(text) for text in headers]
    given = {name.lower() for name, _ in fields}
    lines = [f"{method} {target} HTTP/1.1"]
    if "host" not in given:
        lines.append(f"Host: {host}")
    if "user-agent" not in given:
        lines.append(f"User-Agent: {USER_AGENT}")
    lines += [f"{name}: {value}" for name, value in fields]
    return "\r\n".join([*lines, *more, "", ""]).encode("ascii")


def asks_to_close(headers: Iterable[str]) -> bool:
    """Return whether a header asks the server to end the connection after its reply."""
    return any(
        name.lower() == "connection"
        and "close" in (option.strip().lower() for option in value.split(","))
        for name, value in map(field_of, headers)
    )


def names_of(headers: Iterable[str]) -> list[str]:
    """Return the names of headers, in lower case: they mean the same (RFC 9110 section 5.1)."""
    return [text.partition(":")[0].lower() for text in headers]


def hidden(headers: Iterable[str]) -> list[str]:
    """Return headers without their values: results are shown to others, and a token is a secret."""
    return [f"{name}: {NOT_KEPT}" for name, _ in map(field_of, headers)]
