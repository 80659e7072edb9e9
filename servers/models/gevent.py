"""A greenlet per connection, in a process that gevent has monkey-patched.

accept -> a greenlet -> it seems to block in recv(): the hub switches to another one.

An idle connection costs a greenlet (a slice of C stack, copied aside). Nothing runs
beside anything else: a greenlet that computes stops all the others.
"""

from gevent import monkey

monkey.patch_all()  # first: what waits from here on waits in the hub
# isort: split

import gevent

from servers.counting.counters import Counters
from servers.sockets.listeners import Listeners
from servers.waiting.blocking import serve_client, serve_until_shutdown
from servers.waiting.client import Client
from servers.waiting.clients import Clients
from servers.waiting.gevent_hub import close_failed, interrupt
from servers.waiting.greenlets import close_overdue
from servers.waiting.shutdown import Shutdown


def serve(listeners: Listeners, counters: Counters, shutdown: Shutdown) -> None:
    """Serve until a shutdown is requested and drained."""
    clients = Clients(Client, counters, "greenlet")

    def start(client: Client) -> None:
        client.greenlet = gevent.spawn_raw(serve_client, client)

    gevent.spawn_raw(close_overdue, clients, listeners, interrupt, close_failed)
    serve_until_shutdown(listeners, counters, shutdown, clients, start)
