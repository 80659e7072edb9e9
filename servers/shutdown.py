"""SIGTERM and SIGINT: the first asks for a drain, the second ends the process at once."""

import os
import signal
from collections.abc import Callable
from types import FrameType

STOP_SIGNALS = (signal.SIGTERM, signal.SIGINT)


class Shutdown:
    """Whether the server is to stop, and a descriptor that becomes readable when it is.

    Args:
        grace_s: Time from the request to the end, in seconds.
    """

    def __init__(self, grace_s: float) -> None:
        self.grace_s = grace_s
        self.requested = False
        self.fd, self._write_fd = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)

    def on_signals(self) -> None:
        """Listen to SIGTERM and SIGINT from now on."""
        for signum in STOP_SIGNALS:
            signal.signal(signum, self._request)

    def wake_on(self, signum: int) -> None:
        """Let another signal make ``fd`` readable too."""
        signal.set_wakeup_fd(self._write_fd, warn_on_full_buffer=False)
        signal.signal(signum, lambda signum, frame: None)

    def clear_wake(self) -> None:
        """Make ``fd`` unreadable until the next signal."""
        os.read(self.fd, 4096)

    def in_child(self, drain: Callable[[], None]) -> None:
        """Let a forked child answer its parent's SIGTERM, or a Ctrl-C to all, with ``drain``."""
        signal.set_wakeup_fd(-1)
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        for signum in STOP_SIGNALS:
            signal.signal(signum, lambda signum, frame: drain())
        signal.pthread_sigmask(signal.SIG_UNBLOCK, STOP_SIGNALS)

    def _request(self, signum: int, frame: FrameType | None) -> None:
        if self.requested:
            os._exit(1)  # not sys.exit(): what hangs in the drain must not hang the exit
        self.requested = True
        os.write(self._write_fd, b"\0")
