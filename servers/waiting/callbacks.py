"""Accept and serve, for every model that is called back by an event loop."""

import asyncio
import socket
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence

from servers import limits
from servers.counting.counters import Counters
from servers.sockets.listeners import Listener
from servers.waiting.accepting import NO_MEMORY, BackOff, accept, last_turns, refuse
from servers.waiting.callback_peer import Peer
from servers.waiting.deadlines import overdue, slices, sweep_interval_s
from servers.waiting.loops import run
from servers.waiting.shutdown import Shutdown


def serve_on(
    new_loop: Callable[[], asyncio.AbstractEventLoop],
    listeners: Sequence[Listener],
    counters: Counters,
    shutdown: Shutdown,
) -> None:
    """Serve on a new event loop until the shutdown is requested and drained."""
    run(new_loop, serve(listeners, counters, shutdown))


async def serve(listeners: Sequence[Listener], counters: Counters, shutdown: Shutdown) -> None:
    """Serve until the shutdown is requested and drained."""
    loop = asyncio.get_running_loop()
    peers: set[Peer] = set()
    starting: dict[socket.socket, asyncio.Task[None] | None] = {}  # kept: the loop does not
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
            tally = None
            try:
                tally = counters.open(listener.index)
                peer = Peer(loop, listener, tally, counters, peers)
                starting[sock] = None  # room for the next line, which cannot fail any more
                starting[sock] = loop.create_task(begin(peer, sock, listener))
            except MemoryError:
                starting.pop(sock, None)
                if tally is not None:
                    counters.close(tally)
                refuse(sock, listener, counters)
                back_off.begin(listener, NO_MEMORY)
        if back_off.delay_s and not pauses:
            ignore()
            pauses.append(loop.call_later(back_off.delay_s, go_on))

    async def begin(peer: Peer, sock: socket.socket, listener: Listener) -> None:
        try:
            if sock in starting:  # create_task() may fail, and the task run all the same
                await loop.connect_accepted_socket(lambda: peer, sock)
        except OSError as error:  # gone already
            sock.close()
            peer.connection_lost(error)
        except MemoryError:  # caught here: CPython 3.11 aborts where 16 of them are kept
            peer.connection_lost(None)
            refuse(sock, listener, counters)
            back_off.begin(listener, NO_MEMORY)
        finally:
            starting.pop(sock, None)

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
        loop.call_later(limits.LATE_SWEEP_DELAY_S if late else 0, sweep, slices(peers))

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
        await asyncio.wait([task for task in starting.values() if task is not None])
    for peer in list(peers):
        peer.connection.drain()
    for listener in listeners:  # only now: whoever is refused knows that all others were told
        listener.sock.close()
    linger_s = max(shutdown.finish_s, time.monotonic()) + limits.LINGER_S
    while peers and (now_s := time.monotonic()) < give_up_s:
        if now_s >= shutdown.finish_s:
            for peer in list(peers):  # and only now: whoever has asked before is answered
                peer.finish(now_s, now_s < linger_s)
        await asyncio.sleep(limits.DRAIN_POLL_S)
    for peer in list(peers):
        peer.transport.abort()
