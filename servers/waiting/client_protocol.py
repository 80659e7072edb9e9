"""One client of the models that an event loop calls back.

The loop calls; the protocol does what it can at once, and returns. What it waits for meanwhile is
its state, and an event leads on::

    state       waits for                      leads on
    --------    ---------------------------    --------------------------------------------
    STARTING    its transport                  connection_made: READING
    READING     the client's bytes             data_received, eof_received: carries out steps
    WAITING     the time of a Wait to pass     its timer: carries out the steps that are left
    BLOCKED     the client to read             resume_writing: the same
    YIELDING    the other clients' turns       its timer: the same
    CLOSING     the end of its transport       connection_lost: CLOSED
    CLOSED      nothing

Steps are carried out in READING. One that has to be waited for leads to WAITING, BLOCKED or
YIELDING; the last one leads to READING, or to CLOSING if the connection is closed by then. A missed
deadline and the end of the grace period lead to CLOSING from each state but STARTING, a lost
connection leads to CLOSED from each.

The loop reads in READING, and in CLOSING where the close lingers (``callback_lingering`` drops what
it reads). Elsewhere the client's own window holds it back; bytes and a FIN that the loop had read
already are kept until the steps are carried out.
"""

import asyncio
import socket
from collections.abc import Iterator
from enum import Enum
from typing import TYPE_CHECKING, cast

from servers import limits
from servers.protocol.connection import (
    RECEIVED_BYTES,
    RESETS,
    SENT_BYTES,
    Connection,
    State,
    Step,
    Tally,
    Wait,
)
from servers.sockets.kernel import reset_on_close, unsent_bytes
from servers.sockets.listeners import Listener, Timeouts
from servers.waiting.callback_draining import DrainChecks
from servers.waiting.callback_lingering import linger
from servers.waiting.deadlines import Watch, takes_nothing

if TYPE_CHECKING:
    from servers.waiting.clients import Clients


class ClientState(Enum):
    """What a client's protocol waits for; the table above says what leads on."""

    STARTING = "its transport"
    READING = "the client's bytes"
    WAITING = "the time of a Wait to pass"
    BLOCKED = "the client to read"
    YIELDING = "the other clients' turns"
    CLOSING = "the end of its transport"
    CLOSED = "nothing"


STARTING, READING, WAITING = ClientState.STARTING, ClientState.READING, ClientState.WAITING
BLOCKED, YIELDING = ClientState.BLOCKED, ClientState.YIELDING
CLOSING, CLOSED = ClientState.CLOSING, ClientState.CLOSED

_DRAINED, _CONNECTION_CLOSED = State.DRAINED, State.CLOSED


