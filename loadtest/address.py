"""Where servers are: what a user writes, and what the kernel takes."""

import functools
import socket
from typing import NamedTuple
from urllib.parse import urlsplit

from loadtest.errors import NotConnectedError


class Address(NamedTuple):
    """Where a server listens."""

    host: str
    port: int


@functools.cache
def address_of(text: str, default_port: int) -> Address:
    """Return the address in ``http://HOST:PORT``, ``tcp://HOST:PORT``, ``HOST:PORT`` or ``HOST``.

    Raises:
        NotConnectedError: It is none of these.
    """
    try:
        parts = urlsplit(text if "//" in text else f"//{text}")
        host, port = parts.hostname, parts.port
    except ValueError:  # a port that is no number, a bracket that is never closed
        host, port = None, None
    if host is None or parts.scheme not in ("", "http", "tcp"):
        raise NotConnectedError(f"expected http://HOST:PORT or HOST:PORT, got {text!r}")
    return Address(host, default_port if port is None else port)


SockAddr = tuple[str, int] | tuple[str, int, int, int]
"""As the kernel takes it: of IPv6 with flow and zone."""

Resolved = tuple[int, SockAddr]
"""Family and address."""


@functools.cache
def resolve(address: Address) -> tuple[Resolved, ...]:
    """Return all addresses of a server, each once: looked up once, not for each connection.

    Raises:
        OSError: Nobody has that name.
    """
    found = socket.getaddrinfo(*address, type=socket.SOCK_STREAM)
    resolved = ((family, sockaddr) for family, _, _, _, sockaddr in found)
    return tuple(dict.fromkeys(resolved))  # type: ignore[arg-type]
