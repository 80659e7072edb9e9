"""Accept and serve, for every model that waits by blocking.

What blocks is the model's affair: a process, a thread, or a greenlet that merely seems to.
"""

import logging
import select
import socket
import time
from collections import deque
from collections.abc import Callable, Collection, Sequence

from servers import limits
from servers.accepting import BackOff, NobodyToServe, accept, last_turns, refuse
from servers.connection import Awaiting, Connection, Tally, Wait
from servers.counters import RECEIVED_BYTES, RESETS, SENT_BYTES, Counters
from servers.deadlines import stalls, too_late
from servers.kernel import (
    peer_sends,
    reset_on_close,
    set_receive_timeout,
    shut_reading,
    unsent_bytes,
)
from servers.listeners import Listener
from servers.shutdown import Shutdown

_log = logging.getLogger("servers")


class Peer:
    """A client: its socket, what is spoken with it, and its counts."""

    __slots__ = (
        "begun", "connection", "deadline_s", "finish_s", "seen", "seen_s", "sock",
        "tally", "timeouts", "untaken",
    )  # fmt: skip

    def __init__(self, sock: socket.socket, listener: Listener, tally: Tally) -> None:
        self.sock = sock
        self.connection: Connection = listener.connect(tally)
        self.tally = tally
        self.timeouts = listener.timeouts
        self.begun: tuple[Awaiting, int] | None = None
        self.deadline_s = 0.0
        self.finish_s: float | None = None  # since when it is to end as soon as it is idle
        self.seen: int | None = None
        self.seen_s = 0.0
        self.untaken: int | None = None

    def fileno(self) -> int:
        """Return the socket's descriptor."""
        return self.sock.fileno()

    def limit_read(self) -> bool:
        """Let the next recv() wait no longer than what is awaited may take.

        Returns:
            Whether that is a limit of its own, and not the one that was there from the start.

        Raises:
            TimeoutError: It has taken that long already.
        """
        if self.connection.awaiting is Awaiting.IDLE:
            set_receive_timeout(self.sock, self.timeouts.idle_s)
            return False
        now_s = time.monotonic()
        if too_late(self, now_s):
            raise TimeoutError
        set_receive_timeout(self.sock, max(self.deadline_s - now_s, 0.001))
        return True

    def receive_late(self) -> bytes:
        """Return what a client sends although it was ended as idle, or b"".

        recv() does not wait for it any more; but a request that had begun is finished.

        Raises:
            TimeoutError: It has taken as long as it may.
        """
        if self.connection.awaiting is Awaiting.IDLE:
            return self._receive_held_back()
        data, may_come = b"", True
        while may_come and not data:
            may_come = peer_sends(self.sock)  # asked first: what came before its FIN is read, too
            data = self.sock.recv(limits.RECV_BYTES)
            if may_come and not data:
                if too_late(self, time.monotonic()):
                    raise TimeoutError
                time.sleep(limits.LOOK_S)
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
                time.sleep(limits.LOOK_S)
            data = self.sock.recv(limits.RECV_BYTES)
        return data

    def send_all(self, rest: memoryview) -> None:
        """Send something large, or what was not taken at once of something small.

        Raises:
            OSError: The client is gone, or does not take it in time.
        """
        untaken = unsent_bytes(self.fileno())
        give_up_s = time.monotonic() + self.timeouts.write_s
        while rest:
            try:
                sent = self.sock.send(rest)
            except BlockingIOError:  # SO_SNDTIMEO has passed, and nothing fits in yet
                sent = 0
            rest, untaken = rest[sent:], untaken + sent
            if rest and time.monotonic() >= give_up_s:
                left = unsent_bytes(self.fileno())
                if stalls(untaken, left):
                    raise TimeoutError
                untaken, give_up_s = left, time.monotonic() + self.timeouts.write_s


def serve_peer(peer: Peer) -> None:
    """Serve one client to the end: the handler of every blocking model, word for word."""
    sock, connection, tally = peer.sock, peer.connection, peer.tally
    data, idle, limited = b"?", Awaiting.IDLE, False
    try:
        while True:  # once at least: it may have come, request and all, as the server stops
            try:
                if limited or connection.awaiting is not idle:  # part of a request is there
                    limited = peer.limit_read()
                if len(data) >= limits.TURN_BYTES:
                    time.sleep(0)  # for the other greenlets, which have no other chance
                data = sock.recv(limits.RECV_BYTES)
                if not data and peer.finish_s is not None:
                    data = peer.receive_late()
            except (BlockingIOError, TimeoutError):  # its time is up
                steps = connection.timed_out()
            else:
                tally[RECEIVED_BYTES] += len(data)
                steps = connection.receive_data(data)
            for step in steps:
                if type(step) is Wait:
                    time.sleep(step.seconds)
                    continue
                size = len(step)
                sent = 0
                if size < limits.TURN_BYTES:
                    try:
                        sent = sock.send(step)  # nearly always all of it
                    except BlockingIOError:  # nothing fits in: maybe the peer is but slow
                        sent = 0
                if sent < size:
                    peer.send_all(memoryview(step)[sent:])
                    time.sleep(0)  # for the other greenlets, as above
                tally[SENT_BYTES] += size
            if connection.closed:
                if connection.awaiting is not idle:
                    break
                if peer.finish_s is not None:
                    close_if_idle(peer)  # the next recv() is the last look
        if data:
            linger(sock)
    except (BlockingIOError, TimeoutError):  # from send(): it does not take what it asked for
        reset_on_close(sock)
    except OSError:  # reset by the peer: there is nobody left to answer
        tally[RESETS] += 1
    except Exception:  # out of memory, or a mistake of ours: it costs one connection only
        reset_on_close(sock)
        _log.exception("connection failed")
    finally:
        sock.close()


