"""The shutdown: whether it has been requested, and the order in which it is carried out."""

import os
import signal
import time
from collections.abc import Callable, Collection, Iterator, Sequence
from typing import Protocol

from servers import limits
from servers.sockets.listeners import Listener
from servers.waiting.signals import DRAIN, LEAVE, Actions, Signals
from servers.waiting.wake_up import WakeUp


class Shutdown:
    """Whether the server is to stop.

    Args:
        grace_s: Time from the request to the end, in seconds.
        patience_s: How long a worker that has a successor leaves idle clients in peace.
        supervised: Whether this process is a worker.

    Attributes:
        requested: Whether to stop.
        handed_over: Whether another worker goes on accepting from the same listeners.
        close_idle_from_s: From when on idle clients are closed, on the monotonic clock.
        wake_up: Woken by every signal; also for what else the process waits for.
        on_serving: Called by a model that is about to accept its first client: nothing can keep it
            from serving any more.
    """

    def __init__(self, grace_s: float, patience_s: float = 0.0, supervised: bool = False) -> None:
        self.grace_s = grace_s
        self.supervised = supervised
        self.requested = self.handed_over = False
        self.close_idle_from_s = float("-inf")
        self.wake_up = WakeUp()
        self.signals = Signals(self.wake_up)
        self.on_serving: Callable[[], None] = lambda: None
        self._patience_s = patience_s

    def listen_to_signals(self) -> None:
        """Act on signals from now on, as the launcher or as a worker."""
        launcher: Actions = {signal.SIGTERM: self._stop, signal.SIGINT: self._stop}
        worker: Actions = {DRAIN: self._drain, LEAVE: self._leave}
        self.signals.listen(worker if self.supervised else launcher)

    def request(self) -> None:
        """Have the server stop, within the grace period."""
        self.requested = True
        # A handler that computes meanwhile would keep any loop from ending the process.
        signal.setitimer(signal.ITIMER_REAL, self.grace_s + limits.FORCED_EXIT_DELAY_S)
        self.wake_up.wake()

    def _stop(self) -> None:
        if self.requested:
            os._exit(1)  # not sys.exit(): what hangs in the drain must not hang the exit
        self.request()

    def _drain(self) -> None:
        if self.requested:  # no more patience; if this worker hangs, its supervisor ends it
            self.close_idle_from_s = float("-inf")
            self.wake_up.wake()
        else:
            self.request()

    def _leave(self) -> None:
        if self.requested:
            self._drain()
        else:
            self.handed_over = True
            self.close_idle_from_s = time.monotonic() + self._patience_s
            self.request()


class Queues(Protocol):
    """The queues of clients that wait to be accepted, as a shutdown needs them."""

    def empty(self, listeners: Sequence[Listener], shutdown: Shutdown) -> None:
        """Keep new clients out, and serve those that have connected by now."""
        ...


class Draining(Protocol):
    """The clients that are served, as a shutdown needs them.

    Attributes:
        poll_s: How often to look whether all have ended, in seconds.
        starting: Clients, or their tasks, that are not yet in a state to be drained.
    """

    poll_s: float
    starting: Collection[object]

    def __len__(self) -> int: ...

    def reap(self) -> None:
        """Notice clients that have ended without notice."""
        ...

    def announce_shutdown(self) -> None:
        """Let the next reply to each client be the last one."""
        ...

    def close_idle(self, now_s: float) -> float:
        """Close the idle clients; return after how many seconds to call this again."""
        ...

    def abort(self) -> None:
        """End all clients at once."""
        ...


def shut_down(
    listeners: Sequence[Listener], queues: Queues, clients: Draining, shutdown: Shutdown
) -> Iterator[float]:
    """Carry out a shutdown: the same order in every model, whatever waits.

    1. The queues are emptied: a client that connected before the shutdown is served.
    2. All clients are prepared: the next reply to each is the last one.
    3. The listeners close. A client that is refused knows that all others have been prepared.
    4. Idle clients are closed, and the others when they have their reply.
    5. At the end of the grace period all that are left are aborted.

    Yields:
        For how long to wait, at most, before the next step, in seconds.
    """
    give_up_s = time.monotonic() + shutdown.grace_s
    queues.empty(listeners, shutdown)
    while clients.starting:
        yield 0.0
    clients.announce_shutdown()
    for listener in listeners:
        listener.sock.close()
    clients.reap()
    called_s, pause_s = float("-inf"), 0.0
    while clients and (now_s := time.monotonic()) < give_up_s:
        if now_s >= max(shutdown.close_idle_from_s, called_s + pause_s):
            pause_s = clients.close_idle(now_s)
            called_s = now_s
        due_s = max(shutdown.close_idle_from_s, called_s + pause_s)
        yield min(due_s - now_s, give_up_s - now_s, clients.poll_s)
        clients.reap()
    clients.abort()
