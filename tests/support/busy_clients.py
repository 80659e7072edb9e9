"""Clients that keep a server busy, and know which of their requests were never answered.

kept connections, 200 of them, one thread:  send, reply, send, reply, ...   Connection: close
new connections, one thread each:           connect, send, reply, end; connect, ...   refused
                                                        |
                                   the server is told to stop or to reload
"""

import contextlib
import math
import select
import socket
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field

from tests.support.asking import HELLO
from tests.support.running import DEADLINE_S, Server, wait_until

KEPT = 200
"""Connections that are kept."""

_LAST = b"\r\nConnection: close\r\n"
_END = b"Hello, World!"


@dataclass
class _Kept:
    """A connection that is kept: the time of its last request, and the reply so far."""

    sock: socket.socket
    sent_s: float = math.inf
    reply: bytes = b""

    def send(self) -> None:
        self.sent_s, self.reply = math.inf, b""
        self.sock.sendall(HELLO)
        self.sent_s = time.monotonic()  # not before: the request may not have been on its way

    def receive(self) -> bool:
        """Read once; return whether the connection still has a reply to give."""
        data = self.sock.recv(65536)
        self.reply += data
        return bool(data)


@dataclass
class BusyClients:
    """Clients that send one request after the other, until the server ends their connections.

    Attributes:
        again: Whether a client whose connection the server ends connects again.
        enough: Set to True, it ends the clients that connect for each request.
        answered: Requests that have been answered.
        lost_s: The time of each request that was never answered; infinity if it was not sent whole.
        connected_s: When the last of the clients with a reply began to connect.
    """

    server: Server
    again: bool = False
    enough: bool = False
    answered: int = 0
    lost_s: list[float] = field(default_factory=list)
    connected_s: float = 0.0

    @contextlib.contextmanager
    def at_work(self, new: int) -> Iterator[None]:
        """Run the kept connections and ``new`` threads of new ones; the block ends the server."""
        threads = [threading.Thread(target=self._use_kept_connections)]
        threads += [threading.Thread(target=self.use_new_connections) for _ in range(new)]
        for thread in threads:
            thread.start()
        wait_until(lambda: self.answered > 2 * KEPT, "clients that are busy")
        yield
        for thread in threads:
            thread.join(DEADLINE_S)

    def lost_in_time_s(self, stop_s: float) -> list[float]:
        """Return the times, counted from ``stop_s``, of lost requests that were sent in time.

        In time: before the stop, or before a later client still got a reply.
        """
        in_time_s = max(stop_s, self.connected_s)
        return [round(sent_s - stop_s, 4) for sent_s in self.lost_s if sent_s <= in_time_s]

    def _use_kept_connections(self) -> None:
        poll = select.poll()
        kept: dict[int, _Kept] = {}

        def connect() -> None:
            one = _Kept(self.server.connect())
            kept[one.sock.fileno()] = one
            poll.register(one.sock, select.POLLIN)
            one.send()

        for _ in range(KEPT):
            connect()
        give_up_s = time.monotonic() + DEADLINE_S
        while kept and time.monotonic() < give_up_s:
            for fd, _ in poll.poll(1000):
                if self._goes_on(kept[fd]):
                    continue
                poll.unregister(fd)
                kept.pop(fd).sock.close()
                if self.again:
                    with contextlib.suppress(OSError):  # refused, or closed at once: all is over
                        connect()
        assert not kept

    def _goes_on(self, one: _Kept) -> bool:
        """Take what has arrived, and send the next request; return False at the end."""
        try:
            if not one.receive():
                self.lost_s.append(one.sent_s)
                return False
            if not one.reply.endswith(_END):
                return True
            self.answered += 1
            if _LAST in one.reply:
                return False
            one.send()
        except OSError:  # reset: the request has no answer
            self.lost_s.append(one.sent_s)
            return False
        return True

    def use_new_connections(self) -> None:
        """Connect, send, read to the end, and again, until the server refuses connections."""
        while not self.enough:
            begun_s, sent_s, reply = time.monotonic(), math.inf, b""
            try:
                sock = self.server.connect()
            except OSError:  # refused: the server is gone
                return
            with sock:
                try:
                    sock.sendall(HELLO.replace(b"Host", b"Connection: close\r\nHost"))
                    sent_s = time.monotonic()
                    while data := sock.recv(65536):
                        reply += data
                except OSError:  # reset: whatever came before is no reply
                    reply = b""
            if reply.endswith(_END):
                self.answered += 1
                self.connected_s = begun_s  # the server listened after that
            else:
                self.lost_s.append(sent_s)
