"""One event loop for all connections: uvloop, written in C on libuv.

The callbacks are those of the asyncio model; only the loop that calls them differs.
"""

import uvloop

from servers.counting.counters import Counters
from servers.sockets.listeners import Listeners
from servers.waiting.callbacks import serve_on
from servers.waiting.shutdown import Shutdown


def serve(listeners: Listeners, counters: Counters, shutdown: Shutdown) -> None:
    """Serve until the shutdown is requested and drained."""
    serve_on(uvloop.new_event_loop, listeners, counters, shutdown)
