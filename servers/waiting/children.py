"""The children of the forking model: started, counted, reaped, and ended with the server."""

import logging
import math
import os
import signal
import socket
import time
from collections.abc import Collection, Sequence
from typing import NamedTuple, NoReturn

from servers import limits
from servers.counting.counters import Counters
from servers.protocol.connection import Tally
from servers.sockets.kernel import die_with_parent
from servers.sockets.listeners import Listener
from servers.waiting.blocking import serve_client
from servers.waiting.client import Client
from servers.waiting.shutdown import Shutdown
from servers.waiting.signals import DRAIN, Actions
from servers.waiting.warm_up import prepare_pages

_log = logging.getLogger("servers")


class Accepted(NamedTuple):
    """A client that a child is about to serve."""

    sock: socket.socket
    listener: Listener
    tally: Tally


class Children:
    """The processes that serve one client each. A child writes its row of counts itself.

    Args:
        listeners: Are closed in a child.
        counters: Have the rows, in memory that is shared with all children.
    """

    unit = "process"
    poll_s = math.inf  # SIGCHLD wakes
    starting: Collection[object] = ()

    def __init__(
        self, listeners: Sequence[Listener], counters: Counters, shutdown: Shutdown
    ) -> None:
        self._listeners = listeners
        self._counters = counters
        self._shutdown = shutdown
        self._pid = os.getpid()
        self._tallies: dict[int, Tally] = {}
        self._pause_s = 0.0  # from one DRAIN to the next
        self._own: Client | None = None  # in a child: its client

    def __len__(self) -> int:
        return len(self._tallies)

    def prepare(self) -> None:
        """Get ready to fork: let the children share as much of this process's memory as can be."""
        actions: Actions = {
            signal.SIGINT: self._drain_own,
            signal.SIGTERM: self._drain_own,
            DRAIN: self._close_own,
        }
        self._shutdown.signals.prepare_children(actions)
        self._shutdown.signals.wake_on(signal.SIGCHLD)
        self._gaps_filled = prepare_pages(self._listeners)

    def add(self, sock: socket.socket, listener: Listener) -> Accepted:
        """Open a row of counts for a client that has just been accepted."""
        return Accepted(sock, listener, self._counters.open(listener.index))

    def remove(self, accepted: Accepted) -> None:
        """Close the row of a client for which there is no child."""
        self._counters.close(accepted.tally)

    def started(self, pid: int, accepted: Accepted) -> None:
        """Leave a client to the child that serves it.

        Raises:
            MemoryError: There is none to remember the child: it has been killed.
        """
        try:
            self._tallies[pid] = accepted.tally
        except MemoryError:  # else the child would serve a client that is refused
            os.kill(pid, signal.SIGKILL)
            os.waitpid(pid, 0)
            raise
        accepted.sock.close()

    def become(self, accepted: Accepted) -> NoReturn:
        """Serve a client in this process, a child just forked, and exit: 0, or 1 after an error.

        os._exit() and not sys.exit(): the parent's cleanup is not the child's to run.
        """
        status = 1
        try:
            client = Client(*accepted)
            die_with_parent()
            if os.getppid() == self._pid:  # the parent has not died before that
                for listener in self._listeners:
                    listener.sock.close()
                self._own = client
                self._shutdown.signals.listen_in_child()
                if self._shutdown.requested:  # forked while the queue was being emptied
                    client.connection.drain()
                serve_client(client)
            status = 0
        except Exception:  # a bug, or no memory: log it, and do not go on as a second parent
            _log.exception("child failed")
        finally:
            os._exit(status)

    def reap(self) -> None:
        """Wait for every child that has finished: one SIGCHLD may stand for many of them."""
        while self._tallies:
            pid, _ = os.waitpid(-1, os.WNOHANG)
            if pid == 0:
                break
            # PID 1 of a container inherits the children of other processes as well.
            tally = self._tallies.pop(pid, None)
            if tally is not None:
                self._counters.close(tally)
        self._counters.record_children_usage()

    def announce_shutdown(self) -> None:
        """Let the next reply of every child be its last one."""
        self._send(signal.SIGINT)

    def close_idle(self, now_s: float) -> float:
        """Let every child finish, at once if it is idle; return when to call this again.

        Again, since a signal that comes just before recv() is not handled before recv() returns.
        """
        self._send(DRAIN)
        self._pause_s = max(2 * self._pause_s, limits.DRAIN_REPEAT_FIRST_S)
        return self._pause_s

    def abort(self) -> None:
        """Kill all children."""
        for pid in self._tallies:
            os.kill(pid, signal.SIGKILL)
            os.waitpid(pid, 0)

    def _send(self, signum: int) -> None:
        for pid in self._tallies:  # none has been waited for, so each is still its own
            os.kill(pid, signum)

    def _drain_own(self) -> None:
        if self._own is not None:
            self._own.connection.drain()

    def _close_own(self) -> None:
        if self._own is not None:
            self._own.close_if_idle(time.monotonic())
