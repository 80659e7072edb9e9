"""A connection of the load, driven by hand against a server of a few lines."""

import contextlib
import functools
import socket
import struct
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from itertools import count

import gevent

from loadtest.client.address import Address
from loadtest.client.arrivals import GAPS, Schedule
from loadtest.client.channel import Channel
from loadtest.client.engine import Engine
from loadtest.client.replies import Exchange, HTTPExchange
from loadtest.measure.histogram import new_histogram
from loadtest.measure.meter import Meter, Taken
from tests.support.running import DEADLINE_S

RIGHT = b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello"

Answer = Callable[[socket.socket, int], bool]
"""Takes a connection with a request in it and the request's number; returns whether to go on."""


@contextlib.contextmanager
def answering(
    answer: Answer,
    read: Callable[[socket.socket], bytes] = lambda sock: sock.recv(65536),
    one_by_one: bool = True,
) -> Iterator[Address]:
    """Run a server that reads once, answers, and so on; the requests of all are counted as one.

    Args:
        answer: Answers a request.
        read: Reads one.
        one_by_one: Serve a connection after the other; else each has a thread.
    """
    numbers = count()

    def serve_one(sock: socket.socket) -> None:
        with sock, contextlib.suppress(OSError):
            while read(sock) and answer(sock, next(numbers)):
                pass

    def serve() -> None:
        while True:
            try:
                sock, _ = listener.accept()
            except OSError:  # the test has ended
                return
            if one_by_one:
                serve_one(sock)
            else:
                threading.Thread(target=serve_one, args=(sock,), daemon=True).start()

    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        yield Address(*listener.getsockname())
        listener.shutdown(socket.SHUT_RDWR)
        thread.join(DEADLINE_S)


def right(sock: socket.socket, number: int) -> bool:
    sock.sendall(RIGHT)
    return True


def once_kept_then(ends: Callable[[socket.socket], None]) -> Answer:
    """Return what answers the first request of each connection, and ends it at the second."""
    seen: set[socket.socket] = set()

    def answer(sock: socket.socket, number: int) -> bool:
        if sock in seen:
            ends(sock)
            return False
        seen.add(sock)
        return right(sock, number)

    return answer


def resets(sock: socket.socket) -> None:
    """Let the end of a connection be a reset."""
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))


class User:
    """RequestSource the same all the time."""

    quiet = False
    read_rate_bytes_per_s: float | None = None

    def __init__(self, address: Address, exchange: Exchange | None = None) -> None:
        self._address = address
        self._exchange = exchange or HTTPExchange(address, expected=b"hello")

    def address(self) -> Address:
        return self._address

    def next_exchange(self) -> Exchange:
        return self._exchange


class Driven:
    """A channel, its meter, and what the two have seen so far."""

    def __init__(self, user: User) -> None:
        self.meter = Meter()
        self.meter.open(0.0)
        self.channel = Channel(engine(), self.meter, user)
        self.requests = 0
        self.errors: Counter[str] = Counter()
        self.dropped = self.given_up = self.reconnects = self.retries = 0
        self.times = {
            kind: new_histogram() for kind in ("latency", "service_time", "lateness", "close")
        }

    def look(self) -> None:
        taken: Taken = self.meter.inside.take()
        self.requests += taken.requests
        self.errors.update(taken.errors)
        self.dropped += taken.dropped
        self.given_up += taken.given_up
        self.reconnects += taken.reconnects
        self.retries += taken.retries
        for kind, total in self.times.items():
            if kind in taken.histograms:
                total.add(taken.histograms[kind])

    def until(self, condition: Callable[[], bool]) -> None:
        give_up_s = time.monotonic() + DEADLINE_S
        while not condition():
            assert time.monotonic() < give_up_s, (self.requests, self.errors)
            gevent.sleep(0.002)
            self.look()

    def established(self) -> None:
        self.until(lambda: self.channel.has_replied)


@functools.cache
def engine() -> Engine:
    """Return the process's engine, made when it is first asked for."""

    def failed(error: Exception) -> None:
        raise error

    return Engine(failed)


@contextlib.contextmanager
def driving(user: User) -> Iterator[Driven]:
    driven = Driven(user)
    try:
        yield driven
    finally:
        driven.channel.close()


def at_rate(period_s: float, deadline_s: float = 10.0) -> Schedule:
    return Schedule(time.perf_counter(), period_s, GAPS["constant"], deadline_s)
