"""How a process, a thread or a greenlet serves its client, and how a process accepts clients."""

import select
import time
from collections import deque
from collections.abc import Callable, Sequence
from typing import Protocol, TypeVar

from servers.counting.counters import Counters
from servers.protocol.connection import Wait
from servers.sockets.listeners import Listener
from servers.waiting.accepting import Acceptor, Room
from servers.waiting.client import Client
from servers.waiting.shutdown import Draining, Shutdown, shut_down

T = TypeVar("T")


def serve_client(client: Client) -> None:
    """Serve one client to its end: the handler of every blocking model."""
    with client.closing():
        while client.is_open():
            for step in client.receive():  # 1. waits for the client's bytes
                if type(step) is Wait:
                    time.sleep(step.seconds)  # 2. waits, as if for a back end
                else:
                    client.send(step)  # 3. waits while the client does not read


class Servable(Room[T], Draining, Protocol[T]):
    """A model's clients, or the processes that serve them: started here, ended at a shutdown."""


def serve_until_shutdown(
    listeners: Sequence[Listener],
    counters: Counters,
    shutdown: Shutdown,
    clients: Servable[T],
    start: Callable[[T], None],
) -> None:
    """Accept clients until a shutdown is requested, then drain.

    Args:
        start: Begins to serve a client, and returns at once. May raise OSError, RuntimeError or
            MemoryError: there is no process or thread for it, or no memory.
    """
    by_fd = {listener.sock.fileno(): listener for listener in listeners}
    wake_up = shutdown.wake_up
    poll = select.poll()
    for fd in (wake_up.fd, *by_fd):  # in this order: a client that ends makes room for the next
        poll.register(fd, select.POLLIN)
    turns = deque(by_fd)
    acceptor = Acceptor(clients, counters, start)
    counters.on_room = wake_up.wake
    shutdown.on_serving()
    while not shutdown.requested:
        if acceptor.pause_s:
            wake_up.wait(acceptor.pause_s)
            clients.reap()
            ready = [*turns]
            turns.rotate()  # or the first listener's clients would take all the room there is
        else:
            ready = [fd for fd, _ in poll.poll()]
        for fd in ready:
            if fd == wake_up.fd:
                wake_up.clear()
                clients.reap()
            else:
                acceptor.accept(by_fd[fd])
    for pause_s in shut_down(listeners, acceptor, clients, shutdown):
        wake_up.wait(pause_s)
