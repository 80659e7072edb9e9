"""Accepting on a loop where something fails, on a loop that a test makes fail."""

import asyncio
import socket
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import pytest

from servers import limits
from servers.counting.counters import Counters
from servers.protocol.echo import EchoConnection
from servers.sockets.listeners import Listener, Timeouts, kind_of
from servers.waiting.callbacks import _serve
from servers.waiting.shutdown import Shutdown


class Loop(asyncio.SelectorEventLoop):
    """Fails where it is told to, and keeps what it reads from and what it is paused for."""

    def __init__(self) -> None:
        self.start_fails_with: Exception | None = None
        self.reader_fails = False
        self.failing_timers = 0
        self.reads: set[object] = set()
        super().__init__()

    async def connect_accepted_socket(self, *args: Any, **kwargs: Any) -> Any:
        if self.start_fails_with is not None:
            raise self.start_fails_with
        return await super().connect_accepted_socket(*args, **kwargs)

    def call_later(self, delay: float, callback: Any, *args: Any, **kwargs: Any) -> Any:  # type: ignore[override]
        if self.failing_timers:
            self.failing_timers -= 1
            raise MemoryError
        return super().call_later(delay, callback, *args, **kwargs)

    def add_reader(self, fd: Any, callback: Any, *args: Any) -> None:  # type: ignore[override]
        if self.reader_fails:
            raise MemoryError
        self.reads.add(fd)
        super().add_reader(fd, callback, *args)

    def remove_reader(self, fd: Any) -> bool:
        self.reads.discard(fd)
        return super().remove_reader(fd)


@pytest.fixture
def listener() -> Iterator[Listener]:
    with socket.create_server(("127.0.0.1", 0)) as sock:
        sock.setblocking(False)
        yield Listener(
            protocol="echo",
            index=0,
            sock=sock,
            backlog=8,
            kind=kind_of(sock),
            connect=lambda _: EchoConnection(),
            timeouts=Timeouts(60.0, 60.0, 60.0, 60.0),
            refusal=lambda _: b"refused",
            full_because="",
        )


class Served:
    """A server on the loop, and a client that connects to it without blocking the loop."""

    def __init__(self, loop: Loop, listener: Listener) -> None:
        self.loop = loop
        self.listener = listener
        self.counters = Counters(["echo"], 10)
        self.shutdown = Shutdown(grace_s=5.0)
        self.serving = loop.create_task(_serve([listener], self.counters, self.shutdown))

    async def connect(self) -> socket.socket:
        sock = socket.socket()
        sock.setblocking(False)
        await self.loop.sock_connect(sock, self.listener.sock.getsockname())
        return sock

    async def receive(self, sock: socket.socket) -> bytes:
        async with asyncio.timeout(5):
            return await self.loop.sock_recv(sock, 100)

    async def stop(self) -> None:
        self.shutdown.requested = True  # not request(): it would set this process's alarm
        self.shutdown.wake_up.wake()
        async with asyncio.timeout(4):  # less than the grace period
            await self.serving


def on_loop(listener: Listener, test: Callable[[Loop, Served], Any]) -> None:
    loop = Loop()

    async def run() -> None:
        await test(loop, Served(loop, listener))

    with asyncio.Runner(loop_factory=lambda: loop) as runner:
        runner.run(run())


def test_a_client_that_turns_out_late_to_find_no_memory_pauses_the_accepting(
    listener: Listener, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(limits, "BACKOFF_FIRST_S", 0.2)

    async def test(loop: Loop, served: Served) -> None:
        loop.start_fails_with = MemoryError()
        with await served.connect() as first, await served.connect() as second:
            assert await served.receive(first) == b"refused"
            assert listener.sock not in loop.reads
            loop.start_fails_with = None
            assert await served.receive(second) == b"refused"  # accepted in the same turn
        with await served.connect() as third:
            await loop.sock_sendall(third, b"hello")
            assert await served.receive(third) == b"hello"
        assert listener.sock in loop.reads
        await served.stop()

    on_loop(listener, test)


def test_accepting_begins_again_though_at_first_there_is_no_memory_for_it(
    listener: Listener, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(limits, "BACKOFF_LAST_S", 0.1)

    async def test(loop: Loop, served: Served) -> None:
        loop.start_fails_with = MemoryError()
        with await served.connect() as first:
            assert await served.receive(first) == b"refused"
        loop.start_fails_with, loop.reader_fails = None, True
        await asyncio.sleep(0.3)
        assert listener.sock not in loop.reads
        loop.reader_fails = False
        with await served.connect() as second:
            await loop.sock_sendall(second, b"hello")
            assert await served.receive(second) == b"hello"
        await served.stop()

    on_loop(listener, test)


def test_a_failure_of_the_loop_costs_one_client_and_no_shutdown_waits_for_it(
    listener: Listener, caplog: pytest.LogCaptureFixture
) -> None:
    async def test(loop: Loop, served: Served) -> None:
        loop.start_fails_with = ZeroDivisionError()
        with await served.connect() as first:
            assert await served.receive(first) == b""
        assert served.counters.open_count == 0
        await served.stop()

    on_loop(listener, test)
    assert caplog.messages == ["connection failed"]


def test_deadlines_are_checked_though_a_pause_between_two_sweeps_found_no_memory(
    listener: Listener,
) -> None:
    async def test(loop: Loop, served: Served) -> None:
        with await served.connect() as sock:
            while not served.counters.open_count:
                await asyncio.sleep(0.01)
            loop.failing_timers = 1
            while loop.failing_timers:  # until the next sweep, and not beside it
                await asyncio.sleep(0)
            assert await served.receive(sock) == b""
        await served.stop()

    on_loop(replace(listener, timeouts=Timeouts(1.0, 60.0, 60.0, 60.0)), test)
