"""SIGTERM and SIGINT: the first asks for a drain, the second ends the process at once."""

import os
import signal
from collections.abc import Callable
from types import FrameType


class Shutdown:
    """Whether the server is to stop, and a descriptor that becomes readable when it is.

    Args:
        grace_s: Time from the request to the end, in seconds.
    """

    def __init__(self, grace_s: float) -> None:
        self.grace_s = grace_s
        self.requested = False
        self.fd = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)
        self._drain_child: Callable[[], None] | None = None

    def on_signals(self) -> None:
        """Listen to SIGTERM and SIGINT from now on."""
        signal.signal(signal.SIGTERM, self._request)
        signal.signal(signal.SIGINT, self._request)

    def wake_on(self, signum: int) -> None:
        """Let another signal make ``fd`` readable too."""
        signal.signal(signum, self._wake)

    def clear_wake(self) -> None:
        """Make ``fd`` unreadable until the next signal."""
        os.eventfd_read(self.fd)

    def in_child(self, drain: Callable[[], None]) -> None:
        """Let a forked child answer its parent's SIGTERM, or a Ctrl-C to all, with ``drain``.

        The handlers stay the parent's: to set new ones would cost each child 60 pages.
        """
        self._drain_child = drain
        if self.requested:  # a signal came between fork() and here
            drain()

    def _request(self, signum: int, frame: FrameType | None) -> None:
        if self._drain_child is not None:
            self._drain_child()
        elif self.requested:
            os._exit(1)  # not sys.exit(): what hangs in the drain must not hang the exit
        else:
            self.requested = True
            self._wake(signum, frame)

    def _wake(self, signum: int, frame: FrameType | None) -> None:
        os.eventfd_write(self.fd, 1)
