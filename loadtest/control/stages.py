"""The stages of a load, and the pipe on which Locust's process reports them to its parent.

The parent hands down the writing end (``--stage-fd``) and reads one JSON object a line:
``{"stage": "window"}`` or ``{"failed": "OSError: ..."}``. Without a parent, as in a user's own
``locust -f``, only the log names the stages. Nothing here imports Locust.
"""

import json
import logging
import os
import select
from contextlib import suppress
from enum import StrEnum
from typing import Self

NO_PARENT = -1
"""The descriptor where no parent reads."""

_READ_BYTES = 64 * 1024

_log = logging.getLogger("loadtest")


class Stage(StrEnum):
    """What a load is doing; a progress bar shows the value."""

    CONNECT = "connect"
    WARM_UP = "warm up"
    WINDOW = "window"
    LAST_REPLIES = "last replies"
    STOPPING = "stopping"
    """Only the parent knows this one: it ends the load early."""


class StageWriter:
    """Reports to the parent, and logs for users.

    Args:
        fd: The writing end of the parent's pipe, or ``NO_PARENT``.
    """

    def __init__(self, fd: int) -> None:
        self._fd = fd

    def enter(self, stage: Stage) -> None:
        """Report that a stage has begun."""
        _log.info("stage: %s", stage)
        self._send("stage", stage)

    def fail(self, reason: str) -> None:
        """Report why the load has failed; the log has the reason already."""
        self._send("failed", reason)

    def _send(self, key: str, text: str) -> None:
        if self._fd != NO_PARENT:
            with suppress(OSError):  # the parent has ended
                os.write(self._fd, json.dumps({key: text}).encode() + b"\n")


class StageReader:
    """The parent's end of the pipe; use it in a ``with`` block.

    Attributes:
        writing_fd: What Locust's process inherits.
        failures: Each reason that Locust's process has reported, once.
    """

    def __init__(self) -> None:
        self._fd, self.writing_fd = os.pipe()
        os.set_blocking(self._fd, False)
        self._unfinished = b""
        self.failures: list[str] = []

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        os.close(self._fd)
        os.close(self.writing_fd)

    def begin(self) -> None:
        """Forget what an earlier process has reported; that process must have ended."""
        self.wait(0)
        self._unfinished = b""
        self.failures = []

    def wait(self, timeout_s: float) -> list[Stage]:
        """Wait for reports; return the stages that have begun since the last call."""
        if not select.select([self._fd], [], [], timeout_s)[0]:
            return []
        stages = []
        *lines, self._unfinished = (self._unfinished + self._read()).split(b"\n")
        for line in lines:
            match json.loads(line):
                case {"stage": stage}:
                    stages.append(Stage(stage))
                case {"failed": reason} if reason not in self.failures:
                    self.failures.append(reason)
        return stages

    def _read(self) -> bytes:
        parts = []
        with suppress(BlockingIOError):  # all of it has been read
            while part := os.read(self._fd, _READ_BYTES):
                parts.append(part)
        return b"".join(parts)
