"""Addresses of servers: as a user writes them, and as the kernel takes them."""

import functools
import ipaddress
import re
import socket
from typing import NamedTuple
from urllib.parse import urlsplit

from loadtest.client.request import target_of
from loadtest.measure.errors import NotConnectedError

_NOT_PRINTED = re.compile(r"[\x00-\x20\x7f]")
_NAME = re.compile(r"[A-Za-z0-9._~-]+")
_LABEL_MAX, _HOST_MAX = 63, 253  # RFC 1035 section 2.3.4: 255 with the labels' lengths


class Address(NamedTuple):
    """Where a server listens."""

    host: str
    port: int

    @property
    def authority(self) -> str:
        """Return it as in a URL: an IPv6 address in brackets, with its zone (RFC 6874)."""
        host = self.host.replace("%", "%25")
        return f"[{host}]:{self.port}" if ":" in host else f"{host}:{self.port}"

    @property
    def field(self) -> str:
        """Return it as in the Host field: without a zone, which is local (RFC 6874)."""
        return Address(self.host.partition("%")[0], self.port).authority


class Url(NamedTuple):
    """How a user names a server.

    Attributes:
        scheme: "http", "tcp", or "" without one.
        address: Host, in ASCII, and port.
        target: Path and query as they go out; "" without them, or with nothing but a slash.
    """

    scheme: str
    address: Address
    target: str


@functools.cache
def url_of(text: str, default_port: int) -> Url:
    """Parse ``http://HOST:PORT/PATH``, ``tcp://HOST:PORT``, ``HOST:PORT`` or ``HOST``.

    Raises:
        NotConnectedError: It is none of these, or has a part that would be ignored: credentials, a
            fragment.
    """
    try:
        if _NOT_PRINTED.search(text):  # urlsplit would drop some of them
            raise ValueError("expected no space and no control character")
        parts = urlsplit(text if "//" in text else f"//{text}")
        if parts.scheme not in ("", "http", "tcp") or not parts.hostname:
            raise ValueError("expected http://HOST:PORT or HOST:PORT")
        if "@" in parts.netloc:
            raise ValueError("expected no credentials (--header 'Authorization: ...' sends them)")
        if "#" in text:
            raise ValueError("expected no fragment")
        if parts.netloc.endswith(":") or parts.port == 0:
            raise ValueError("expected a port from 1 to 65535")
        port = default_port if parts.port is None else parts.port
        address = Address(_host_of(parts.hostname), port)
        target = parts.path + (f"?{parts.query}" if "?" in text else "")
        if target in ("", "/"):
            return Url(parts.scheme, address, "")
        if parts.scheme == "tcp":
            raise ValueError("expected tcp://HOST:PORT without a path")
        return Url(parts.scheme, address, target_of(target if parts.path else f"/{target}"))
    except ValueError as error:  # also a port that is no number, an open bracket
        expected = str(error)
        if not expected.startswith("expected"):
            expected = "expected http://HOST:PORT or HOST:PORT"
        raise NotConnectedError(
            expected if ", got " in expected else f"{expected}, got {text!r}"
        ) from error


def address_of(text: str, default_port: int) -> Address:
    """Return the address in a text that ``url_of`` parses.

    Raises:
        NotConnectedError: As ``url_of``.
    """
    return url_of(text, default_port).address


def _host_of(name: str) -> str:
    """Return a host in ASCII (RFC 3490), an IPv6 address with its zone (RFC 6874).

    Raises:
        ValueError: It is not a valid host.
    """
    if ":" in name:
        address, found, zone = name.partition("%25")
        ipaddress.IPv6Address(address)
        return f"{address}%{zone}" if found else address
    host = name if name.isascii() else name.encode("idna").decode("ascii")
    if not _NAME.fullmatch(host):
        raise ValueError("expected a host of letters, digits, dots and hyphens")
    labels = host.removesuffix(".").split(".")  # a trailing dot is the root
    if not all(1 <= len(label) <= _LABEL_MAX for label in labels) or len(host) > _HOST_MAX:
        raise ValueError(
            f"expected a host of 1 to {_LABEL_MAX} characters between dots and {_HOST_MAX} in all"
        )
    return host


SockAddr = tuple[str, int] | tuple[str, int, int, int]
"""As the kernel takes it: for IPv6 with flow and zone."""

Resolved = tuple[int, SockAddr]
"""Family and address."""


@functools.cache
def resolve(address: Address) -> tuple[Resolved, ...]:
    """Return all addresses of a server, each once; cached, not looked up for each connection.

    Raises:
        OSError: The name is unknown.
    """
    found = socket.getaddrinfo(*address, type=socket.SOCK_STREAM)
    resolved = ((family, sockaddr) for family, _, _, _, sockaddr in found)
    return tuple(dict.fromkeys(resolved))  # type: ignore[arg-type]