def linger(sock: socket.socket) -> None:
    """Close in a way that lets the peer read our last words (RFC 9112 section 9.6).

    To close with bytes unread would make the kernel send a reset, which destroys them.
    """
    sock.shutdown(socket.SHUT_WR)
    sock.settimeout(limits.LINGER_S)
    give_up_s = time.monotonic() + limits.LINGER_S
    left_bytes = limits.LINGER_BYTES_MAX
    try:
        while left_bytes > 0 and time.monotonic() < give_up_s:
            data = sock.recv(limits.RECV_BYTES)
            if not data:
                break
            left_bytes -= len(data)
    except TimeoutError:  # the peer neither sends nor closes: it has had its time
        return


def accept_until_shutdown(
    listeners: Sequence[Listener],
    counters: Counters,
    shutdown: Shutdown,
    start: Callable[[socket.socket, Listener, Tally], None],
    tell: Callable[[], None],
    wake: Callable[[], None] = lambda: None,
) -> None:
    """Hand every client to ``start``, until a shutdown is requested; then stop listening.

    Nobody is lost who has come, or has asked, before the listeners close: first the queue is
    emptied, then all are told, and only afterwards are those closed who are idle.

    Args:
        start: Begins to serve a client, who is counted in a row, and returns at once; the row is
            to be closed at the client's end. Raises NobodyToServe.
        tell: Tells all who are served that the next reply is the last one, and returns at once:
            whoever is refused knows that all others were told.
        wake: Called when the shutdown's descriptor, not a client, has woken the loop.
    """
    by_fd = {listener.sock.fileno(): listener for listener in listeners}
    everything, only_shutdown = select.poll(), select.poll()
    turns = deque(by_fd)
    # First who has ended, and then who comes.
    for fd in (shutdown.fd, *by_fd):
        everything.register(fd, select.POLLIN)
    only_shutdown.register(shutdown.fd, select.POLLIN)
    back_off = BackOff()

    def take(listener: Listener, last: bool = False) -> None:
        why = ""
        for sock in accept(listener, counters, back_off, last):
            tally = None
            try:
                tally = counters.open(listener.index)
                start(sock, listener, tally)
            except (NobodyToServe, MemoryError) as nobody:
                if tally is not None:
                    counters.close(tally)
                refuse(sock, listener, counters)
                why = str(nobody) or "no memory left: sent away"
        if why:
            back_off.begin(listener, why)

    counters.on_room = shutdown.wake
    shutdown.on_serving()
    while not shutdown.requested:
        if back_off.delay_s:
            ready = [*(fd for fd, _ in only_shutdown.poll(back_off.delay_s * 1000)), *turns]
            turns.rotate()  # or the first listener's clients would have all the room there is
        else:
            ready = [fd for fd, _ in everything.poll()]
        for fd in ready:
            if fd == shutdown.fd:
                shutdown.clear_wake()
                wake()
                continue
            take(by_fd[fd])
    for listener in listeners:
        for _ in last_turns(listener, counters, shutdown):
            take(listener, last=True)
    tell()
    for listener in listeners:
        listener.sock.close()


def tell(peers: Collection[Peer]) -> None:
    """Let the next reply to each be the last one."""
    for peer in list(peers):
        peer.connection.drain()


def wait_for(peers: Collection[Peer], shutdown: Shutdown) -> None:
    """End those who are idle and wait until all have finished, but not beyond the grace period."""
    give_up_s = time.monotonic() + shutdown.grace_s
    finished = False
    while peers and (now_s := time.monotonic()) < give_up_s:
        if not finished and now_s >= shutdown.finish_s:
            finished = True
            for peer in list(peers):
                close_if_idle(peer)
        time.sleep(0.01)


def close_if_idle(peer: Peer) -> None:
    """Tell a connection that the server stops, and wake whoever waits for an idle one."""
    peer.connection.drain()
    peer.finish_s = peer.finish_s or time.monotonic()
    if peer.connection.awaiting is Awaiting.IDLE and (fd := peer.sock.fileno()) >= 0:
        shut_reading(fd)  # recv() first returns what has arrived already, then b""
