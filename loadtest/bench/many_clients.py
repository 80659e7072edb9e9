"""Many clients in one process, each with a kept connection."""

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
"""Clients that wait for a reply at the same time. With more, the kernel's repeated SYNs would be
measured, which come when a backlog is full, and not the server."""

LIMIT_S = 300.0
"""For all clients to get a reply; a client without one by then counts as an error."""

_SOURCES = [f"127.0.0.{number}" for number in range(2, 10)]
"""Source addresses: each has 28,000 ports, which other programs use, too."""

_REQUEST = b"GET / HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n"
_REPLY_BYTES_MAX = 4096
_IP_BIND_ADDRESS_NO_PORT = 24  # connect() picks the port, which only has to be free for this server


class ManyClients:
    """Clients of one server; after its reply, each holds its connection.

    Args:
        address: Of the server.
        advance: Called with the number of clients that are done.
    """

    def __init__(self, address: Address, advance: Callable[[int], None]) -> None:
        self.errors: Counter[str] = Counter()
        self.answered: list[socket.socket] = []
        self._address = address
        self._advance = advance
        # By descriptor, with the reply so far; None before the request is sent.
        self._waiting: dict[int, tuple[socket.socket, bytes | None]] = {}
        self._epoll = select.epoll()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        for sock in [*self.answered, *(sock for sock, _ in self._waiting.values())]:
            sock.close()
        self._epoll.close()

    def connect(self, count: int) -> float:
        """Let clients connect and send a request; return the seconds until all are done."""
        return self._request(self._connecting(number) for number in range(count))

    def request_again(self) -> float:
        """Send a request on each held connection; return the seconds until all are done."""
        socks, self.answered = self.answered, []
        return self._request(iter(socks))

    def _connecting(self, number: int) -> socket.socket:
        sock = socket.socket()
        sock.setblocking(False)
        sock.setsockopt(socket.IPPROTO_IP, _IP_BIND_ADDRESS_NO_PORT, 1)
        sock.bind((_SOURCES[number % len(_SOURCES)], 0))
        sock.connect_ex(self._address)  # send() raises if it has failed
        return sock

    def _request(self, socks: Iterator[socket.socket]) -> float:
        start_s = time.perf_counter()
        self._begin(socks, AT_ONCE)
        while self._waiting and time.perf_counter() - start_s < LIMIT_S:
            done = sum(self._go_on(fd) for fd, _ in self._epoll.poll(1.0))
            self._begin(socks, done)
            self._advance(done)
        for fd in list(self._waiting):
            self._fail(fd, f"no reply within {LIMIT_S:g} s")
        for sock in socks:
            self.errors["never sent"] += 1
            sock.close()
        return time.perf_counter() - start_s

    def _begin(self, socks: Iterator[socket.socket], count: int) -> None:
        for sock in islice(socks, count):
            self._waiting[sock.fileno()] = sock, None
            self._epoll.register(sock, select.EPOLLOUT)

    def _go_on(self, fd: int) -> bool:
        """Take a client's next step; return whether it is done, with a reply or an error."""
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
