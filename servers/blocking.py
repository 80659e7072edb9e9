"""Accept and serve, for every model that waits by blocking.

What blocks is the model's affair: a process, a thread, or a greenlet that merely seems to.
"""

import select
import socket
import time
from collections.abc import Callable, Sequence

from servers import limits
from servers.accepting import BackOff, NobodyToServe, accept, last_turns, refuse
from servers.connection import Awaiting, Connection, Tally, Wait
from servers.counters import RECEIVED_BYTES, RESETS, SENT_BYTES, Counters
from servers.deadlines import too_late
from servers.kernel import (
    peer_sends,
    reset_on_close,
    set_receive_timeout,
    shut_reading,
    unread_bytes,
)
from servers.listeners import Listener
from servers.shutdown import Shutdown


class Peer:
    """A client: its socket, what is spoken with it, and its counts."""

    __slots__ = (
        "begun", "connection", "deadline_s", "finished", "looked", "seen", "seen_s", "sock",
        "tally", "timeouts",
    )  # fmt: skip

    def __init__(self, sock: socket.socket, listener: Listener, tally: Tally) -> None:
        self.sock = sock
        self.connection: Connection = listener.connect(tally)
        self.tally = tally
        self.timeouts = listener.timeouts
        self.begun: tuple[Awaiting, int] | None = None
        self.deadline_s = 0.0
        self.finished = self.looked = False
        self.seen: int | None = None
        self.seen_s = 0.0

    def fileno(self) -> int:
        """Return the socket's descriptor."""
        return self.sock.fileno()

    def is_over(self) -> bool:
        """Say whether nothing more is to be read of a closed connection.

        One that was closed while it was idle has not been told in its last reply: so it is read on
        until nobody can come any more, and once again then, for what has been sent by then.
        """
        if self.connection.awaiting is not Awaiting.IDLE or self.looked:
            return True
        self.looked = self.finished
        return self.finished and not unread_bytes(self.fileno())

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
        """Return what a client sends whose request had begun to arrive as it was ended as idle.

        recv() does not wait for it any more; but what had begun is finished.

        Raises:
            TimeoutError: It has taken as long as it may.
        """
        data = b""
        while not data and self.connection.awaiting is not Awaiting.IDLE and peer_sends(self.sock):
            if too_late(self, time.monotonic()):
                raise TimeoutError
            time.sleep(0.01)
            data = self.sock.recv(limits.RECV_BYTES)
        return data

    def send_rest(self, rest: memoryview, begun_s: float) -> None:
        """Send what was not taken at once.

        Args:
            begun_s: When it was first tried; 0: just now.

        Raises:
            OSError: The client is gone, or does not take it in time.
        """
        give_up_s = (begun_s or time.monotonic()) + self.timeouts.write_s
        while rest:
            if time.monotonic() >= give_up_s:
                raise TimeoutError
            rest = rest[self.sock.send(rest) :]


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
                if not data and peer.finished:
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
                begun_s = time.monotonic() if size >= limits.TURN_BYTES else 0.0
                sent = sock.send(step)  # nearly always all of it, without sendall()'s bookkeeping
                if sent < size:
                    peer.send_rest(memoryview(step)[sent:], begun_s)
                tally[SENT_BYTES] += size
            if connection.closed and peer.is_over():
                break
        if data:
            linger(sock)
    except (BlockingIOError, TimeoutError):  # from send(): it does not take what it asked for
        reset_on_close(sock)
    except OSError:  # reset by the peer: there is nobody left to answer
        tally[RESETS] += 1
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
    start: Callable[[socket.socket, Listener], None],
    tell: Callable[[], None],
    wake: Callable[[], None] = lambda: None,
) -> None:
    """Hand every client to ``start``, until a shutdown is requested; then stop listening.

    Nobody is lost who has come, or has asked, before the listeners close: first the queue is
    emptied, then all are told, and only afterwards are those closed who are idle.

    Args:
        start: Begins to serve a client and returns at once; raises NobodyToServe.
        tell: Tells all who are served that the next reply is the last one, and returns at once:
            whoever is refused knows that all others were told.
        wake: Called when the shutdown's descriptor, not a client, has woken the loop.
    """
    by_fd = {listener.sock.fileno(): listener for listener in listeners}
    everything, only_shutdown = select.poll(), select.poll()
    for fd in by_fd:
        everything.register(fd, select.POLLIN)
    everything.register(shutdown.fd, select.POLLIN)
    only_shutdown.register(shutdown.fd, select.POLLIN)
    back_off = BackOff()

    def take(listener: Listener) -> None:
        for sock in accept(listener, counters, back_off):
            try:
                start(sock, listener)
            except NobodyToServe as nobody:
                refuse(sock, listener, counters)
                back_off.begin(listener, str(nobody))
                break

    counters.on_room = shutdown.wake
    while not shutdown.requested:
        if back_off.delay_s:
            ready = [*by_fd, *(fd for fd, _ in only_shutdown.poll(back_off.delay_s * 1000))]
        else:
            ready = [fd for fd, _ in everything.poll()]
        for fd in ready:
            if fd == shutdown.fd:
                shutdown.clear_wake()
                wake()
                continue
            take(by_fd[fd])
    for listener in listeners:
        for _ in last_turns(listener, shutdown):
            take(listener)
    tell()
    for listener in listeners:
        listener.sock.close()


def tell(peers: set[Peer]) -> None:
    """Let the next reply to each be the last one."""
    for peer in list(peers):
        peer.connection.drain()


def wait_for(peers: set[Peer], shutdown: Shutdown) -> None:
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
    peer.finished = True
    if peer.connection.awaiting is Awaiting.IDLE and (fd := peer.sock.fileno()) >= 0:
        shut_reading(fd)  # recv() first returns what has arrived already, then b""
