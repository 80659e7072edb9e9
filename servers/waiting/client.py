"""A client of the models that wait by blocking: its socket, its connection, its counts."""

import logging
import socket
import time
from collections.abc import Iterable, Iterator
from types import TracebackType
from typing import TYPE_CHECKING, Any

from servers import limits
from servers.protocol.connection import (
    RECEIVED_BYTES,
    RESETS,
    SENT_BYTES,
    Connection,
    State,
    Step,
    Tally,
)
from servers.sockets.kernel import reset_on_close, unsent_bytes
from servers.sockets.listeners import Listener
from servers.waiting import draining
from servers.waiting.deadlines import Watch, stalls, takes_nothing
from servers.waiting.fairness import give_way
from servers.waiting.kernel_deadlines import is_still_served, limit_read
from servers.waiting.lingering import linger

if TYPE_CHECKING:
    from servers.waiting.clients import Clients

_IDLE, _CLOSED = State.IDLE, State.CLOSED  # an enumeration's members are slow to look up

_log = logging.getLogger("servers")


class Client:
    """One client, as its process, thread or greenlet sees it.

    Args:
        clients: The set to leave at the end; None: it is in none.

    Attributes:
        draining_since_s: Since when it is to be closed as soon as it is idle, on the monotonic
            clock; None: no shutdown has begun.
        reading_is_shut: Whether a shutdown has shut the reading: recv() returns what has arrived,
            then b"", and never waits.
        greenlet: The greenlet that serves it; set by models of greenlets only.
    """

    __slots__ = (
        "_clients",
        "_has_own_limit",
        "_read_bytes",
        "connection",
        "draining_since_s",
        "greenlet",
        "reading_is_shut",
        "sock",
        "tally",
        "timeouts",
        "watch",
    )

    greenlet: Any

    def __init__(
        self,
        sock: socket.socket,
        listener: Listener,
        tally: Tally,
        clients: "Clients[Client] | None" = None,
    ) -> None:
        self.sock = sock
        self.connection: Connection = listener.connect(tally)
        self.tally = tally
        self.timeouts = listener.timeouts
        self.watch: Watch | None = None
        self.draining_since_s: float | None = None
        self.reading_is_shut = False
        self._clients = clients
        self._has_own_limit = False  # recv() fails at a deadline of its own, not the listener's
        self._read_bytes = -1  # by the last recv(); 0: the client has sent its FIN

    def is_open(self) -> bool:
        """Return whether more bytes are to be received."""
        return self.connection.state is not _CLOSED

    def receive(self) -> Iterable[Step]:
        """Wait for the client's next bytes, or for its deadline; return the steps they call for.

        Raises:
            TimeoutError: The client does not take what it was sent.
            OSError: It has reset the connection.
        """
        connection = self.connection
        try:
            if self._has_own_limit or connection.state is not _IDLE:  # or a request has begun
                self._has_own_limit = limit_read(self)
            if self._read_bytes >= limits.FAIR_READ_BYTES:
                give_way()
            data = self.sock.recv(limits.RECV_BYTES)
            if not data and self.draining_since_s is not None:
                data = draining.receive_late(self)
        except (BlockingIOError, TimeoutError) as late:  # the deadline has passed
            self._has_own_limit = type(late) is BlockingIOError and is_still_served(self)
            return () if self._has_own_limit else self._time_out()
        size = self._read_bytes = len(data)
        self.tally[RECEIVED_BYTES] += size
        return connection.receive_data(data)

    def send(self, step: bytes) -> None:
        """Send all of a step.

        Raises:
            OSError: The client has reset the connection, or does not take it in time.
        """
        size = len(step)
        sent = 0
        if size < limits.LARGE_BYTES:
            try:
                sent = self.sock.send(step)  # nearly always all of it
            except BlockingIOError:  # nothing fits in: the client may merely be slow
                sent = 0
        if sent < size:
            self._send_rest(memoryview(step)[sent:])
            give_way()
        self.tally[SENT_BYTES] += size

    def closing(self) -> "Client":
        """Return a context manager that closes the connection at the end of a block.

        An error in the block costs this client only: it is counted or logged, and goes no further.
        """
        return self  # contextlib's would cost an idle connection 0.5 KB

    def __enter__(self) -> None: ...

    def __exit__(
        self, kind: object, error: BaseException | None, traceback: TracebackType | None
    ) -> bool:
        try:
            if error is None and (self._read_bytes or self.reading_is_shut):
                linger(self)  # the client may still send, and must not be reset for that
            elif isinstance(error, Exception):
                self._fail(error)
        except Exception as late_error:  # from the lingering; the same as before it
            self._fail(late_error)
        finally:
            self.close()
        return error is None or isinstance(error, Exception)

    def _fail(self, error: Exception) -> None:
        if isinstance(error, BlockingIOError | TimeoutError):  # it does not take its reply
            reset_on_close(self.sock)
        elif isinstance(error, OSError):  # reset by the client: no reply can reach it
            self.tally[RESETS] += 1
        else:  # no memory, or a bug
            reset_on_close(self.sock)
            _log.error("connection failed", exc_info=error)

    def close(self) -> None:
        """Close the socket and leave the set of clients; nothing happens the second time."""
        self.sock.close()
        if self._clients is not None:
            self._clients.remove(self)

    def close_if_idle(self, now_s: float) -> bool:
        """Close the connection as soon as it is idle; always True: it is done where it is read."""
        draining.close_if_idle(self, now_s)
        return True

    def abort(self) -> None:
        """Do nothing: a thread that blocks cannot be ended, and the process ends now."""

    def fileno(self) -> int:
        """Return the socket's descriptor; -1 once it is closed."""
        return self.sock.fileno()

    def unacked_bytes(self) -> int:
        """Return how many bytes the client has not acknowledged."""
        return unsent_bytes(self.sock.fileno())

    def _time_out(self) -> Iterator[Step]:
        """Return the last steps for a client whose deadline has passed.

        Raises:
            TimeoutError: It does not take what it was sent.
        """
        if takes_nothing(self):
            raise TimeoutError
        return self.connection.timed_out()

    def _send_rest(self, rest: memoryview) -> None:
        """Send a large step, or what the kernel has not taken at once of a small one."""
        unacked_bytes = self.unacked_bytes() + len(rest)
        give_up_s = time.monotonic() + self.timeouts.write_s
        while rest:
            try:
                sent = self.sock.send(rest)
            except BlockingIOError:  # SO_SNDTIMEO has passed, and nothing fits in yet
                sent = 0
            rest = rest[sent:]
            if rest and time.monotonic() >= give_up_s:
                left = self.unacked_bytes() + len(rest)
                if stalls(unacked_bytes, left):
                    raise TimeoutError
                unacked_bytes, give_up_s = left, time.monotonic() + self.timeouts.write_s
