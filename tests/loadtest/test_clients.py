"""Only a reply that is right to the last byte counts; each kind of wrong one is an error."""

import contextlib
import socket
import threading
from collections.abc import Iterator

import pytest

from loadtest.client.address import Address, address_of
from loadtest.client.clients import HTTPClient
from loadtest.client.replies import EchoExchange, Exchange, HTTPExchange
from loadtest.measure.errors import (
    LeftOverError,
    NotConnectedError,
    RefusedError,
    ReplyError,
    ResetError,
    TimedOutError,
    TruncatedError,
    WrongContentError,
    WrongHeadError,
    WrongStatusError,
)
from tests.support.running import DEADLINE_S, Server

RIGHT = b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello"


@contextlib.contextmanager
def answering(*pieces: bytes, reset: bool = False, hold: bool = False) -> Iterator[Address]:
    """Run a server that reads once from one client, answers so, and closes."""
    release = threading.Event()

    def serve() -> None:
        sock, _ = listener.accept()
        with sock:
            sock.recv(65536)
            for piece in pieces:
                sock.sendall(piece)
            if hold:
                release.wait(DEADLINE_S)
            if reset:
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")

    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.settimeout(DEADLINE_S)
        thread = threading.Thread(target=serve)
        thread.start()
        try:
            yield Address(*listener.getsockname())
        finally:
            release.set()
            thread.join()


def test_the_client_returns_a_right_reply_however_it_is_cut() -> None:
    with answering(RIGHT[:3], RIGHT[3:40], RIGHT[40:]) as address, HTTPClient(address) as client:
        assert client.get("/", b"hello") == b"hello"


@pytest.mark.parametrize(
    ("reply", "error"),
    [
        (b"", TruncatedError),
        (RIGHT[:20], TruncatedError),
        (RIGHT[:-1], TruncatedError),
        (RIGHT + b"!", LeftOverError),
        (RIGHT[:-1] + b"0", WrongContentError),
        (RIGHT.replace(b"200 OK", b"503 Service Unavailable"), WrongStatusError),
        (RIGHT.replace(b"HTTP/1.1", b"HTTP/2.0"), WrongHeadError),
        (RIGHT.replace(b"HTTP/1.1 200", b"HTTP/1.1 099"), WrongHeadError),
        (RIGHT.replace(b"5\r\n", b"5\r\nContent-Length: 5\r\n"), WrongHeadError),
        (RIGHT.replace(b" 5\r\n", b" five\r\n"), WrongHeadError),
        (b"x" * 20000, WrongHeadError),
    ],
)
def test_a_wrong_reply_is_an_error_of_its_own_name(reply: bytes, error: type[ReplyError]) -> None:
    with (
        answering(reply) as address,
        HTTPClient(address) as client,
        pytest.raises(error) as raised,
    ):
        client.get("/", b"hello")
    assert raised.type is error


def test_bytes_after_a_last_reply_are_an_error() -> None:
    with (
        answering(RIGHT, b"", b"HTTP/1.1 400 Bad Request\r\n\r\n") as address,
        HTTPClient(address) as client,
        pytest.raises(LeftOverError),
    ):
        client.get_and_close("/", b"hello")


def test_a_reset_and_a_close_are_different_errors() -> None:
    with (
        answering(RIGHT[:20], reset=True) as address,
        HTTPClient(address) as client,
        pytest.raises(ResetError),
    ):
        client.get("/", b"hello")


def test_a_silent_server_is_given_up() -> None:
    with (
        answering(RIGHT[:20], hold=True) as address,
        HTTPClient(address, timeout_s=0.2) as client,
        pytest.raises(TimedOutError),
    ):
        client.get("/", b"hello")


def test_a_closed_port_is_a_refused_error() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        address = Address(*listener.getsockname())
    with pytest.raises(RefusedError):
        HTTPClient(address)


HTTP = HTTPExchange(Address("a", 80), "/", expected=b"hello")
ECHO = EchoExchange(b"hello")


@pytest.mark.parametrize(("exchange", "right"), [(HTTP, RIGHT), (ECHO, b"hello")])
def test_a_right_reply_is_complete_at_its_last_byte_however_it_is_cut(
    exchange: Exchange, right: bytes
) -> None:
    for first in range(1, len(right)):
        for second in range(first, len(right)):
            reply = exchange.new_reply()
            pieces = [right[:first], right[first:second], right[second:]]
            complete = [reply.feed(piece) for piece in pieces if piece]
            assert complete == [False] * (len(complete) - 1) + [True]


@pytest.mark.parametrize(
    ("sent", "error"),
    [
        ([b"hell", b""], TruncatedError),
        ([b""], TruncatedError),
        ([b"help!"], WrongContentError),
        ([b"hel", b"p"], WrongContentError),
        ([b"hello!"], LeftOverError),
    ],
)
def test_an_echo_must_be_the_same_bytes(sent: list[bytes], error: type[ReplyError]) -> None:
    reply = ECHO.new_reply()
    with pytest.raises(error):
        [reply.feed(data) for data in sent]


def test_a_chunked_reply_keeps_its_connection() -> None:
    reply = HTTP.new_reply()
    head = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
    assert not reply.feed(head + b"2\r\nhe\r\n")
    assert reply.feed(b"3\r\nllo\r\n0\r\n\r\n")


@pytest.mark.parametrize(
    ("text", "address"),
    [
        ("http://a:1", Address("a", 1)),
        ("a:1", Address("a", 1)),
        ("a", Address("a", 80)),
        ("http://[::1]:8", Address("::1", 8)),
        ("http://a/", Address("a", 80)),
    ],
)
def test_an_address_is_parsed_from_a_users_text(text: str, address: Address) -> None:
    assert address_of(text, 80) == address


@pytest.mark.parametrize("text", ["", "https://a", "a:b", "http://[::1", "a:70000"])
def test_a_text_that_is_no_address_is_refused(text: str) -> None:
    with pytest.raises(NotConnectedError, match="expected http://HOST:PORT"):
        address_of(text, 80)


def test_every_model_satisfies_the_client(server: Server) -> None:
    assert server.http is not None
    with HTTPClient(Address(*server.http)) as client:
        assert client.get("/", b"Hello, World!")
        assert client.get("/json", None).startswith(b"{")
        assert client.get_and_close("/", b"Hello, World!")
