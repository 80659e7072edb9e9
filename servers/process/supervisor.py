"""The parent of --workers: it starts them, replaces those that end, and ends them.

Each worker has listeners of its own, over which the kernel spreads the clients (SO_REUSEPORT): with
one listener for all, the worker that wakes first takes most. The supervisor holds them all: so
a client in the queue of a worker that dies, or is replaced, is served by the next one.
"""

import logging
import math
import os
import select
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import NoReturn

from servers import limits
from servers.counting.tables import Tables, new_place
from servers.process import log
from servers.process.arguments import Arguments
from servers.process.startup import (
    StartUpError,
    announce,
    connections_max,
    end,
    listen_on,
    starting,
    warn_of_orphans,
)
from servers.process.worker import command
from servers.sockets.kernel import stop_queueing
from servers.sockets.listeners import Socks, waits
from servers.waiting.shutdown import Shutdown
from servers.waiting.signals import DRAIN, LEAVE, TO_ALL

_CANNOT_START = 3  # what a worker exits with that could not import what it serves with

_log = logging.getLogger("servers")


@dataclass(eq=False)
class Worker:
    """A process that serves, or is about to, or is leaving."""

    process: subprocess.Popen[bytes]
    post: "Post"
    table: int  # where it counts
    started_s: float
    kill_s: float  # by then it is ready, or has left


@dataclass(eq=False)
class Post:
    """A share of the clients: its listeners, and who accepts there."""

    socks: Socks
    holder: Worker | None = None  # is ready
    successor: Worker | None = None  # is not ready yet
    outdated: bool = False  # the holder is to be replaced, as SIGHUP asks
    deaths: int = 0  # in a row, each soon after the start
    due_s: float = math.inf  # when to start a successor

    @property
    def listeners(self) -> list[socket.socket]:
        """All of its sockets."""
        return [sock for each in self.socks.values() for sock in each]

    def forget(self, dead: Worker) -> None:
        """Let nobody stand for a worker that has died."""
        self.holder = None if dead is self.holder else self.holder
        self.successor = None if dead is self.successor else self.successor