class ClientProtocol(asyncio.Protocol):
    """One client: carries out its connection's steps, as fast as the client takes them.

    Args:
        loop: Calls it back.
        clients: The set to leave at the end.

    Attributes:
        draining: What a shutdown remembers of it; None: no shutdown has begun.
    """

    __slots__ = (
        "_clients",
        "_eof",
        "_kept",
        "_loop",
        "_state",
        "_steps",
        "_timer",
        "connection",
        "draining",
        "listener",
        "sock",
        "tally",
        "transport",
        "watch",
    )

    transport: asyncio.Transport

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        sock: socket.socket,
        listener: Listener,
        tally: Tally,
        clients: "Clients[ClientProtocol]",
    ) -> None:
        self.sock = sock
        self.listener = listener
        self.connection: Connection = listener.connect(tally)
        self.tally = tally
        self.watch: Watch | None = None
        self.draining: DrainChecks | None = None
        self._loop = loop
        self._clients = clients
        self._state = STARTING
        self._steps: Iterator[Step] | None = None  # those left, in WAITING, BLOCKED and YIELDING
        self._timer: asyncio.TimerHandle | None = None  # in WAITING and YIELDING
        self._kept = b""  # bytes that have come while steps were left
        self._eof = False  # the client's FIN has come; it may well go on reading

    def data_received(self, data: bytes) -> None:
        """Answer the client's bytes (called by the loop)."""
        size = len(data)
        self.tally[RECEIVED_BYTES] += size
        if self._state is not READING or size >= limits.FAIR_READ_BYTES:
            self._receive_unusual(data)
        else:
            self._advance(self.connection.receive_data(data))  # 1. waits for the client's bytes

    def _advance(self, steps: Iterator[Step]) -> None:
        """Carry out steps until one has to be waited for."""
        sent = 0
        for step in steps:
            if type(step) is Wait:
                self._wait(WAITING, step.seconds)  # 2. waits, as if for a back end
            else:
                self.transport.write(step)  # 3. waits while the client does not read
                self.tally[SENT_BYTES] += len(step)
                sent += len(step)
            if self._state is not READING or (sent >= limits.LARGE_BYTES and self._ends_turn(sent)):
                self._steps = None if self._state is CLOSING else steps
                break
        if self.connection.state is _CONNECTION_CLOSED and self._state is READING:
            self._close()

    def pause_writing(self) -> None:
        """Stop after this step: the client does not keep up (called by write())."""
        if self._state is READING:
            self._state = BLOCKED
            self.transport.pause_reading()

    def resume_writing(self) -> None:
        """Go on: the client has caught up (called by the loop)."""
        if self._state is BLOCKED:
            self._resume()

    def _wait(self, state: ClientState, seconds: float) -> None:
        self._state = state
        self.transport.pause_reading()
        self._timer = self._loop.call_later(seconds, self._resume)

    def _resume(self) -> None:
        """Go on with the steps that are left, then with what was kept, and then read again."""
        steps, self._steps, self._timer = self._steps, None, None
        self._state = READING
        try:
            if steps is not None:
                self._advance(steps)
            if self._state is READING and self._kept:
                data, self._kept = self._kept, b""
                self._advance(self.connection.receive_data(data))
            if self._state is READING and self._eof:
                self._advance(self.connection.receive_data(b""))
            if self._state is READING:
                self.transport.resume_reading()
        except MemoryError:  # no further event would come; to log it would take memory
            self.reset()
        except Exception:  # a bug: no further event would come, and the loop logs it
            self.reset()
            raise

    def _receive_unusual(self, data: bytes) -> None:
        """Keep bytes that come while steps are left; yield to other clients after many bytes."""
        if self._state is READING:
            self._advance(self.connection.receive_data(data))
            if self._state is READING:
                # libuv would read here again and again before it looked at another client.
                self._wait(YIELDING, 0)
        elif self._state is not CLOSING and self._state is not CLOSED:
            self._kept += data

    def _ends_turn(self, sent: int) -> bool:
        """Yield to other clients after many bytes; make no reply for a client that has gone."""
        if self.transport.is_closing():  # connection_lost() comes next; write() may raise by now
            self._state = CLOSING
        elif sent >= limits.FAIR_WRITE_BYTES:
            self._wait(YIELDING, 0)
        return self._state is not READING

    def eof_received(self) -> bool:
        """Answer the client's FIN (called by the loop); it may well go on reading."""
        self._eof = True
        if self._state is READING:
            self._advance(self.connection.receive_data(b""))
        return True

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Begin to serve the client (called by the loop)."""
        self.transport = cast("asyncio.Transport", transport)
        if self._state is STARTING:
            self._state = READING
        else:  # refused meanwhile, for want of memory
            self.transport.abort()

    def connection_lost(self, exc: Exception | None) -> None:
        """Leave the set of clients: the transport is closed (called by the loop)."""
        if self._state is CLOSED:
            return
        if isinstance(exc, OSError):  # reset by the client
            self.tally[RESETS] += 1
        self._leave(CLOSED)
        self._clients.remove(self)

    def time_out(self) -> None:
        """End a client that has missed a deadline: with its last reply, or with a reset."""
        owes_bytes = self._state is READING or (self._state is YIELDING and self._steps is None)
        if owes_bytes and not takes_nothing(self):
            self._send_last_reply()
        elif self._state is not STARTING and self._state is not CLOSED:
            self.reset()

    def close_if_idle(self, now_s: float) -> bool:
        """Close the connection if the client has nothing left to ask; return whether it closes."""
        if self.draining is None:
            self.draining = DrainChecks(now_s)
        is_idle = self._state is READING and self.connection.state is _DRAINED
        if is_idle and self.draining.has_ended(self, now_s) and not self.transport.is_closing():
            if self.unacked_bytes():
                self._send_last_reply()  # and linger: a reset would lose what it has not taken
            else:
                self._state = CLOSING
                self.transport.close()
        return self._state is CLOSING or self._state is CLOSED

    def reset(self) -> None:
        """Close at once, and drop what the client has not taken."""
        reset_on_close(self.sock)
        self.abort()

    def abort(self) -> None:
        """Close at once."""
        if self._state is not STARTING and self._state is not CLOSED:
            self._leave(CLOSING)
            self.transport.abort()

    @property
    def timeouts(self) -> Timeouts:
        """Return how long the client may take."""
        return self.listener.timeouts

    def fileno(self) -> int:
        """Return the socket's descriptor; -1 once it is closed."""
        return self.sock.fileno()

    def unacked_bytes(self) -> int:
        """Return how many bytes the client has not acknowledged, held by the loop or the kernel."""
        in_loop = 0 if self._state is STARTING else self.transport.get_write_buffer_size()
        return unsent_bytes(self.fileno()) + in_loop

    def _send_last_reply(self) -> None:
        """Close a connection on which no steps are left, with its 408 if a request had begun."""
        self._leave(READING)
        try:
            self._advance(self.connection.timed_out())
        except MemoryError:  # no further event would come
            self.reset()

    def _close(self) -> None:
        """Close in such a way that the client can read the last reply."""
        self._state = CLOSING
        if self._eof:
            self.transport.close()
        else:  # it may still send, and a reset would lose the reply
            linger(self, self._loop)

    def _leave(self, state: ClientState) -> None:
        """Change the state, and drop the steps and the timer of the one before."""
        self._state = state
        self._steps = None
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
