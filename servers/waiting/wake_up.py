"""A pipe that makes a waiting poll() or event loop return: for signals and for other threads."""

import os
import select


class WakeUp:
    """Something to wait for that a signal handler or another thread can make happen.

    Attributes:
        fd: Readable from ``wake`` to ``clear``.
        wake_fd: Python's own signal handler writes here as well; see ``servers.waiting.signals``.
    """

    def __init__(self) -> None:
        self.fd, self.wake_fd = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)

    def wake(self) -> None:
        """Make ``fd`` readable."""
        try:
            os.write(self.wake_fd, b"\0")
        except BlockingIOError:  # the pipe is full, so ``fd`` is readable
            return

    def clear(self) -> None:
        """Make ``fd`` unreadable until the next ``wake``."""
        try:
            os.read(self.fd, 65536)  # all that a pipe holds
        except BlockingIOError:  # cleared already
            return

    def wait(self, timeout_s: float) -> None:
        """Wait for ``wake``, but no longer than ``timeout_s``, and clear it."""
        poll = select.poll()
        poll.register(self.fd, select.POLLIN)
        if poll.poll(max(timeout_s, 0.0) * 1000):
            self.clear()
