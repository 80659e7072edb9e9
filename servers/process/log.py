"""The log, on standard error: nobody waits for who reads it, and no mistake fills a disk."""

import _socket
import logging
import os
import stat
import sys
import time
from collections.abc import Callable
from functools import partial
from typing import TextIO, cast

from servers import limits

_log = logging.getLogger("servers")


def begin(line_format: str) -> None:
    """Have all lines written to standard error in this format."""
    unblocked = _unblocked()
    if unblocked is not None:  # for all: Python itself and gevent write there, too
        sys.stderr = cast("TextIO", unblocked)
    handler = logging.StreamHandler()
    handler.addFilter(_seldom)
    logging.basicConfig(format=line_format, handlers=[handler])
    logging.raiseExceptions = False  # where a line cannot be written, neither can its failure
    logging.logThreads = False  # else each of our threads becomes a threading.Thread, and is kept


def log_handler_failure(failure: Exception) -> None:
    """Log what a route's handler raised; its connection ends, and the server goes on."""
    _log.error("handler failed", exc_info=failure)


class _Unblocked:
    """A pipe or a socket into which nobody is kept waiting: what does not fit in is lost."""

    def __init__(self, write: Callable[[bytes], int]) -> None:
        self._write = write

    def write(self, text: str) -> None:
        try:
            self._write(text.encode("utf-8", "backslashreplace"))
        except OSError:  # full, since its reader has stopped; or there is none any more
            return

    def flush(self) -> None:
        """Nothing is held back."""


def _unblocked() -> _Unblocked | None:
    """Return standard error if it has a reader who may stop, made such that it does not block.

    It alone: O_NONBLOCK on the descriptor we were given would hold for all who share it.
    """
    try:
        mode = os.fstat(2).st_mode
        if stat.S_ISFIFO(mode):
            fd = os.open("/proc/self/fd/2", os.O_WRONLY | os.O_NONBLOCK | os.O_CLOEXEC)
            return _Unblocked(partial(os.write, fd))
        if stat.S_ISSOCK(mode):  # systemd's journal
            sock = _socket.socket(fileno=os.dup(2))  # gevent's own would wait all the same
            return _Unblocked(lambda data: sock.send(data, _socket.MSG_DONTWAIT))
    except OSError:  # somebody else's, whom we may not ask; or nobody reads it
        return None
    return None  # as it is


_last_s: dict[str, float] = {}


def _seldom(record: logging.LogRecord) -> bool:
    """Say whether to write a line; the same mistake's traceback only now and then."""
    if record.exc_info is None:
        return True
    now_s = time.monotonic()
    if now_s - _last_s.get(record.msg, float("-inf")) < limits.LOG_INTERVAL_S:
        return False
    _last_s[record.msg] = now_s
    return True
