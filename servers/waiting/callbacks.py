"""Accept and serve, for every model that is called back by an event loop."""

import asyncio
import socket
from collections import deque
from collections.abc import Callable, Sequence

from servers.counting.counters import Counters
from servers.protocol.connection import Tally
from servers.sockets.listeners import Listener
from servers.waiting.accepting import Acceptor
from servers.waiting.client_protocol import ClientProtocol
from servers.waiting.clients import Clients
from servers.waiting.deadlines import sweep, sweep_interval_s
from servers.waiting.loops import run
from servers.waiting.shutdown import Shutdown, shut_down


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
    starting: dict[ClientProtocol, asyncio.Task[None] | None] = {}  # kept: the loop does not
    turns = deque(listeners)
    pauses: list[asyncio.TimerHandle] = []  # one at the most, while no client is accepted

    def make(
        sock: socket.socket, listener: Listener, tally: Tally, all_: Clients[ClientProtocol]
    ) -> ClientProtocol:
        return ClientProtocol(loop, sock, listener, tally, all_)

    def start(client: ClientProtocol) -> None:
        try:
            starting[client] = None  # room for the next line, which cannot fail any more
            starting[client] = loop.create_task(begin(client))
        except MemoryError:
            starting.pop(client, None)
            raise

    async def begin(client: ClientProtocol) -> None:
        try:
            if client in starting:  # create_task() may fail, and the task run all the same
                await loop.connect_accepted_socket(lambda: client, client.sock)
        except OSError as error:  # gone already
            client.sock.close()
            client.connection_lost(error)
        except MemoryError as error:  # caught here: CPython 3.11 aborts where 16 of them are kept
            client.connection_lost(None)
            acceptor.cannot_start(client, client.sock, client.listener, error)
        finally:
            starting.pop(client, None)

    def watch() -> None:
        turns.rotate()  # or the first listener's clients would have all the room there is
        for listener in turns:
            loop.add_reader(listener.sock, take, listener)

    def take(listener: Listener) -> None:
        # Not create_server(): at the descriptor limit asyncio's retries multiply (cpython#151615)
        # and libuv closes the clients that wait.
        acceptor.accept(listener)
        if acceptor.pause_s and not pauses:
            ignore()
            pauses.append(loop.call_later(acceptor.pause_s, go_on))

    def go_on() -> None:
        if pauses:
            pauses.pop().cancel()
            if not shutdown.requested:
                watch()

    def ignore() -> None:
        for listener in listeners:
            loop.remove_reader(listener.sock)

    async def close_overdue() -> None:
        interval_s = sweep_interval_s([listener.timeouts for listener in listeners])
        for pause_s in sweep(clients, ClientProtocol.time_out, interval_s):
            await asyncio.sleep(pause_s)

    def look_at_signals() -> None:
        shutdown.wake_up.clear()  # not each of them asks for a shutdown
        if shutdown.requested:
            requested.set()

    clients: Clients[ClientProtocol] = Clients(make, counters, "connection")
    clients.starting = starting
    acceptor = Acceptor(clients, counters, start)
    counters.on_room = go_on
    requested = asyncio.Event()
    loop.add_reader(shutdown.wake_up.fd, look_at_signals)
    sweeping = loop.create_task(close_overdue())
    watch()
    shutdown.on_serving()
    await requested.wait()
    loop.remove_reader(shutdown.wake_up.fd)
    ignore()
    for pause_s in shut_down(listeners, acceptor, clients, shutdown):
        await asyncio.sleep(pause_s)
    sweeping.cancel()
