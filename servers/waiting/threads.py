"""Starting threads, and closing the clients of those that die before they have begun.

Where memory runs out, a thread may find none for its first frame. It then runs no Python at all, no
``finally`` either: without this file its client would wait for ever, and its row would stay open.
All that is left of such a thread is what C hands to ``sys.unraisablehook``.
"""

import _thread
import logging
import sys
from collections import deque
from collections.abc import Callable
from functools import partial
from typing import Any

from servers.waiting.client import Client

_log = logging.getLogger("servers")

_failed: deque[Any] = deque([None] * 1000)  # of sys.UnraisableHookArgs
_failed.clear()  # its memory is kept, so that the hook below needs none


def start_thread(serve: Callable[[Client], None], client: Client) -> None:
    """Serve a client in a thread of its own.

    Raises:
        RuntimeError: No thread is left.
        MemoryError: There is no memory for it.
    """
    sys.unraisablehook = _failed.append  # C throughout
    close_failed_threads()
    # Not threading.Thread: its start() waits for the thread, for ever if the thread dies of memory
    # before it can answer (cpython#140746).
    _thread.start_new_thread(partial(serve, client), ())


def close_failed_threads(*_: object) -> None:
    """Close the clients of threads that have failed, and log why."""
    while _failed:
        failed = _failed[0].object
        if isinstance(failed, partial):
            failed.args[0].close()
        _log.error("thread failed", exc_info=_failed.popleft().exc_value)
