"""Starting threads, and closing the clients of those that die before they have begun.

Where memory runs out, a thread may find none for its first frame. It then runs no Python at all, no
``finally`` either: without this file its client would wait for ever, and its row would stay open.
All that is left of such a thread is what C hands to ``sys.unraisablehook``; and since CPython 3.13
that does not name the thread's function any more. So clients are kept here until their threads have
begun, and as many of them as threads have died have lost theirs.
"""

import _thread
import logging
import sys
import time
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from typing import Any

from servers import limits
from servers.waiting.client import Client

_log = logging.getLogger("servers")

_failed: deque[Any] = deque([None] * 1000)  # of sys.UnraisableHookArgs
_failed.clear()  # its memory is kept, so that the hook below needs none

_starting: dict[Client, float] = {}
"""Clients whose threads have not begun -> since when, on the monotonic clock; oldest first."""


def start_thread(serve: Callable[[Client], None], client: Client) -> None:
    """Serve a client in a thread of its own.

    Raises:
        RuntimeError: No thread is left.
        MemoryError: There is no memory for it.
    """
    sys.unraisablehook = _failed.append  # C throughout
    close_failed_threads()
    _starting[client] = time.monotonic()
    try:
        # Not threading.Thread: its start() waits for the thread, for ever if the thread dies of
        # memory before it can answer (cpython#140746).
        _thread.start_new_thread(_run, (serve, client))
    except BaseException:  # the client is refused
        del _starting[client]
        raise


def _run(serve: Callable[[Client], None], client: Client) -> None:
    """Serve a client; raise nothing, so that every MemoryError of a thread is of an unborn one."""
    _starting.pop(client, None)
    try:
        serve(client)
    except MemoryError as error:  # for a frame of serve(), which closes the client in other cases
        client.close()
        with suppress(MemoryError):  # for a log record
            _log.error("thread failed", exc_info=error)


def close_failed_threads(*_: object) -> None:
    """Close the clients of threads that died before they began, and log why."""
    while _failed:
        if _failed[0].exc_type is MemoryError and _starting:
            client = _find_dead()
            if client is None:
                return
            _starting.pop(client, None)
            client.close()
        _log.error("thread failed", exc_info=_failed.popleft().exc_value)


def _find_dead() -> Client | None:
    """Return a client whose thread has died; None: another one may still begin, so look later.

    Where all that have not begun have died, it is certain; after THREAD_BEGIN_S, nearly so.
    """
    deaths = len(_failed)  # first: those that have not begun include the dead
    client, since_s = next(
        iter([*_starting.items()]), (None, 0.0)
    )  # a copy: others begin meanwhile
    has_died = len(_starting) <= deaths or time.monotonic() - since_s >= limits.THREAD_BEGIN_S
    return client if has_died else None
