"""Servers that are full: who is inside, and who waits."""

import contextlib
import select
import socket
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field

from tests.support.crowd import answer_of, ask
from tests.support.limits_of_machine import HELLO
from tests.support.running import DEADLINE_S, Server, read_to_end

_QUIET_S = 0.1
BEYOND = 10
"""So many come when there is no room any more, wherever they are sent."""


@dataclass
class Full:
    """A server's clients.

    Attributes:
        room: How many may be inside.
    """

    room: int
    inside: list[socket.socket] = field(default_factory=list)
    waiting: list[socket.socket] = field(default_factory=list)

    def look(self, until_s: float) -> bool:
        """See who has been answered, as soon as somebody has; return whether somebody was."""
        answered, _, _ = select.select(self.waiting, [], [], until_s if self.waiting else 0)
        for sock in answered:
            assert answer_of(sock).startswith(b"HTTP/1.1 200 ")
            self.waiting.remove(sock)
            self.inside.append(sock)
        return bool(answered)

    def leave_in_turn(self) -> None:
        """Have one after the other leave, and who waits be let in, until nobody is left."""
        while self.inside:
            self.inside.pop().close()
            assert self.look(0 if self.inside else DEADLINE_S) or self.inside or not self.waiting
            assert len(self.inside) <= self.room


@contextmanager
def full(server: Server, room: int) -> Iterator[Full]:
    """Hold clients: so many inside, and others that wait.

    They stay idle, so the server has to be patient. The kernel spreads clients over workers by
    lot, so more have to come than there is room for.
    """
    clients = Full(room)
    with ExitStack() as stack:

        def another() -> None:
            sock = stack.enter_context(server.connect())
            sock.sendall(HELLO)
            clients.waiting.append(sock)

        while len(clients.inside) < room:
            assert len(clients.waiting) < 10 * room
            another()
            clients.look(_QUIET_S)
        for _ in range(BEYOND):
            another()
        yield clients


def serves(sock: socket.socket) -> bool:
    """Return whether a connection is served: True, or False where it is told 503."""
    return ask(sock).startswith(b"HTTP/1.1 200 ")


def metrics_over(sock: socket.socket) -> str:
    """Return /metrics, asked for by a client that is inside, and that leaves."""
    sock.sendall(b"GET /metrics HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
    return read_to_end(sock).decode()


def send_until_nobody_takes_more(socks: list[socket.socket], content: bytes) -> list[int]:
    """Send each the content as far as it goes; return how far it went."""
    sent = [0] * len(socks)
    for sock in socks:
        sock.setblocking(False)
    still = 0
    while still < 20:  # until nothing has moved for a while
        still += 1
        for at, sock in enumerate(socks):
            with contextlib.suppress(BlockingIOError):
                size = sock.send(memoryview(content)[sent[at] :])
                sent[at] += size
                still = 0 if size else still
        time.sleep(0.01)  # for the server, which has a core less than it would like
    return sent


def small_window(server: Server, protocol: str = "http", window_bytes: int = 4096) -> socket.socket:
    """Return a connection whose kernel takes little: the rest stays with the server."""
    address = server.http if protocol == "http" else server.echo
    assert address is not None
    sock = socket.socket()
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, window_bytes)
    sock.settimeout(DEADLINE_S)
    sock.connect(address)
    return sock
