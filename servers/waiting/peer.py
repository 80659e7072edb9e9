"""A client of the models that wait by blocking: what it may do, for how long, and what it gets."""

import socket
import time
from collections.abc import Iterator

from servers import limits
from servers.protocol.connection import RECEIVED_BYTES, Connection, State, Step, Tally
from servers.sockets.kernel import peer_sends, set_receive_timeout, unsent_bytes
from servers.sockets.listeners import Listener
from servers.waiting.deadlines import silent_too_long, stalls, sweep_interval_s, too_late

_BETWEEN_REQUESTS = (State.IDLE, State.DRAINED)


class Peer:
    """A client: its socket, what is spoken with it, and its counts."""

    __slots__ = (
        "begun", "connection", "deadline_s", "finish_s", "reading_is_shut", "seen", "seen_s",
        "sock", "tally", "timeouts", "untaken",
    )  # fmt: skip

    def __init__(self, sock: socket.socket, listener: Listener, tally: Tally) -> None:
        self.sock = sock
        self.connection: Connection = listener.connect(tally)
        self.tally = tally
        self.timeouts = listener.timeouts
        self.begun: tuple[State, int] | None = None
        self.deadline_s = 0.0
        self.finish_s: float | None = None  # since when it is to end as soon as it is idle
        self.reading_is_shut = False  # recv() returns what has come, and waits no more
        self.seen: int | None = None
        self.seen_s = 0.0
        self.untaken: int | None = None

    def fileno(self) -> int:
        """Return the socket's descriptor."""
        return self.sock.fileno()

    def untaken_bytes(self) -> int:
        """Return how much of ours the client has not taken."""
        return unsent_bytes(self.sock.fileno())

    def limit_read(self) -> bool:
        """Let the next recv() wait no longer than what is awaited may take.

        Returns:
            Whether that is a limit of its own, and not the one that was there from the start.

        Raises:
            TimeoutError: It has taken that long already.
        """
        now_s = time.monotonic()
        if self.connection.state in _BETWEEN_REQUESTS:
            rest_s, still = self.timeouts.idle_s, self._is_looked_at()
            if still:
                rest_s = self.seen_s + rest_s - now_s
                rest_s = sweep_interval_s([self.timeouts]) if self.untaken else max(rest_s, 0.001)
            set_receive_timeout(self.sock, rest_s)
            return still
        if too_late(self, now_s):
            raise TimeoutError
        set_receive_timeout(self.sock, max(self.deadline_s - now_s, 0.001))
        return True

    def still_takes(self) -> bool:
        """Say whether one that has sent nothing for as long as it may is not idle even so."""
        now_s = time.monotonic()
        if self.connection.state not in _BETWEEN_REQUESTS:
            return False
        if not self._is_looked_at():
            self.seen, self.untaken = self.tally[RECEIVED_BYTES], None
            self.seen_s = now_s - self.timeouts.idle_s  # for so long recv() has waited
        return not silent_too_long(self, now_s)

    def _is_looked_at(self) -> bool:
        """Say whether it has been looked at since it last sent something."""
        return self.untaken is not None and self.seen == self.tally[RECEIVED_BYTES]

    def time_out(self) -> Iterator[Step]:
        """Return the last words to a client whose time is up.

        Raises:
            TimeoutError: It does not take what it has.
        """
        if self.connection.state in _BETWEEN_REQUESTS and self.untaken:
            raise TimeoutError
        return self.connection.timed_out()

    def receive_late(self) -> bytes:
        """Return what a client sends although it was ended as idle, or b"".

        recv() does not wait for it any more; but a request that had begun is finished.

        Raises:
            TimeoutError: It has taken as long as it may.
        """
        if self.connection.state in _BETWEEN_REQUESTS:
            return self._receive_held_back()
        data, may_come = b"", True
        while may_come and not data:
            may_come = peer_sends(self.sock)  # asked first: what came before its FIN is read, too
            data = self.sock.recv(limits.RECV_BYTES)
            if may_come and not data:
                if too_late(self, time.monotonic()):
                    raise TimeoutError
                time.sleep(limits.DRAIN_POLL_S)
        return data

    def _receive_held_back(self) -> bytes:
        """Return what a full window has held back in the client's kernel, or b"".

        That comes when the client has taken what we sent: nothing else tells it of room, since
        Linux announces none after SHUT_RD. Who never pauses would stay, so there is a limit.
        """
        data, last, give_up_s = b"", False, (self.finish_s or 0.0) + limits.LINGER_S
        while not data and not last:
            may_come = peer_sends(self.sock) and time.monotonic() < give_up_s
            last = not may_come or not unsent_bytes(self.fileno())
            if may_come:
                time.sleep(limits.DRAIN_POLL_S)
            data = self.sock.recv(limits.RECV_BYTES)
        return data

    def send_all(self, rest: memoryview) -> None:
        """Send something large, or what was not taken at once of something small.

        Raises:
            OSError: The client is gone, or does not take it in time.
        """
        untaken = unsent_bytes(self.fileno()) + len(rest)
        give_up_s = time.monotonic() + self.timeouts.write_s
        while rest:
            try:
                sent = self.sock.send(rest)
            except BlockingIOError:  # SO_SNDTIMEO has passed, and nothing fits in yet
                sent = 0
            rest = rest[sent:]
            if rest and time.monotonic() >= give_up_s:
                left = unsent_bytes(self.fileno()) + len(rest)
                if stalls(untaken, left):
                    raise TimeoutError
                untaken, give_up_s = left, time.monotonic() + self.timeouts.write_s
