"""Servers that accept no more clients: those that are connected, and those that wait.

--max-connections=N, or descriptors for N:    connected: N     waiting: 10, or more
                                                  |                |
                                              one closes      one is answered
"""

import select
import socket
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field

from tests.support.asking import HELLO, answer_of, ask
from tests.support.running import DEADLINE_S, Server, read_to_end

_QUIET_S = 0.1
BEYOND = 10
"""Clients that connect when the server is full."""


@dataclass
class Clients:
    """The clients of a full server.

    Attributes:
        most: Clients that the server accepts.
        connected: Those that have had a reply.
        waiting: Those that have sent a request, and have no reply yet.
    """

    most: int
    connected: list[socket.socket] = field(default_factory=list)
    waiting: list[socket.socket] = field(default_factory=list)

    def any_answered(self, within_s: float) -> bool:
        """Wait for a reply to one that waits, which is connected then; return whether one came."""
        answered, _, _ = select.select(self.waiting, [], [], within_s if self.waiting else 0)
        for sock in answered:
            assert answer_of(sock).startswith(b"HTTP/1.1 200 ")
            self.waiting.remove(sock)
            self.connected.append(sock)
        return bool(answered)

    def leave_in_turn(self) -> None:
        """Close one after the other; each time the server may accept one that waits.

        At the latest when the last connected client has left, it has to.
        """
        while self.connected:
            self.connected.pop().close()
            last = not self.connected
            answered = self.any_answered(DEADLINE_S if last else 0)
            assert answered or not last or not self.waiting
            assert len(self.connected) <= self.most


@contextmanager
def filled(server: Server, most: int) -> Iterator[Clients]:
    """Connect clients until ``most`` are served, and ten more.

    They stay idle, so the server needs a long keep-alive time-out. The kernel spreads clients over
    workers by chance, so more than ``most`` have to connect until each worker is full.
    """
    clients = Clients(most)
    with ExitStack() as stack:

        def connect() -> None:
            sock = stack.enter_context(server.connect())
            sock.sendall(HELLO)
            clients.waiting.append(sock)

        while len(clients.connected) < most:
            assert len(clients.waiting) < 10 * most
            connect()
            clients.any_answered(_QUIET_S)
        for _ in range(BEYOND):
            connect()
        yield clients


def serves(sock: socket.socket) -> bool:
    """Return whether a connection gets 200; False if it gets 503."""
    return ask(sock).startswith(b"HTTP/1.1 200 ")


def metrics_over(sock: socket.socket) -> str:
    """Return /metrics, read over a connection that the server accepted before; this ends it."""
    sock.sendall(b"GET /metrics HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
    return read_to_end(sock).decode()
