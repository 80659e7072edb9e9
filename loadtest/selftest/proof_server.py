"""A minimal server with known behaviour: plain, slow, or wrong; it logs what it did.

python -m loadtest.selftest.proof_server plain|slow|wrong LOG

It prints its port, serves on 127.0.0.1 until SIGTERM, and then writes LOG. It treats each read as
one request, since the generator sends requests one by one.
"""

import asyncio
import itertools
import json
import random
import signal
import socket
import sys
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import cast

import uvloop

from loadtest.host.files import write_whole

RIGHT = b"HTTP/1.1 200 OK\r\nContent-Length: 13\r\n\r\nHello, World!"
NOT_FOUND = b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n"

DELAY_MEDIAN_S = 0.02
DELAY_SIGMA = 1.0
DELAY_MAX_S = 1.0
"""Delays have a log-normal distribution, like those of many back ends: 20 ms at p50, 72 ms at p90,
205 ms at p99, 440 ms at p99.9."""

WRONG: dict[str, bytes | None] = {
    "WrongStatusError": RIGHT.replace(b"200 OK", b"503 Service Unavailable"),
    "WrongContentError": RIGHT.replace(b"World", b"world"),
    "WrongHeadError": RIGHT.replace(b"13", b"thirteen"),
    "LeftOverError": RIGHT + b"!",
    "TruncatedError": RIGHT[:-1],
    "ResetError": RIGHT[:-1],
    "TimedOutError": None,
}
"""The error the generator must count -> the reply that is sent; None: no reply."""


def delays(seed: int = 9110) -> Iterator[float]:
    """Yield delays in seconds, the same in every run."""
    drawn = random.Random(seed)
    while True:
        yield min(DELAY_MEDIAN_S * drawn.lognormvariate(0, DELAY_SIGMA), DELAY_MAX_S)


class Log:
    """What the server did, and what it will do next."""

    def __init__(self) -> None:
        self.applied_s: list[float] = []
        self.wrong: Counter[str] = Counter()
        self.requests = 0
        self.delays = delays()
        self.kinds = itertools.cycle(WRONG)


class Plain(asyncio.Protocol):
    """Sends the right reply at once."""

    transport: asyncio.Transport

    def __init__(self, log: Log) -> None:
        self.log = log
        self.right = 0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep the transport."""
        self.transport = cast("asyncio.Transport", transport)  # uvloop's has another base class

    def data_received(self, data: bytes) -> None:
        """Answer a request; one for metrics is not part of the load."""
        if data.startswith(b"GET /metrics"):
            self.transport.write(NOT_FOUND)
        else:
            self.log.requests += 1
            self.answer()

    def answer(self) -> None:
        """Answer now."""
        self.transport.write(RIGHT)


class Slow(Plain):
    """Sends the right reply after a delay, and logs the real delay."""

    def answer(self) -> None:
        """Answer later."""
        loop = asyncio.get_running_loop()
        loop.call_later(next(self.log.delays), self._answer_late, time.perf_counter())

    def _answer_late(self, received_s: float) -> None:
        self.transport.write(RIGHT)
        self.log.applied_s.append(time.perf_counter() - received_s)


class Wrong(Plain):
    """Sends a right first reply on each connection, then wrong ones, each kind in turn."""

    def answer(self) -> None:
        """Answer wrongly."""
        self.right += 1
        if self.right == 1:
            self.transport.write(RIGHT)
            return
        kind = next(self.log.kinds)
        self.log.wrong[kind] += 1
        reply = WRONG[kind]
        if reply is None:
            return
        self.transport.write(reply)
        if kind == "TruncatedError":
            self.transport.close()
        elif kind == "ResetError":
            sock = self.transport.get_extra_info("socket")
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
            self.transport.abort()


PROTOCOLS: dict[str, type[Plain]] = {"plain": Plain, "slow": Slow, "wrong": Wrong}


async def serve(mode: str, log: Log) -> None:
    """Serve until SIGTERM."""
    loop = asyncio.get_running_loop()
    ended = asyncio.Event()
    loop.add_signal_handler(signal.SIGTERM, ended.set)
    server = await loop.create_server(lambda: PROTOCOLS[mode](log), "127.0.0.1", 0, backlog=2048)
    print(server.sockets[0].getsockname()[1], flush=True)
    await ended.wait()


def main() -> None:
    """Serve, then write the log."""
    mode, path = sys.argv[1:]
    log = Log()
    uvloop.run(serve(mode, log))
    content = {"requests": log.requests, "wrong": log.wrong, "applied_s": log.applied_s}
    write_whole(Path(path), json.dumps(content))


if __name__ == "__main__":
    main()
