"""A server's name has several addresses: each connection of the load tries them in turn."""

import errno
import socket

import pytest

from loadtest.client import address as addresses
from loadtest.client import clients, connection
from loadtest.client.address import Address
from loadtest.client.clients import HTTPClient
from loadtest.client.replies import HTTPExchange
from loadtest.measure.errors import OwnLimitError, RefusedError
from tests.support.driving import RIGHT, User, answering, driving


def test_the_next_address_of_a_name_is_tried_for_each_connection(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as unbound:
        refuses = unbound.getsockname()

    def last(sock: socket.socket, number: int) -> bool:
        sock.sendall(RIGHT.replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n"))
        return False

    def found(*_: object, **__: object) -> list[tuple[object, ...]]:
        return [
            (socket.AF_INET, socket.SOCK_STREAM, 6, "", sockaddr) for sockaddr in (refuses, answers)
        ]

    monkeypatch.setattr(socket, "getaddrinfo", found)
    with answering(last) as answers:
        name = Address("two-addresses.test", 80)
        with HTTPClient(name) as client:
            assert client.get("/", b"hello") == b"hello"
        with driving(User(name, HTTPExchange(name, expected=b"hello"))) as driven:
            driven.established()
            driven.channel.begin(None)
            driven.until(lambda: driven.requests >= 5)
            assert not driven.errors and driven.reconnects >= 4
        answers = refuses
        addresses.resolve.cache_clear()
        with pytest.raises(RefusedError):
            HTTPClient(name)
    addresses.resolve.cache_clear()


@pytest.mark.parametrize("order", [(0, 1), (1, 0), (0, 1, 0), (1, 1, 0)])
def test_the_generators_own_limit_outweighs_the_refusal_of_another_address(
    monkeypatch: pytest.MonkeyPatch, order: tuple[int, ...]
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as unbound:
        refuses = unbound.getsockname()
    without_ports = ("127.0.0.2", 9)
    connect = socket.socket.connect

    class Limited(socket.socket):
        def connect(self, address: tuple[str, int]) -> None:  # type: ignore[override]
            if address == without_ports:
                raise OSError(errno.EADDRNOTAVAIL, "Cannot assign requested address")
            connect(self, address)

    def made(family: int, address: tuple[str, int]) -> socket.socket:
        if address == without_ports:
            raise OSError(errno.EADDRNOTAVAIL, "Cannot assign requested address")
        return _sources_connect(family, address)  # type: ignore[return-value]

    def found(*_: object, **__: object) -> list[tuple[object, ...]]:
        sockaddrs = [(refuses, without_ports)[which] for which in order]
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", one) for one in sockaddrs]

    _sources_connect = connection._sources.connect
    monkeypatch.setattr(socket, "getaddrinfo", found)
    for module in (clients, connection):
        monkeypatch.setattr(module, "resolve", addresses.resolve.__wrapped__)
    monkeypatch.setattr(connection._sources, "connect", made)
    monkeypatch.setattr(socket, "socket", Limited)
    name = Address("limited.test", 80)
    with pytest.raises(OwnLimitError):
        HTTPClient(name)
    with driving(User(name)) as driven:
        driven.until(lambda: driven.errors.total() >= 2)
        assert driven.errors.keys() == {"OwnLimitError"}
