"""A client of the models that an event loop calls back: what it sends, awaits and gets."""

import asyncio
import socket
from collections.abc import Iterator
from typing import cast

from servers import limits
from servers.protocol.connection import (
    RECEIVED_BYTES,
    RESETS,
    SENT_BYTES,
    State,
    Step,
    Tally,
    Wait,
)
from servers.sockets.kernel import reset_on_close, unread_bytes, unsent_bytes
from servers.sockets.listeners import Listener
from servers.waiting.callback_lingering import Lingerer
from servers.waiting.clients import Clients
from servers.waiting.deadlines import Watch

_CLOSED = State.CLOSED


class Peer(asyncio.Protocol):
    """One client: carries out its connection's steps, as fast as the client takes them.

    While steps are left nothing is read, so the client's own window holds it back.
    """

    __slots__ = (
        "_clients", "_early", "_ended", "_eof", "_held", "_loop", "_steps", "_timer", "_writable",
        "connection", "finish_s", "listener", "looked_at", "sock", "tally", "timeouts",
        "transport", "was_idle", "watch",
    )  # fmt: skip

    transport: asyncio.Transport

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        sock: socket.socket,
        listener: Listener,
        tally: Tally,
        clients: "Clients[Peer]",
    ) -> None:
        self.sock = sock
        self.listener = listener
        self.tally = tally
        self.connection = listener.connect(self.tally)
        self.timeouts = listener.timeouts
        self.watch: Watch | None = None
        self.finish_s: float | None = None  # since when it is to end as soon as it is idle
        self.was_idle = False  # it was idle after that
        self.looked_at = -1  # received by the last look; or not all is taken
        self._loop = loop
        self._clients = clients
        self._steps: Iterator[Step] | None = None  # those still to be carried out
        self._timer: asyncio.TimerHandle | None = None  # a Wait
        self._writable = True
        self._held = False  # reading is paused, or there is more to hand on than has been
        self._early = b""  # what a loop hands over although reading is paused
        self._eof = False
        self._ended = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """The client is there (called by the loop)."""
        self.transport = cast("asyncio.Transport", transport)
        if self._ended:  # refused meanwhile, for want of memory
            self.transport.abort()

    def data_received(self, data: bytes) -> None:
        """Bytes are there (called by the loop)."""
        size = len(data)
        self.tally[RECEIVED_BYTES] += size
        if self._steps is None:
            self._steps = self.connection.receive_data(data)
            self._advance(self._steps)
            if size >= limits.FAIR_READ_BYTES and self._steps is None and not self._held:
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
        if self._ended:
            return
        self._ended = True
        if isinstance(exc, OSError):  # reset by the peer
            self.tally[RESETS] += 1
        if self._timer is not None:
            self._timer.cancel()
        self._steps = None
        self._clients.remove(self)

    def fileno(self) -> int:
        """Return the socket's descriptor, or -1 once it is closed."""
        return int(self.transport.get_extra_info("socket").fileno())

    def unacked_bytes(self) -> int:
        """Return how much of ours the client has not taken, held by the loop or by the kernel."""
        return unsent_bytes(self.fileno()) + self.transport.get_write_buffer_size()

    def time_out(self) -> None:
        """End a client that has been silent, or has taken nothing, for too long."""
        watch = self.watch
        stalls = watch is not None and watch.state is State.IDLE and watch.unacked_bytes
        if self._steps is None and not stalls:
            self._say_last_words()
        else:  # it does not take what it asked for, nor would what the kernel holds be taken
            if self.fileno() >= 0:
                reset_on_close(self.transport.get_extra_info("socket"))
            self.transport.abort()

    def close_if_idle(self, now_s: float) -> bool:
        """Close an idle client that has sent nothing since the last call; False: call again."""
        if self.finish_s is None:
            self.finish_s = now_s
        if self._steps is not None or self.connection.state is not State.DRAINED:
            return False
        self.was_idle = True
        lingers = now_s < self.finish_s + limits.LINGER_S
        silent = not lingers or self.looked_at == self.tally[RECEIVED_BYTES]
        unacked_bytes = self.unacked_bytes()
        self.looked_at = -1 if unacked_bytes else self.tally[RECEIVED_BYTES]
        if silent and not self.transport.is_closing() and not unread_bytes(self.fileno()):
            if unacked_bytes:
                self._say_last_words()  # and linger, or what it sends would lose them
            else:
                self.transport.close()
        return False

    def abort(self) -> None:
        """Close the connection at once."""
        self.transport.abort()

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
            if given >= limits.FAIR_WRITE_BYTES:
                self._hold()
                self._timer = self._loop.call_later(0, self._waited)
                return
            if size >= limits.FAIR_READ_BYTES and self.transport.is_closing():
                return  # a stream whose client has gone: connection_lost() comes next
        if self.connection.state is _CLOSED:
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
        try:
            Lingerer(self._loop, self)
        except MemoryError:  # none left to wait with
            self.time_out()
