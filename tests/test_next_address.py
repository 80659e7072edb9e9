"""A server's name has several addresses: each connection of the load tries them in turn."""

import socket

import pytest

from loadtest import address as addresses
from loadtest.address import Address
from loadtest.clients import HTTPClient
from loadtest.errors import RefusedError
from loadtest.replies import HTTPExchange
from tests.driving import RIGHT, User, answering, driving


def test_the_next_address_of_a_name_is_tried_for_each_connection(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as nobody:
        refuses = nobody.getsockname()

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
