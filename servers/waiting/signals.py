"""Signals: one handler for all of them, and a table that says what each one does.

The launcher, a worker and a forked child differ in their table only. A terminal, systemd and others
send SIGTERM, SIGINT and SIGHUP to all processes at once, so a worker ignores these three and obeys
its supervisor alone, which sends DRAIN and LEAVE. A worker that stopped listening by itself, before
the supervisor has stopped the queue, would lose the clients that connect in between.
"""

import os
import signal
from collections.abc import Callable, Mapping
from types import FrameType

from servers.waiting.wake_up import WakeUp

LEAVE, DRAIN = signal.SIGUSR1, signal.SIGUSR2
"""What a supervisor sends to its workers; a parent sends DRAIN to its children, too."""

TO_ALL = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)
"""What others send to all processes at once. A worker starts with these blocked."""

Actions = Mapping[int, Callable[[], object]]
"""Signal -> what to do; a signal that is not in the table is ignored."""


class Signals:
    """The signals of this process, and of the children that it forks.

    Args:
        wake_up: Woken by every signal.
    """

    def __init__(self, wake_up: WakeUp) -> None:
        self._wake_up = wake_up
        self._actions: Actions = {}
        self._child_actions: Actions = {}
        self._in_child = False
        self._pid = os.getpid()
        self._early: list[int] = []  # what a child received before it had its own table

    def listen(self, actions: Actions) -> None:
        """Act on signals from now on."""
        # Python runs a handler between two instructions of its own. For a signal just before poll()
        # that is after poll() has returned, perhaps never; this byte is written at once.
        signal.set_wakeup_fd(self._wake_up.wake_fd, warn_on_full_buffer=False)
        self._actions = actions
        for signum in (*TO_ALL, LEAVE, DRAIN):
            signal.signal(signum, self._handle)
        signal.signal(signal.SIGALRM, lambda *_: os._exit(0))  # see Shutdown.request
        ours = (*TO_ALL, LEAVE, DRAIN, signal.SIGALRM, signal.SIGCHLD)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, ours)  # our parent may have blocked them

    def wake_on(self, signum: int) -> None:
        """Let another signal wake, and do nothing else."""
        signal.signal(signum, lambda *_: self._wake_up.wake())

    def prepare_children(self, actions: Actions) -> None:
        """Set the table of the children that will be forked."""
        self._child_actions = actions

    def listen_in_child(self) -> None:
        """Switch to the children's table; handle the signals received so far first.

        No handler is set, and no table replaced: a child would copy 60 pages for the handlers, and
        15 for what is freed with a table.
        """
        self._in_child = True
        for signum in self._early:
            self._handle(signum, None)

    def _handle(self, signum: int, frame: FrameType | None) -> None:
        if not self._in_child and os.getpid() != self._pid:  # a child that is not ready yet
            self._early.append(signum)
            return
        actions = self._child_actions if self._in_child else self._actions
        if action := actions.get(signum):
            action()
