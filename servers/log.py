"""The log, on standard error: nobody waits for who reads it, and no mistake fills a disk."""

import logging
import os
import stat
import time
from typing import TextIO

from servers import limits


def begin(line_format: str) -> None:
    """Have all lines written to standard error in this format."""
    handler = logging.StreamHandler(_pipe())
    handler.addFilter(_seldom)
    logging.basicConfig(format=line_format, handlers=[handler])
    logging.raiseExceptions = False  # where a line cannot be written, neither can its failure


class _Pipe:
    """A pipe into which nobody is kept waiting: what does not fit in is lost."""

    def __init__(self, fd: int) -> None:
        self._fd = fd

    def write(self, text: str) -> None:
        try:
            os.write(self._fd, text.encode("utf-8", "backslashreplace"))
        except OSError:  # full, since its reader has stopped; or there is none any more
            return

    def flush(self) -> None:
        """Nothing is held back."""


def _pipe() -> "_Pipe | TextIO | None":
    """Return standard error if it is a pipe, opened anew so that it alone does not block."""
    try:
        if stat.S_ISFIFO(os.fstat(2).st_mode):
            return _Pipe(os.open("/proc/self/fd/2", os.O_WRONLY | os.O_NONBLOCK | os.O_CLOEXEC))
    except OSError:  # somebody else's, whom we may not ask; or nobody reads it
        return None
    return None  # what logging takes by itself


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
