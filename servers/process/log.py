"""The log on standard error: it never blocks the server, and rate-limits repeated tracebacks."""

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
    """Write all log lines to standard error in this format."""
    unblocked = _unblocked()
    if unblocked is not None:  # not for logging alone: Python itself and gevent write there, too
        sys.stderr = cast("TextIO", unblocked)
    handler = logging.StreamHandler()
    handler.addFilter(_is_due)
    logging.basicConfig(format=line_format, handlers=[handler])
    logging.raiseExceptions = False  # if a line cannot be written, its failure cannot either
    logging.logThreads = False  # else logging keeps a threading.Thread for each thread that logs


def log_handler_failure(failure: Exception) -> None:
    """Log what a route's handler raised; its connection ends, and the server goes on."""
    _log.error("handler failed", exc_info=failure)


class _Unblocked:
    """A pipe or a socket to which writing never blocks: what does not fit is lost."""

    def __init__(self, write: Callable[[bytes], int]) -> None:
        self._write = write

    def write(self, text: str) -> None:
        try:
            self._write(text.encode("utf-8", "backslashreplace"))
        except OSError:  # full, because its reader has stopped; or the reader is gone
            return

    def flush(self) -> None:
        """Do nothing: there is no buffer."""


def _unblocked() -> _Unblocked | None:
    """Return a standard error that does not block, if it has a reader that may stop reading.

    A descriptor of its own: O_NONBLOCK on descriptor 2 would hold for all processes that share it.
    """
    try:
        mode = os.fstat(2).st_mode
        if stat.S_ISFIFO(mode):
            fd = os.open("/proc/self/fd/2", os.O_WRONLY | os.O_NONBLOCK | os.O_CLOEXEC)
            return _Unblocked(partial(os.write, fd))
        if stat.S_ISSOCK(mode):  # systemd's journal
            sock = _socket.socket(fileno=os.dup(2))  # gevent's own socket would still wait
            return _Unblocked(lambda data: sock.send(data, _socket.MSG_DONTWAIT))
    except OSError:  # another user's pipe, or one without a reader
        return None
    return None  # a file or a terminal


_last_s: dict[str, float] = {}


def _is_due(record: logging.LogRecord) -> bool:
    """Return whether to write a line: the same failure's traceback only once per interval."""
    if record.exc_info is None:
        return True
    now_s = time.monotonic()
    if now_s - _last_s.get(record.msg, float("-inf")) < limits.LOG_INTERVAL_S:
        return False
    _last_s[record.msg] = now_s
    return True
