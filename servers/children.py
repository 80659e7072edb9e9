"""The children of the forking model: counted, buried, and taken along at the end."""

import logging
import os
import resource
import select
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager

from servers.connection import Tally
from servers.counters import Counters
from servers.shutdown import Shutdown

_log = logging.getLogger("servers")


class Children:
    """The processes that are serving, and the counts each of them writes."""

    def __init__(self, counters: Counters) -> None:
        self._counters = counters
        self._tallies: dict[int, Tally] = {}

    def __len__(self) -> int:
        return len(self._tallies)

    def add(self, pid: int, tally: Tally) -> None:
        """Take note of a child that serves the connection counted in ``tally``."""
        self._tallies[pid] = tally

    def bury(self) -> None:
        """Wait for every child that has finished: one SIGCHLD may stand for many of them."""
        while self._tallies:
            pid, _ = os.waitpid(-1, os.WNOHANG)
            if pid == 0:
                break
            # PID 1 of a container inherits strangers' children as well.
            tally = self._tallies.pop(pid, None)
            if tally is not None:
                self._counters.close(tally)
        # The children that answer /metrics cannot ask the kernel for this: only the parent can.
        dead = resource.getrusage(resource.RUSAGE_CHILDREN)
        self._counters.dead_context_switches = dead.ru_nvcsw + dead.ru_nivcsw

    def drain(self, shutdown: Shutdown) -> None:
        """Ask every child to finish; end those that have not after the grace period."""
        give_up_s = time.monotonic() + shutdown.grace_s
        for pid in self._tallies:  # none has been waited for, so each pid is still its own
            os.kill(pid, signal.SIGTERM)
        poll = select.poll()
        poll.register(shutdown.fd, select.POLLIN)
        self.bury()
        while self._tallies and (left_s := give_up_s - time.monotonic()) > 0:
            if poll.poll(left_s * 1000):
                shutdown.clear_wake()
            self.bury()
        for pid in self._tallies:
            os.kill(pid, signal.SIGKILL)
            os.waitpid(pid, 0)


@contextmanager
def exit_status() -> Iterator[None]:
    """Exit when the block ends: 0, or 1 after an error; never return to the caller's code.

    os._exit() and not sys.exit(): the parent's cleanup is not the child's to run.
    """
    status = 1
    try:
        yield
        status = 0
    except Exception:  # a bug: say so, and take nobody else along
        _log.exception("child failed")
    finally:
        os._exit(status)
