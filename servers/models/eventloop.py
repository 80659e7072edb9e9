"""One event loop for all connections: asyncio's, written in Python, or uvloop, written in C.

epoll says which sockets are ready -> the loop calls back -> each callback does what it can at
once and returns. A wait is a timer; nobody ever blocks.

Cost of an idle connection: a few objects. Nothing runs beside anything else: a callback that
computes stops all the others.
"""

import asyncio
import gc
import logging
from asyncio import selector_events
from collections.abc import Sequence
from typing import Any

from servers import limits
from servers.counting.counters import Counters
from servers.sockets.listeners import Listener
from servers.waiting.callbacks import serve
from servers.waiting.shutdown import Shutdown

_log = logging.getLogger("servers")


def serve_asyncio(listeners: Sequence[Listener], counters: Counters, shutdown: Shutdown) -> None:
    """Serve with asyncio's own loop until the shutdown is requested and drained."""
    # The size of its reads, for which there is no setting: 256 KiB, four times what others take.
    selector_events._SelectorSocketTransport.max_size = limits.RECV_BYTES  # type: ignore[attr-defined]  # noqa: SLF001
    gc.freeze()
    with asyncio.Runner(loop_factory=asyncio.SelectorEventLoop) as runner:
        runner.get_loop().set_exception_handler(say)
        runner.run(serve(listeners, counters, shutdown))


def serve_uvloop(listeners: Sequence[Listener], counters: Counters, shutdown: Shutdown) -> None:
    """Serve with uvloop until the shutdown is requested and drained."""
    import uvloop  # here, so that asyncio's model neither needs nor loads it

    gc.freeze()
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.get_loop().set_exception_handler(say)
        runner.run(serve(listeners, counters, shutdown))


def say(loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
    """Log what a callback raised, without the connection: so what repeats is said seldom."""
    _log.error(context["message"], exc_info=context.get("exception"))
