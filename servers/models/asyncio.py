"""One event loop for all connections: asyncio's own, written in Python.

epoll says which sockets are ready -> the loop calls each one's protocol back -> the
protocol does what it can at once, and returns. A wait is a timer; nothing ever blocks.

An idle connection costs a few objects. Nothing runs beside anything else: a callback
that computes stops all the others.
"""

import asyncio

from servers.counting.counters import Counters
from servers.sockets.listeners import Listeners
from servers.waiting.callbacks import serve_on
from servers.waiting.shutdown import Shutdown


def serve(listeners: Listeners, counters: Counters, shutdown: Shutdown) -> None:
    """Serve until a shutdown is requested and drained."""
    serve_on(asyncio.SelectorEventLoop, listeners, counters, shutdown)
