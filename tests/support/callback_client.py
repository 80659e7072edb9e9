"""A client of the callback adapter, on a loop, a transport and a connection that a test steers."""

import asyncio
import socket
from collections.abc import Callable, Iterator
from typing import cast

from servers import limits
from servers.protocol.connection import State, Step, Wait
from servers.sockets.listeners import Listener, Timeouts
from servers.waiting.client_protocol import (
    BLOCKED,
    CLOSED,
    CLOSING,
    STARTING,
    WAITING,
    YIELDING,
    ClientProtocol,
    ClientState,
)
from servers.waiting.clients import Clients

HIGH_WATER_BYTES = 64 * 1024
LARGE = b"L" * 100_000


class Scripted:
    """A connection in which each byte is a request: see ``reply_to``."""

    def __init__(self) -> None:
        self.state = State.IDLE
        self._draining = False

    def receive_data(self, data: bytes) -> Iterator[Step]:
        if self.state is State.CLOSED:
            return
        self.state = State.RESPONDING
        for byte in data:
            if byte == ord("w"):
                yield Wait(1)
            yield reply_to(byte)
            if byte == ord("c"):
                self.state = State.CLOSED
                return
        idle = State.DRAINED if self._draining else State.IDLE
        self.state = idle if data else State.CLOSED

    def timed_out(self) -> Iterator[Step]:
        yield b"!"
        self.state = State.CLOSED

    def drain(self) -> None:
        self._draining = True
        if self.state is State.IDLE:
            self.state = State.DRAINED


def reply_to(byte: int) -> bytes:
    """Return the reply to a byte: w waits first, L is large, c is the last one."""
    return LARGE if byte == ord("L") else bytes([byte])


class Loop:
    """Keeps timers, and runs them when it is told to."""

    def __init__(self) -> None:
        self._timers: list[tuple[Callable[[], None], list[bool]]] = []

    def call_later(self, _: float, callback: Callable[[], None]) -> "Loop.Timer":
        active = [True]
        self._timers.append((callback, active))
        return self.Timer(active)

    def call_soon(self, callback: Callable[[], None]) -> "Loop.Timer":
        return self.call_later(0, callback)

    def run_timers(self) -> bool:
        """Run what is due by now; return whether there was any."""
        timers, self._timers = self._timers, []
        due = [callback for callback, active in timers if active[0]]
        for callback in due:
            callback()
        return bool(due)

    class Timer:
        def __init__(self, active: list[bool]) -> None:
            self._active = active

        def cancel(self) -> None:
            self._active[0] = False


class Transport:
    """Holds what is written until the client takes it, and tells the protocol as a loop does."""

    def __init__(self, protocol: asyncio.Protocol) -> None:
        self.protocol = protocol
        self.written = b""
        self.is_reading = self.wants_bytes = True
        self.is_closed = self.is_paused = self.sent_fin = self.is_taken_at_once = False
        self._held_bytes = 0

    def write(self, data: bytes) -> None:
        assert not self.sent_fin
        if self.is_closed:
            return
        self.written += data
        if not self.is_taken_at_once:
            self._held_bytes += len(data)
        if self._held_bytes > HIGH_WATER_BYTES and not self.is_paused:
            self.is_paused = True
            self.protocol.pause_writing()

    def take(self) -> None:
        """Let the client take all that is held."""
        self._held_bytes = 0
        if self.is_paused:
            self.is_paused = False
            self.protocol.resume_writing()

    def lose(self, error: Exception | None) -> None:
        """Tell the protocol that the connection has ended, once."""
        if self.wants_bytes:
            self.wants_bytes = False
            self.is_closed = True
            self.protocol.connection_lost(error)

    def pause_reading(self) -> None:
        self.is_reading = False

    def resume_reading(self) -> None:
        self.is_reading = True

    def write_eof(self) -> None:
        self.sent_fin = True

    def is_closing(self) -> bool:
        return self.is_closed

    def close(self) -> None:
        self.is_closed = True

    abort = close

    def get_write_buffer_size(self) -> int:
        return self._held_bytes

    def set_protocol(self, protocol: asyncio.Protocol) -> None:
        self.protocol = protocol


class Counters:
    """Opens and closes rows, and remembers which are open."""

    def __init__(self) -> None:
        self.rows: list[list[int]] = []

    def open(self, _: int) -> list[int]:
        row = [0] * 5
        self.rows.append(row)
        return row

    def close(self, row: list[int]) -> None:
        self.rows = [other for other in self.rows if other is not row]


class World:
    """A client on a loop, a transport and a connection that a test can see into."""

    def __init__(self) -> None:
        self.loop = Loop()
        self.counters = Counters()
        self.connection = Scripted()
        listener = Listener(
            protocol="test",
            index=0,
            sock=socket.socket(),
            backlog=0,
            kind=(0, 0, 0),
            connect=lambda _: self.connection,
            timeouts=Timeouts(1, 1, 1, 1),
            refusal=lambda _: b"",
            full_because="",
        )
        listener.sock.close()
        self.clients: Clients[ClientProtocol] = Clients(self._make, self.counters, "callback")  # type: ignore[arg-type]
        self.client = self.clients.add(listener.sock, listener)
        self.transport = Transport(self.client)

    def _make(self, *args: object) -> ClientProtocol:
        return ClientProtocol(cast("asyncio.AbstractEventLoop", self.loop), *args)  # type: ignore[arg-type]

    @property
    def state(self) -> ClientState:
        return self.client._state

    def connect(self) -> None:
        self.client.connection_made(cast("asyncio.Transport", self.transport))

    def reach(self, state: ClientState) -> None:
        """Bring the client into a state, from STARTING."""
        if state is not STARTING:
            self.connect()
        if state is WAITING:
            self.client.data_received(b"aw")
        elif state is BLOCKED:
            self.client.data_received(b"aL")
        elif state is YIELDING:
            self.client.data_received(b"a" * limits.FAIR_READ_BYTES)
        elif state is CLOSING:
            self.client.data_received(b"c")
        elif state is CLOSED:
            self.transport.lose(None)
        assert self.state is state
