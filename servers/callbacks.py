"""Accept and serve, for every model that is called back by an event loop."""

import asyncio
import socket
import time
from collections import deque
from collections.abc import Iterator, Sequence
from typing import cast

from servers import limits
from servers.accepting import BackOff, accept, last_turns
from servers.callback_lingering import Lingerer
from servers.connection import Awaiting, Step, Wait
from servers.counters import RECEIVED_BYTES, RESETS, SENT_BYTES, Counters
from servers.deadlines import overdue, slices, sweep_interval_s
from servers.kernel import reset_on_close, unread_bytes, unsent_bytes
from servers.listeners import Listener
from servers.shutdown import Shutdown


class Peer(asyncio.Protocol):
    """One client: carries out its connection's steps, as fast as the client takes them.

    While steps are left nothing is read, so the client's own window holds it back.
    """

    __slots__ = (
        "_counters", "_early", "_eof", "_held", "_loop", "_peers", "_steps",
        "_timer", "_writable", "begun", "connection", "deadline_s", "looked_at", "seen", "seen_s",
        "tally", "timeouts", "transport", "untaken",
    )  # fmt: skip

    transport: asyncio.Transport

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        listener: Listener,
        counters: Counters,
        peers: "set[Peer]",
    ) -> None:
        self.tally = counters.open(listener.index)
        self.connection = listener.connect(self.tally)
        self.timeouts = listener.timeouts
        self.begun: tuple[Awaiting, int] | None = None
        self.deadline_s = 0.0
        self.seen: int | None = None
        self.seen_s = 0.0
        self.untaken: int | None = None
        self.looked_at = -1  # received by the last look; or not all is taken
        self._loop = loop
        self._counters = counters
        self._peers = peers
        self._steps: Iterator[Step] | None = None  # those still to be carried out
        self._timer: asyncio.TimerHandle | None = None  # a Wait
        self._writable = True
        self._held = False  # reading is paused, or there is more to hand on than has been
        self._early = b""  # what a loop hands over although reading is paused
        self._eof = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """The client is there (called by the loop)."""
        self.transport = cast("asyncio.Transport", transport)
        self._peers.add(self)

    def data_received(self, data: bytes) -> None:
        """Bytes are there (called by the loop)."""
        size = len(data)
        self.tally[RECEIVED_BYTES] += size
        if self._steps is None:
            self._steps = self.connection.receive_data(data)
            self._advance(self._steps)
            if size >= limits.TURN_BYTES and self._steps is None and not self._held:
                # libuv would read here again and again before it looked at anybody else.
                self._hold()
                self._loop.call_soon(self._take_turn)
        else:
            self._early += data
            self._held = True

    def eof_received(self) -> bool:
        """The client has stopped sending (called by the loop); it may well go on reading."""
        self._eof = self._held = True
        if self._steps is None:
            self._go_on()
        return True

    def pause_writing(self) -> None:
        """The client does not keep up (called by the loop)."""
        self._writable = False

    def resume_writing(self) -> None:
        """The client has caught up (called by the loop)."""
        self._writable = True
        if self._steps is not None and self._timer is None:
            self._advance(self._steps)

    def connection_lost(self, exc: Exception | None) -> None:
        """The client is gone (called by the loop)."""
        if exc is not None:  # reset by the peer
            self.tally[RESETS] += 1
        if self._timer is not None:
            self._timer.cancel()
        self._steps = None
        self._peers.discard(self)
        self._counters.close(self.tally)

    def fileno(self) -> int:
        """Return the socket's descriptor, or -1 once it is closed."""
        return int(self.transport.get_extra_info("socket").fileno())

    def untaken_bytes(self) -> int:
        """Return how much of ours the client has not taken, held by the loop or by the kernel."""
        return unsent_bytes(self.fileno()) + self.transport.get_write_buffer_size()

    def time_out(self) -> None:
        """End a client that has been silent, or has taken nothing, for too long."""
        stalls = self.connection.awaiting is Awaiting.IDLE and self.untaken
        if self._steps is None and not stalls:
            self._say_last_words()
        else:  # it does not take what it asked for, nor would what the kernel holds be taken
            if self.fileno() >= 0:
                reset_on_close(self.transport.get_extra_info("socket"))
            self.transport.abort()

    def finish(self, lingers: bool) -> None:
        """End a client that is idle, has been told, and has sent nothing since the last look."""
        silent = not lingers or self.looked_at == self.tally[RECEIVED_BYTES]
        untaken_bytes = self.untaken_bytes()
        self.looked_at = -1 if untaken_bytes else self.tally[RECEIVED_BYTES]
        idle = silent and self._steps is None and self.connection.closed
        if idle and not self.transport.is_closing() and not unread_bytes(self.fileno()):
            if untaken_bytes:
                self._say_last_words()  # and linger, or what it sends would lose them
            else:
                self.transport.close()

    def _say_last_words(self) -> None:
        self._steps = self.connection.timed_out()
        self._advance(self._steps)

    def _advance(self, steps: Iterator[Step]) -> None:
        """Carry out steps until one has to be waited for, or others have their turn."""
        given = 0
        for step in steps:
            if type(step) is Wait:
                self._hold()
                self._timer = self._loop.call_later(step.seconds, self._waited)
                return
            self.transport.write(step)
            size = len(step)
            self.tally[SENT_BYTES] += size
            if not self._writable:
                self._hold()
                return
            given += size
            if given >= limits.TURN_SENT_BYTES:
                self._hold()
                self._timer = self._loop.call_later(0, self._waited)
                return
            if size >= limits.TURN_BYTES and self.transport.is_closing():
                return  # a stream whose client has gone: connection_lost() comes next
        # One that was closed while it was idle is read on, until a last look finds nothing.
        if self.connection.closed and self.connection.awaiting is Awaiting.NOTHING:
            self._finish()
        else:
            self._steps = None
            if self._held:
                self._go_on()

    def _go_on(self) -> None:
        """Hand on what came while steps were being carried out, or read again."""
        if self._early or self._eof:
            data, self._early = self._early, b""
            self._steps = self.connection.receive_data(data)
            self._advance(self._steps)
        else:
            self._held = False
            self.transport.resume_reading()

    def _hold(self) -> None:
        self._held = True
        self.transport.pause_reading()

    def _take_turn(self) -> None:
        if self._steps is None and self._held and not self.transport.is_closing():
            self._go_on()

    def _waited(self) -> None:
        self._timer = None
        if self._steps is not None and self._writable:
            self._advance(self._steps)

    def _finish(self) -> None:
        """Close in a way that lets the client read our last words."""
        if self._eof:
            self.transport.close()
            return
        try:
            self.transport.write_eof()
        except OSError:  # asyncio lets it through: our last words have met a reset
            self.tally[RESETS] += 1
            self.transport.abort()
            return
        Lingerer(self._loop, self)


