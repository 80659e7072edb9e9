"""Runs an event loop for a model, with the three settings that a server needs."""

import asyncio
import gc
import logging
from asyncio import selector_events
from collections.abc import Callable, Coroutine
from typing import Any

from servers import limits

_log = logging.getLogger("servers")


def run(new_loop: Callable[[], asyncio.AbstractEventLoop], main: Coroutine[Any, Any, None]) -> None:
    """Run a coroutine on a new event loop to its end."""
    _bound_reads()
    # Modules, code and classes live as long as the process. Frozen, they are never collected: else
    # each full collection would walk some 20,000 objects while all clients wait, and write to their
    # pages.
    gc.freeze()
    with asyncio.Runner(loop_factory=new_loop) as runner:
        runner.get_loop().set_exception_handler(_log_failure)
        runner.run(main)


def _bound_reads() -> None:
    """Have asyncio's own loop read RECV_BYTES at a time, as the other models do.

    There is no public setting. Without this, one read takes 256 KiB: it allocates and trims a
    buffer above glibc's mmap threshold for each read, a client that uploads holds four times as
    much memory as in the other models, and the comparison between the models would be biased.
    The public way, ``asyncio.BufferedProtocol``, bounds uvloop's reads as well, but costs a second
    call from the loop per read: 2.8 % more instructions per request on asyncio, 9 % on uvloop.
    """
    selector_events._SelectorSocketTransport.max_size = limits.RECV_BYTES  # type: ignore[attr-defined]  # noqa: SLF001


def _log_failure(loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
    """Log what a callback raised.

    asyncio's own handler would add the callback and its connection to the text: then no two
    failures are alike, and the log could not leave out the ones that repeat.
    """
    _log.error(context["message"], exc_info=context.get("exception"))
