"""Deadlines for greenlets, of which the kernel knows nothing.

SO_RCVTIMEO does nothing here, since no recv() really blocks. A timer per read would cost each
request what this costs once a second.
"""

import time
from collections.abc import Callable, Sequence
from contextlib import suppress

from servers import limits
from servers.sockets.listeners import Listener
from servers.waiting.client import Client
from servers.waiting.clients import Clients
from servers.waiting.deadlines import sweep, sweep_interval_s


def close_overdue(
    clients: Clients[Client],
    listeners: Sequence[Listener],
    interrupt: Callable[[Client], None],
    close_failed: Callable[[Clients[Client]], None],
) -> None:
    """End clients that send, or take, nothing for too long; never returns.

    Args:
        interrupt: Raises TimeoutError in the greenlet of a client, where it waits.
        close_failed: Closes the clients whose greenlets have failed. Once a sweep and no more
            often, since it checks each client.
    """
    interval_s = sweep_interval_s([listener.timeouts for listener in listeners])
    reserve = b""
    for pause_s in sweep(clients, interrupt, interval_s):
        if pause_s:
            with suppress(MemoryError):  # what is left is closed after the next sweep
                close_failed(clients)
        try:
            reserve = reserve or bytes(limits.RESERVE_BYTES)
            time.sleep(pause_s)
        except MemoryError:  # else no further sweep would come
            reserve = b""
            time.sleep(pause_s)
