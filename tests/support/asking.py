"""Requests on connections that are kept."""

import contextlib
import re
import socket
from collections.abc import Iterator

from tests.support.running import Server

HELLO = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"
WAIT = b"GET /wait?ms=500 HTTP/1.1\r\nHost: a\r\n\r\n"


@contextlib.contextmanager
def clients(server: Server, count: int) -> Iterator[list[socket.socket]]:
    """Hold ``count`` HTTP connections, each of which has had one reply."""
    with contextlib.ExitStack() as stack:
        socks = [stack.enter_context(server.connect()) for _ in range(count)]
        for sock in socks:
            ask(sock)
        yield socks


def ask(sock: socket.socket, request: bytes = HELLO) -> bytes:
    """Return the reply to a request on a connection that may stay open."""
    sock.sendall(request)
    return answer_of(sock)


def answer_of(sock: socket.socket) -> bytes:
    """Return a reply of a head and 13 bytes, or what came before the connection ended."""
    answer = b""
    while not re.search(rb"\r\n\r\n.{13}", answer, re.DOTALL) and (data := sock.recv(65536)):
        answer += data
    return answer
