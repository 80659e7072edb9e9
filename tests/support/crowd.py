"""Clients that keep a server busy, and know which of their requests were never answered."""

import contextlib
import math
import re
import select
import socket
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field

from tests.support.limits_of_machine import HELLO
from tests.support.running import DEADLINE_S, Server, wait_until

BUSY = 200
WAIT = b"GET /wait?ms=500 HTTP/1.1\r\nHost: a\r\n\r\n"


@dataclass
class Crowd:
    """Clients that ask and ask again on connections that are kept, and some that come anew.

    Attributes:
        again: Whether who is told that it was the last reply comes again.
        answered: How many requests have been answered.
        lost_s: When each was sent that was never answered.
        came_s: When a client last got a connection.
        enough: Whether nobody is to come anew any more.
    """

    server: Server
    again: bool = False
    answered: int = 0
    lost_s: list[float] = field(default_factory=list)
    came_s: float = 0.0
    enough: bool = False

    @contextlib.contextmanager
    def at_work(self, coming: int) -> Iterator[None]:
        """Be there for the length of a block, which ends the server, with so many who come anew."""
        threads = [threading.Thread(target=self.keep_asking)]
        threads += [threading.Thread(target=self.keep_coming) for _ in range(coming)]
        for thread in threads:
            thread.start()
        wait_until(lambda: self.answered > 2 * BUSY, "clients that are busy")
        yield
        for thread in threads:
            thread.join(DEADLINE_S)

    def lost_in_time_s(self, asked_s: float) -> list[float]:
        """Return when each was sent that had to be answered and was not, from ``asked_s`` on."""
        in_time_s = max(asked_s, self.came_s)
        return [round(sent_s - asked_s, 4) for sent_s in self.lost_s if sent_s <= in_time_s]

    def keep_asking(self) -> None:
        """Ask on 200 connections until each has been told, or found, that it is over."""
        poll = select.poll()
        socks: dict[int, socket.socket] = {}
        sent_s: dict[int, float] = {}
        read: dict[int, bytes] = {}

        def come() -> socket.socket:
            sock = self.server.connect()
            socks[sock.fileno()] = sock
            sent_s[sock.fileno()], read[sock.fileno()] = math.inf, b""
            poll.register(sock, select.POLLIN)
            return sock

        for sock in [come() for _ in range(BUSY)]:
            sock.sendall(HELLO)
            sent_s[sock.fileno()] = time.monotonic()
        give_up_s = time.monotonic() + DEADLINE_S
        while socks and time.monotonic() < give_up_s:
            for fd, _ in poll.poll(1000):
                sock = socks[fd]
                try:
                    data = sock.recv(65536)
                    read[fd] += data
                    if data and not read[fd].endswith(b"Hello, World!"):
                        continue
                    if data:
                        self.answered += 1
                        over = b"\r\nConnection: close\r\n" in read[fd]
                        if not over:
                            sent_s[fd], read[fd] = math.inf, b""
                            sock.sendall(HELLO)
                            sent_s[fd] = time.monotonic()  # not before: it may not be on its way
                            continue
                    else:
                        self.lost_s.append(sent_s[fd])
                except OSError:  # reset: it is closed, and has not been answered
                    self.lost_s.append(sent_s[fd])
                poll.unregister(fd)
                socks.pop(fd).close()
                if self.again:
                    try:
                        sock = come()
                        sock.sendall(HELLO)
                    except OSError:  # refused, or closed at once: it is over
                        continue
                    sent_s[sock.fileno()] = time.monotonic()
        assert not socks

    def keep_coming(self) -> None:
        """Connect, ask, be answered, and again, until nobody listens any more."""
        while not self.enough:
            begun_s, sent_s = time.monotonic(), math.inf  # somebody listened after that
            try:
                sock = self.server.connect()
            except OSError:  # refused: it is over
                return
            with sock:
                try:
                    sock.sendall(HELLO.replace(b"Host", b"Connection: close\r\nHost"))
                    sent_s = time.monotonic()
                    answer = b""
                    while data := sock.recv(65536):
                        answer += data
                except OSError:  # reset
                    answer = b""
                if answer.endswith(b"Hello, World!"):
                    self.answered += 1
                    self.came_s = begun_s
                else:
                    self.lost_s.append(sent_s)


@contextlib.contextmanager
def clients(server: Server, count: int) -> Iterator[list[socket.socket]]:
    """Hold so many HTTP connections, each of which has been answered once."""
    with contextlib.ExitStack() as stack:
        socks = [stack.enter_context(server.connect()) for _ in range(count)]
        for sock in socks:
            ask(sock)
        yield socks


def ask(sock: socket.socket, request: bytes = HELLO) -> bytes:
    """Return the answer to a request on a connection that may stay open."""
    sock.sendall(request)
    return answer_of(sock)


def answer_of(sock: socket.socket) -> bytes:
    """Return an answer that consists of a head and 13 bytes, or of what came before the end."""
    answer = b""
    while not re.search(rb"\r\n\r\n.{13}", answer, re.DOTALL) and (data := sock.recv(65536)):
        answer += data
    return answer