async def serve(listeners: Sequence[Listener], counters: Counters, shutdown: Shutdown) -> None:
    """Serve until the shutdown is requested and drained."""
    loop = asyncio.get_running_loop()
    peers: set[Peer] = set()
    starting: set[asyncio.Task[object]] = set()
    back_off, turns = BackOff(), deque(listeners)
    pauses: list[asyncio.TimerHandle] = []  # one at the most, while nobody is accepted

    def watch() -> None:
        turns.rotate()  # or the first listener's clients would have all the room there is
        for listener in turns:
            loop.add_reader(listener.sock, take, listener)

    def take(listener: Listener, last: bool = False) -> None:
        # Not create_server(): at the descriptor limit asyncio's retries multiply (cpython#151615)
        # and libuv closes the clients that wait.
        for sock in accept(listener, counters, back_off, last):
            peer = Peer(loop, listener, counters, peers)
            task = loop.create_task(begin(peer, sock))
            starting.add(task)
            task.add_done_callback(starting.discard)
        if back_off.delay_s and not pauses:
            ignore()
            pauses.append(loop.call_later(back_off.delay_s, go_on))

    async def begin(peer: Peer, sock: socket.socket) -> None:
        try:
            await loop.connect_accepted_socket(lambda: peer, sock)
        except OSError as error:  # gone already
            sock.close()
            peer.connection_lost(error)

    def go_on() -> None:
        if pauses:
            pauses.pop().cancel()
            if not shutdown.requested:
                watch()

    def ignore() -> None:
        for listener in listeners:
            loop.remove_reader(listener.sock)

    def begin_sweep(due_s: float) -> None:
        late = loop.time() - due_s > interval_s  # first let what has arrived meanwhile be read
        loop.call_later(limits.LOOK_S if late else 0, sweep, slices(peers))

    def sweep(parts: Iterator[list[Peer]]) -> None:
        for part in parts:
            loop.call_soon(sweep, parts)  # first: a mistake with one of them costs no deadline
            for peer in overdue(part, time.monotonic()):
                peer.time_out()
            return
        loop.call_later(interval_s, begin_sweep, loop.time() + interval_s)

    def look_at_signals() -> None:
        shutdown.clear_wake()  # not each of them asks for a shutdown
        if shutdown.requested:
            requested.set()

    counters.on_room = go_on
    requested = asyncio.Event()
    loop.add_reader(shutdown.fd, look_at_signals)
    interval_s = sweep_interval_s([listener.timeouts for listener in listeners])
    sweep(slices(peers))
    watch()
    shutdown.on_serving()
    await requested.wait()
    give_up_s = time.monotonic() + shutdown.grace_s
    loop.remove_reader(shutdown.fd)
    ignore()
    for listener in listeners:
        for _ in last_turns(listener, counters, shutdown):
            take(listener, last=True)
    if starting:
        await asyncio.wait(starting)
    for peer in list(peers):
        peer.connection.drain()
    for listener in listeners:  # only now: whoever is refused knows that all others were told
        listener.sock.close()
    linger_s = max(shutdown.finish_s, time.monotonic()) + limits.LINGER_S
    while peers and (now_s := time.monotonic()) < give_up_s:
        if now_s >= shutdown.finish_s:
            for peer in list(peers):  # and only now: whoever has asked before is answered
                peer.finish(now_s < linger_s)
        await asyncio.sleep(limits.LOOK_S)
    for peer in list(peers):
        peer.transport.abort()
