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
from servers.counting.counters import Counters
from servers.protocol.connection import RECEIVED_BYTES, RESETS, SENT_BYTES, State, Tally, Wait
from servers.sockets.kernel import reset_on_close, shut_reading
from servers.sockets.listeners import Listener
from servers.waiting.accepting import NO_MEMORY, BackOff, NobodyToServe, accept, last_turns, refuse
from servers.waiting.lingering import in_one_step, linger
from servers.waiting.peer import Peer as Peer  # the models know it from here
from servers.waiting.shutdown import Shutdown

_log = logging.getLogger("servers")


def serve_peer(peer: Peer) -> None:
    """Serve one client to the end: the handler of every blocking model, word for word."""
    sock, connection, tally = peer.sock, peer.connection, peer.tally
    idle, drained, closed = State.IDLE, State.DRAINED, State.CLOSED
    data, state, limited = b"?", connection.state, False
    try:
        while True:  # once at least: it may have come, request and all, as the server stops
            try:
                if limited or (state is not idle and state is not drained):  # part of a request
                    limited = peer.limit_read()
                if len(data) >= limits.FAIR_READ_BYTES:
                    time.sleep(0)  # for the other greenlets, which have no other chance
                data = sock.recv(limits.RECV_BYTES)
                if not data and peer.finish_s is not None:
                    data = peer.receive_late()
            except (BlockingIOError, TimeoutError) as late:  # its time is up
                if type(late) is BlockingIOError and peer.still_takes():
                    limited = True
                    continue
                steps = peer.time_out()
            else:
                tally[RECEIVED_BYTES] += len(data)
                steps = connection.receive_data(data)
            for step in steps:
                if type(step) is Wait:
                    time.sleep(step.seconds)
                    continue
                size = len(step)
                sent = 0
                if size < limits.FAIR_READ_BYTES:
                    try:
                        sent = sock.send(step)  # nearly always all of it
                    except BlockingIOError:  # nothing fits in: maybe the peer is but slow
                        sent = 0
                if sent < size:
                    peer.send_all(memoryview(step)[sent:])
                    time.sleep(0)  # for the other greenlets, as above
                tally[SENT_BYTES] += size
            state = connection.state
            if state is closed:
                break
            if state is drained and peer.finish_s is not None:
                close_if_idle(peer)  # the next recv() is the last look
        if data or peer.reading_is_shut:
            linger(peer)
    except (BlockingIOError, TimeoutError):  # from send(): it does not take what it asked for
        reset_on_close(sock)
    except OSError:  # reset by the peer: there is nobody left to answer
        tally[RESETS] += 1
    except Exception:  # out of memory, or a mistake of ours: it costs one connection only
        reset_on_close(sock)
        _log.exception("connection failed")
    finally:
        sock.close()


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
                why = str(nobody) or NO_MEMORY
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
    with in_one_step:  # or its thread might shut the other direction meanwhile
        if peer.connection.state is State.DRAINED and (fd := peer.sock.fileno()) >= 0:
            peer.reading_is_shut = True
            shut_reading(fd)  # recv() first returns what has arrived already, then b""
