"""SIGTERM and SIGINT: the first asks for a drain, the second ends the process at once.

A worker does only what its supervisor says, since a terminal, systemd and others send signals to
all processes: SIGUSR2 asks for a drain, SIGUSR1 to leave the listeners to a successor and not to
hurry. Were it to stop listening by itself, before the supervisor has stopped the queue, whoever
comes in between would be lost.
"""

import os
import signal
import time
from collections.abc import Callable
from types import FrameType

from servers import limits

LEAVE, DRAIN = signal.SIGUSR1, signal.SIGUSR2
"""What a supervisor sends to its workers; and DRAIN, what a parent sends to its children."""

TO_ALL = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)
"""What others send to all processes at once. A worker is born with these blocked."""


class Shutdown:
    """Whether the server is to stop, and a descriptor that becomes readable when it is.

    Args:
        grace_s: Time from the request to the end, in seconds.
        patience_s: How long a worker that has a successor leaves idle clients in peace.
        supervised: Whether this process is a worker.

    Attributes:
        requested: Whether to stop.
        succeeded: Whether somebody else goes on to accept from the same listeners.
        finish_s: From when on clients that are idle are closed, on the monotonic clock.
        on_serving: Called by a model that is about to accept its first client: what could keep it
            from serving is behind it.
    """

    def __init__(self, grace_s: float, patience_s: float = 0.0, supervised: bool = False) -> None:
        self.grace_s = grace_s
        self.supervised = supervised
        self.requested = self.succeeded = False
        self._patience_s = patience_s
        self.finish_s = float("-inf")
        self.on_serving: Callable[[], None] = lambda: None
        self.fd, self._wake_fd = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
        self._pid = os.getpid()
        self._told: Callable[[], None] = lambda: None
        self._finish: Callable[[], None] | None = None  # these two in a forked child only
        self._early: list[int] = []  # what a child was sent before it could answer

    def on_signals(self) -> None:
        """Listen to SIGTERM and SIGINT from now on."""
        # Python runs a handler between two instructions of its own. For a signal just before poll()
        # that is after poll() has returned, perhaps never; this byte is written at once.
        signal.set_wakeup_fd(self._wake_fd, warn_on_full_buffer=False)
        for signum in (*TO_ALL, LEAVE, DRAIN):
            signal.signal(signum, self._request)
        signal.signal(signal.SIGALRM, lambda *_: os._exit(0))
        ours = (*TO_ALL, LEAVE, DRAIN, signal.SIGALRM, signal.SIGCHLD)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, ours)  # whatever our parent has blocked

    def wake_on(self, signum: int) -> None:
        """Let another signal make ``fd`` readable too."""
        signal.signal(signum, self._wake)

    def wake(self) -> None:
        """Make ``fd`` readable."""
        self._wake()

    def clear_wake(self) -> None:
        """Make ``fd`` unreadable until the next signal."""
        try:
            os.read(self.fd, 65536)  # all that a pipe holds
        except BlockingIOError:  # cleared already
            return

    def in_child(self, told: Callable[[], None], finish: Callable[[], None]) -> None:
        """Let a forked child answer what is sent to all with ``told``, and DRAIN with ``finish``.

        The handlers stay the parent's: to set new ones would cost each child 60 pages.
        """
        self._told, self._finish = told, finish
        if self.requested:  # it was forked while the queue was being emptied
            told()
        for signum in self._early:
            self._request(signum, None)

    def _request(self, signum: int, frame: FrameType | None) -> None:
        if self._finish is not None:
            if signum == DRAIN:
                self._finish()
            elif signum in (signal.SIGINT, signal.SIGTERM):
                self._told()
        elif os.getpid() != self._pid:
            self._early.append(signum)
        elif (signum in (LEAVE, DRAIN)) != self.supervised or signum == signal.SIGHUP:
            return
        elif not self.requested:
            self.requested = True
            # For a handler that computes while the time passes, and lets no loop see to it.
            signal.setitimer(signal.ITIMER_REAL, self.grace_s + limits.FORCED_EXIT_DELAY_S)
            self.succeeded = signum == LEAVE
            if self.succeeded:
                self.finish_s = time.monotonic() + self._patience_s
            self._wake()
        elif self.supervised:  # in a hurry now; if it hangs, its supervisor ends it
            self.finish_s = float("-inf")
            self._wake()
        else:
            os._exit(1)  # not sys.exit(): what hangs in the drain must not hang the exit

    def _wake(self, *_: object) -> None:
        try:
            os.write(self._wake_fd, b"\0")  # a loop may have put its own descriptor in our place
        except BlockingIOError:  # full, so it is readable
            return
