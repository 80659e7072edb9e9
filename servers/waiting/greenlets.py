"""Deadlines for greenlets, of which the kernel knows nothing.

SO_RCVTIMEO does nothing here, since no recv() really blocks. A timer per read would cost each
request what this costs once a second.
"""

import time
from collections.abc import Callable, Sequence

from servers.sockets.listeners import Listener
from servers.waiting.client import Client
from servers.waiting.clients import Clients
from servers.waiting.deadlines import sweep, sweep_interval_s


def close_overdue(
    clients: Clients[Client], listeners: Sequence[Listener], interrupt: Callable[[Client], None]
) -> None:
    """End clients that send, or take, nothing for too long; never returns.

    Args:
        interrupt: Raises TimeoutError in the greenlet of a client, where it waits.
    """
    interval_s = sweep_interval_s([listener.timeouts for listener in listeners])
    for pause_s in sweep(clients, interrupt, interval_s):
        time.sleep(pause_s)