class Supervisor:
    """Keeps so many processes serving as were asked for.

    Args:
        argv: What the launcher was told; each worker is told so again.

    Raises:
        StartUpError: An address cannot be listened on, or a wish not be met.
    """

    def __init__(self, arguments: Arguments, argv: Sequence[str]) -> None:
        self._argv = argv
        self._model = arguments.model
        self._grace_s = arguments.timeout_graceful_shutdown
        rows_max = connections_max(arguments)
        warn_of_orphans(arguments)
        self._shutdown = Shutdown(self._grace_s)
        self._announced = False
        self._posts = [Post(socks) for socks in listen_on(arguments, arguments.workers)]
        self._workers: dict[int, Worker] = {}  # by pid, until they have been waited for
        # As many may be leaving as are serving; and the last table is our own.
        self._free_tables = list(range(2 * len(self._posts)))
        self._place = new_place(rows_max, len(self._free_tables) + 1)
        self._tables = Tables(self._place)
        self._counters = self._tables.counters(rows_max=0)
        self._poll = select.poll()
        self._unready: dict[int, Worker] = {}  # by the descriptor on which it will say so

    def run(self, begun: Callable[[], None]) -> None:
        """Start the workers, say so, keep them serving until a shutdown, and drain them.

        Args:
            begun: Called when it has been said that the server is ready.

        Raises:
            StartUpError: A worker cannot start; all others have been drained.
        """
        self._shutdown.listen_to_signals()
        self._shutdown.signals.wake_on(signal.SIGCHLD)
        signal.signal(signal.SIGHUP, self._on_hangup)
        self._poll.register(self._shutdown.wake_up.fd, select.POLLIN)
        try:
            for post in self._posts:
                self._start(post)
            while not (self._shutdown.requested or all(post.holder for post in self._posts)):
                self._take_turn()
            if not self._shutdown.requested:
                announce(self._model, self._posts[0].socks)
                self._announced = True
                begun()
            while not self._shutdown.requested:
                self._replace()
                # Where there is no table for another one, somebody has to leave first.
                due_s = min(post.due_s for post in self._posts)
                self._take_turn(due_s if self._free_tables else math.inf)
        finally:
            self._drain()

    def _start(self, post: Post) -> None:
        """Start a worker for a post; try again later if that cannot be done now."""
        post.outdated = False  # before it is there: SIGHUP from now on means this one, too
        place = self._place._replace(table=self._free_tables[-1])
        fds = [place.fd, *map(socket.socket.fileno, post.listeners)]
        argv = command(post.socks, place, self._argv)
        # A signal to all processes must not end one that cannot handle it yet; see listen().
        before = signal.pthread_sigmask(signal.SIG_BLOCK, TO_ALL)
        try:
            process = subprocess.Popen(argv, stdout=subprocess.PIPE, pass_fds=fds)  # noqa: S603
        except (OSError, MemoryError) as error:  # no process, descriptor or memory is left
            self._back_off(post, f"cannot start a worker: {error or 'no memory left'}")
            return
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, before)
        assert process.stdout is not None
        now_s = time.monotonic()
        give_up_s = now_s + limits.WORKER_START_S
        worker = Worker(process, post, self._free_tables.pop(), now_s, give_up_s)
        self._workers[process.pid] = post.successor = worker
        self._unready[process.stdout.fileno()] = worker
        self._poll.register(process.stdout, select.POLLIN)
        post.due_s = math.inf

    def _on_hangup(self, *_: object) -> None:
        for post in self._posts:
            post.outdated = True

    def _replace(self) -> None:
        """Start whoever is due: for those that have died, and for the next that SIGHUP means."""
        for post in self._posts:
            if post.due_s <= time.monotonic() and self._free_tables:
                self._start(post)
        # One at a time, and not at the cost of a post where nobody is.
        held = all(post.holder and not post.successor for post in self._posts)
        outdated = [post for post in self._posts if post.outdated]
        if held and outdated and self._free_tables:
            self._start(outdated[0])

    def _take_turn(self, until_s: float = math.inf) -> None:
        """Wait until something happens or a time has come; hear, end and bury workers."""
        until_s = min([until_s, *(worker.kill_s for worker in self._workers.values())])
        wait_ms = None
        if until_s < math.inf:
            wait_ms = max(math.ceil((until_s - time.monotonic()) * 1000), 0)
        for fd, _ in self._poll.poll(wait_ms):
            if fd == self._shutdown.wake_up.fd:
                self._shutdown.wake_up.clear()
            else:
                self._hear(fd)
        for pid, worker in self._workers.items():
            if worker.kill_s <= time.monotonic():
                worker.kill_s = math.inf
                _log.warning("worker %d has not become ready, or left, in time: killed", pid)
                os.kill(pid, signal.SIGKILL)
        while self._workers:
            pid, status = os.waitpid(-1, os.WNOHANG)
            if pid == 0:
                break
            # PID 1 of a container inherits strangers' children as well.
            if dead := self._workers.pop(pid, None):
                dead.process.returncode = os.waitstatus_to_exitcode(status)
                self._tables.absorb(dead.table, self._counters)
                self._free_tables.append(dead.table)
                if self._shutdown.requested:
                    dead.post.forget(dead)
                else:
                    self._see_to_successor(dead)

    def _hear(self, fd: int) -> None:
        """Let a worker that is ready take its post; or forget one that never will be."""
        worker = self._unready.pop(fd)
        self._poll.unregister(fd)
        assert worker.process.stdout is not None
        with worker.process.stdout as pipe:
            ready = os.read(pipe.fileno(), 4096)
        if not ready.startswith(b"listening ") or worker.process.pid not in self._workers:
            return  # it has died, and may have been buried before it was heard
        post, worker.kill_s = worker.post, math.inf
        leaving, post.holder, post.successor = post.holder, worker, None
        if self._shutdown.requested:
            os.kill(worker.process.pid, DRAIN)
        elif leaving:
            os.kill(leaving.process.pid, LEAVE)
            leaving.kill_s = time.monotonic() + self._grace_s + limits.WORKER_KILL_DELAY_S

    def _see_to_successor(self, dead: Worker) -> None:
        """Have another one started, unless none was needed or none can start."""
        post, status = dead.post, dead.process.returncode
        what = f"worker {dead.process.pid} ended with {_named(status)}"
        if dead is post.successor:
            post.successor = None
            what += " before it was ready"
            # While another worker serves, a start that fails costs its share at most.
            if status == _CANNOT_START and not any(each.holder for each in self._posts):
                raise StartUpError(f"{what}; run with --workers 1 to see why")
            if post.holder is not None:
                _log.error("%s: SIGHUP replaces nobody any more", what)
                for each in self._posts:
                    each.outdated = False
                return
        elif dead is post.holder:
            post.holder = None
            if post.successor is not None:
                return
        else:
            return  # it had a successor before it left
        if time.monotonic() - dead.started_s >= limits.WORKER_SETTLED_S:
            post.deaths = 0
        self._back_off(post, what)

    def _back_off(self, post: Post, why: str) -> None:
        """Start another one: at once the first time, then after a pause that doubles."""
        if not self._announced:
            raise StartUpError(f"{why}; run with --workers 1 to see why, or with fewer")
        pause_s = 0.0
        if post.deaths:
            pause_s = limits.WORKER_PAUSE_FIRST_S * 2.0 ** min(post.deaths - 1, 30)
            pause_s = min(pause_s, limits.WORKER_PAUSE_LAST_S)
        post.deaths += 1
        post.due_s = time.monotonic() + pause_s
        _log.warning("%s; another is started in %g s", why, pause_s)

    def _drain(self) -> None:
        """Let nobody in, have all workers drain, and end those that have not in time."""
        if self._shutdown.requested:
            self._take_turn(0)  # who has died by now is missed
            for post in self._posts:  # whoever waits where nobody is has come in time, too
                nobody = post.holder is None and post.successor is None
                if nobody and self._free_tables and any(map(waits, post.listeners)):
                    self._start(post)
        self._shutdown.requested = True
        socks = [sock for post in self._posts for sock in post.listeners]
        for sock in socks:
            stop_queueing(sock)
        for pid, worker in self._workers.items():
            if worker not in self._unready.values():  # those are told as soon as they can hear it
                os.kill(pid, DRAIN)
        for sock in socks:
            sock.close()
        give_up_s = time.monotonic() + self._grace_s + limits.WORKER_KILL_DELAY_S
        while self._workers and time.monotonic() < give_up_s:
            self._take_turn(give_up_s)
        for pid in self._workers:
            os.kill(pid, signal.SIGKILL)
            os.waitpid(pid, 0)


def supervise(arguments: Arguments, argv: Sequence[str]) -> NoReturn:
    """Run so many workers until a shutdown is requested and they are drained, and exit.

    Raises:
        StartUpError: An address cannot be listened on, a worker cannot start, or a wish not be met.
    """
    log.begin("%(asctime)s %(levelname)s supervisor: %(message)s")
    with starting() as begun:
        Supervisor(arguments, argv).run(begun)
    end()


def _named(status: int) -> str:
    """Return what a process ended with: its exit status, or a signal's name."""
    if status >= 0:
        return f"status {status}"
    try:
        return signal.Signals(-status).name
    except ValueError:  # a real-time signal
        return f"signal {-status}"
