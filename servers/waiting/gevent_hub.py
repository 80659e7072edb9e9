"""What the sweep over deadlines needs of gevent: to interrupt a greenlet, and to find failed ones.

Where memory runs out, a greenlet may find none for its first frame. It then runs no Python at all,
no ``finally`` either: without this its client would wait for ever, and its row would stay open.
"""

import logging
import time

import gevent
from gevent.hub import Hub

from servers.waiting.client import Client
from servers.waiting.clients import Clients
from servers.waiting.deadlines import is_overdue

_log = logging.getLogger("servers")

# Else gevent writes two lines for each greenlet that finds no memory, and its log has no limit.
Hub.NOT_ERROR = (*Hub.NOT_ERROR, MemoryError)


def interrupt(client: Client) -> None:
    """Raise TimeoutError in the greenlet of a client that is overdue, where it waits."""
    gevent.get_hub().loop.run_callback(_interrupt_now, client)


def _interrupt_now(client: Client) -> None:
    # In the hub, where no greenlet runs: a client that is still overdue is in recv() or send().
    if not client.greenlet.dead and is_overdue(client, time.monotonic()):
        client.greenlet.throw(TimeoutError())


def close_failed(clients: Clients[Client]) -> None:
    """Close the clients whose greenlets have ended without closing them, and log how many."""
    failed = [client for client in clients if client.greenlet.dead]
    if failed:
        _log.warning("no memory left for %d greenlets: clients closed", len(failed))
    for client in failed:
        client.close()
