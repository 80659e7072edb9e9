"""Behaviours of clients, good and bad, and the ways in which connections end."""

import os
import random
import socket
import struct
from collections.abc import Callable

from tests.support.asking import HELLO, ask
from tests.support.running import Server, read_to_end

Behaviour = Callable[[socket.socket, Server], None]
"""Uses an open connection; raises AssertionError if the reply is wrong."""


def fin(sock: socket.socket, server: Server) -> None:
    sock.shutdown(socket.SHUT_WR)
    assert read_to_end(sock) is not None


def reset(sock: socket.socket, server: Server) -> None:
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))


def reset_in_a_head(sock: socket.socket, server: Server) -> None:
    sock.sendall(b"GET / HT")
    reset(sock, server)


def reset_in_a_reply(sock: socket.socket, server: Server) -> None:
    sock.sendall(b"GET /bytes?n=100000000 HTTP/1.1\r\nHost: a\r\n\r\n")
    assert sock.recv(1000)
    reset(sock, server)


def leave_in_a_wait(sock: socket.socket, server: Server) -> None:
    sock.sendall(b"GET /wait?ms=300 HTTP/1.1\r\nHost: a\r\n\r\n")


def speak_garbage(sock: socket.socket, server: Server) -> None:
    sock.sendall(b"\0\0\0\0\r\n\r\n")
    assert read_to_end(sock).startswith(b"HTTP/1.1 400 ")


def be_silent(sock: socket.socket, server: Server) -> None:
    assert read_to_end(sock) == b""


def trickle_out(sock: socket.socket, server: Server) -> None:
    sock.sendall(HELLO[:-2])
    assert b" 408 " in read_to_end(sock)


def vanish_in_a_request(sock: socket.socket, server: Server) -> None:
    sock.sendall(b"POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 100\r\n\r\nhello")


def send_and_never_read(sock: socket.socket, server: Server) -> None:
    sock.settimeout(0.2)
    try:
        for _ in range(50):
            sock.sendall(HELLO * 2000)
    except TimeoutError:
        reset(sock, server)


def send_too_much(sock: socket.socket, server: Server) -> None:
    sock.sendall(b"GET / HTTP/1.1\r\nHost: a\r\nX: " + b"y" * 20_000)
    assert read_to_end(sock).startswith(b"HTTP/1.1 431 ")


def keep_asking(sock: socket.socket, server: Server) -> None:
    for _ in range(20):
        assert ask(sock).endswith(b"Hello, World!")


def ask_ahead(sock: socket.socket, server: Server) -> None:
    sock.sendall(HELLO * 100)
    sock.shutdown(socket.SHUT_WR)
    assert read_to_end(sock).count(b"Hello, World!") == 100


def wait_for_it(sock: socket.socket, server: Server) -> None:
    assert ask(sock, b"GET /wait?ms=50 HTTP/1.1\r\nHost: a\r\n\r\n").startswith(b"HTTP/1.1 200 ")


def send_a_body(sock: socket.socket, server: Server) -> None:
    body = os.urandom(random.choice((1, 1000, 300_000)))
    head = f"POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: {len(body)}\r\n\r\n"
    sock.sendall(head.encode() + body)
    sock.shutdown(socket.SHUT_WR)
    assert read_to_end(sock).partition(b"\r\n\r\n")[2] == body


def read_a_stream(sock: socket.socket, server: Server) -> None:
    sock.sendall(b"GET /bytes?n=1000000 HTTP/1.0\r\n\r\n")
    assert len(read_to_end(sock).partition(b"\r\n\r\n")[2]) == 1_000_000


def make_it_work(sock: socket.socket, server: Server) -> None:
    for path in ("/cpu?n=1000", "/hash?kib=64", "/json", "/metrics", "/nowhere"):
        sock.sendall(f"GET {path} HTTP/1.1\r\nHost: a\r\n\r\n".encode())
    sock.shutdown(socket.SHUT_WR)
    answer = read_to_end(sock)
    assert (answer.count(b"HTTP/1.1 200 "), answer.count(b"HTTP/1.1 404 ")) == (4, 1)


ENDS: list[Behaviour] = [
    fin, reset, reset_in_a_head, reset_in_a_reply, leave_in_a_wait, speak_garbage, be_silent,
    trickle_out,
]  # fmt: skip
"""The ways in which a connection ends while its server lives."""

BAD: list[Behaviour] = [*ENDS, vanish_in_a_request, send_and_never_read, send_too_much]
GOOD: list[Behaviour] = [
    keep_asking, ask_ahead, wait_for_it, send_a_body, read_a_stream, make_it_work,
]  # fmt: skip
