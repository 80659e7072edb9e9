"""Many clients in one process: each keeps its connection, and asks when it is told to."""

import select
import socket
import time
from collections import Counter
from collections.abc import Callable, Iterator
from itertools import islice
from typing import Self

from loadtest.bench.peer_app import HELLO
from loadtest.client.address import Address

AT_ONCE = 256
"""Clients that wait for an answer at the same time: what is measured is the server's pace, and
not how the kernel repeats what does not fit into a backlog."""

LIMIT_S = 300.0
"""For all to be answered; those who have not been by then are errors."""

_SOURCES = [f"127.0.0.{number}" for number in range(2, 10)]
"""Where the clients come from: an address has 28,000 ports, and others use them, too."""

_REQUEST = b"GET / HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n"
_REPLY_BYTES_MAX = 4096
_IP_BIND_ADDRESS_NO_PORT = 24  # the port is found in connect(): free for this server is enough


class Crowd:
    """Clients of one server; those it has answered hold their connections.

    Args:
        address: The server's.
        advance: Called with the number of clients that are through.
    """

    def __init__(self, address: Address, advance: Callable[[int], None]) -> None:
        self.errors: Counter[str] = Counter()
        self.answered: list[socket.socket] = []
        self._address = address
        self._advance = advance
        # By descriptor; with what has come of the reply, None before the request is sent.
        self._waiting: dict[int, tuple[socket.socket, bytes | None]] = {}
        self._epoll = select.epoll()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        for sock in [*self.answered, *(sock for sock, _ in self._waiting.values())]:
            sock.close()
        self._epoll.close()

    def connect(self, count: int) -> float:
        """Let clients connect and ask; return the seconds until all of them were through."""
        return self._ask(self._connecting(number) for number in range(count))

    def ask_again(self) -> float:
        """Let those that have been answered ask again; return the seconds this took."""
        socks, self.answered = self.answered, []
        return self._ask(iter(socks))

    def _connecting(self, number: int) -> socket.socket:
        sock = socket.socket()
        sock.setblocking(False)
        sock.setsockopt(socket.IPPROTO_IP, _IP_BIND_ADDRESS_NO_PORT, 1)
        sock.bind((_SOURCES[number % len(_SOURCES)], 0))
        sock.connect_ex(self._address)  # send() tells if it has failed
        return sock

    def _ask(self, socks: Iterator[socket.socket]) -> float:
        start_s = time.perf_counter()
        self._begin(socks, AT_ONCE)
        while self._waiting and time.perf_counter() - start_s < LIMIT_S:
            through = sum(self._go_on(fd) for fd, _ in self._epoll.poll(1.0))
            self._begin(socks, through)
            self._advance(through)
        for fd in list(self._waiting):
            self._fail(fd, f"no answer within {LIMIT_S:g} s")
        for sock in socks:
            self.errors["never asked"] += 1
            sock.close()
        return time.perf_counter() - start_s

    def _begin(self, socks: Iterator[socket.socket], count: int) -> None:
        for sock in islice(socks, count):
            self._waiting[sock.fileno()] = sock, None
            self._epoll.register(sock, select.EPOLLOUT)

    def _go_on(self, fd: int) -> bool:
        """Take a client's next step; say whether it is through, be it with an error."""
        sock, reply = self._waiting[fd]
        try:
            if reply is None:
                sock.send(_REQUEST)  # it fits: nothing else is on its way
                self._epoll.modify(fd, select.EPOLLIN)
                self._waiting[fd] = sock, b""
                return False
            data = sock.recv(_REPLY_BYTES_MAX)
        except OSError as error:  # refused or reset
            self._fail(fd, error.strerror or str(error))
            return True
        reply += data
        if reply.startswith(b"HTTP/1.1 200 ") and reply.endswith(b"\r\n\r\n" + HELLO):
            self._epoll.unregister(fd)
            self.answered.append(self._waiting.pop(fd)[0])
            return True
        if not data or len(reply) >= _REPLY_BYTES_MAX:
            self._fail(fd, f"wrong reply {reply[:12].decode('latin-1')!r}" if reply else "closed")
            return True
        self._waiting[fd] = sock, reply
        return False

    def _fail(self, fd: int, kind: str) -> None:
        self.errors[kind] += 1
        self._epoll.unregister(fd)
        self._waiting.pop(fd)[0].close()
