"""Accepts, sweeps and drains on an event loop, for models in which it waits for all clients."""

import asyncio
import socket
from collections import deque
from collections.abc import Callable, Sequence
from typing import Generic, Protocol, TypeVar

from servers import limits
from servers.counting.counters import Counters
from servers.sockets.listeners import Listener
from servers.waiting.accepting import Acceptor
from servers.waiting.clients import Clients, Served
from servers.waiting.deadlines import Watched, sweep, sweep_interval_s
from servers.waiting.shutdown import Shutdown, shut_down


class LoopClient(Served, Watched, Protocol):
    """A client that is served on a loop, as far as the server has to know it."""

    def time_out(self) -> None:
        """End the client: it has missed a deadline."""
        ...


T = TypeVar("T", bound=LoopClient)


class LoopServer(Generic[T]):
    """Serves the clients of some listeners on the running loop.

    What happens in which order is decided where all models share it: in ``Acceptor``, ``sweep`` and
    ``shut_down``. Here the loop waits for each of them.

    Args:
        start: Begins to serve a client, and returns at once. May raise MemoryError: then the client
            is refused.
    """

    def __init__(
        self,
        listeners: Sequence[Listener],
        counters: Counters,
        shutdown: Shutdown,
        clients: Clients[T],
        start: Callable[[T], None],
    ) -> None:
        self.acceptor = Acceptor(clients, counters, start)
        self._loop = asyncio.get_running_loop()
        self._listeners = deque(listeners)
        self._counters = counters
        self._shutdown = shutdown
        self._clients = clients
        self._pause: asyncio.TimerHandle | None = None  # while no client is accepted
        self._requested = asyncio.Event()
        interval_s = sweep_interval_s([listener.timeouts for listener in listeners])
        self._reserve = b""  # memory for the pause between two sweeps
        self._sweeps = sweep(clients, lambda client: client.time_out(), interval_s)

    async def serve(self) -> None:
        """Serve until a shutdown is requested and drained."""
        self._counters.on_room = self._accept_again
        self._loop.add_reader(self._shutdown.wake_up.fd, self._check_signals)
        self._sweep()
        self._begin_accepting()
        self._shutdown.on_serving()
        await self._requested.wait()
        self._loop.remove_reader(self._shutdown.wake_up.fd)
        self._stop_accepting()
        for pause_s in shut_down(self._listeners, self.acceptor, self._clients, self._shutdown):
            await asyncio.sleep(pause_s)

    def _begin_accepting(self) -> None:
        self._listeners.rotate()  # or the first one's clients would take all the room there is
        for listener in self._listeners:
            self._loop.add_reader(listener.sock, self._accept, listener)

    def _accept(self, listener: Listener) -> None:
        # Not create_server(): at the descriptor limit asyncio's retries multiply (cpython#151615)
        # and libuv closes the clients that wait.
        self.acceptor.accept(listener)
        self._pause_at_limit()

    def cannot_start(
        self, client: T, sock: socket.socket, listener: Listener, error: Exception
    ) -> None:
        """Refuse a client of which it turns out after ``start`` that it cannot be served."""
        self.acceptor.cannot_start(client, sock, listener, error)
        self._pause_at_limit()

    def _pause_at_limit(self) -> None:
        if self.acceptor.pause_s and self._pause is None:
            self._pause = self._loop.call_later(self.acceptor.pause_s, self._accept_again)
            self._stop_accepting()

    def _accept_again(self) -> None:
        """Accept clients again: the pause is over, or a client has made room."""
        if self._pause is None:
            return
        self._pause.cancel()
        if not self._shutdown.requested:
            try:
                self._begin_accepting()
            except MemoryError:  # no later event would make the server accept again
                self._pause = self._loop.call_later(limits.BACKOFF_LAST_S, self._accept_again)
                return
        self._pause = None

    def _stop_accepting(self) -> None:
        for listener in self._listeners:
            self._loop.remove_reader(listener.sock)

    def _sweep(self) -> None:
        """Check a few clients' deadlines, and come back after the pause that the sweep asks for."""
        pause_s = next(self._sweeps)
        try:
            self._reserve = self._reserve or bytes(limits.RESERVE_BYTES)
            self._loop.call_later(pause_s, self._sweep)
        except MemoryError:  # else no further sweep would come
            self._reserve = b""
            self._loop.call_later(pause_s, self._sweep)

    def _check_signals(self) -> None:
        self._shutdown.wake_up.clear()  # not each signal requests a shutdown
        if self._shutdown.requested:
            self._requested.set()
