"""The parent process of --workers: it starts the workers, replaces those that end, and stops all.

Each worker has listeners of its own, over which the kernel spreads the clients (SO_REUSEPORT): a
shared listener would favour whichever worker wakes first. The supervisor holds all listeners open,
so the queue of a worker that dies, or is replaced, passes to the next one.
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
from typing import NoReturn

from servers import limits
from servers.counting.tables import Tables, new_place
from servers.process import log
from servers.process.arguments import Arguments
from servers.process.slot import Slot, Worker
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
from servers.sockets.listeners import waits
from servers.waiting.shutdown import Shutdown
from servers.waiting.signals import DRAIN, LEAVE, TO_ALL

_CANNOT_START = 3  # the exit status of a worker that could not import what it needs

_log = logging.getLogger("servers")


class Supervisor:
    """Keeps ``--workers`` processes serving.

    Args:
        arguments: The launcher's.
        argv: The launcher's command line; every worker gets the same.

    Raises:
        StartUpError: An address cannot be listened on, or a limit cannot be met.
    """

    def __init__(self, arguments: Arguments, argv: Sequence[str]) -> None:
        self._argv = argv
        self._model = arguments.model
        self._grace_s = arguments.timeout_graceful_shutdown
        rows_max = connections_max(arguments)
        warn_of_orphans(arguments)
        self._shutdown = Shutdown(self._grace_s)
        self._announced = False
        self._slots = [Slot(socks) for socks in listen_on(arguments, arguments.workers)]
        self._workers: dict[int, Worker] = {}  # by pid, until they are reaped
        # A slot may have two workers, one of them draining; the last table is the supervisor's.
        self._free_tables = list(range(2 * len(self._slots)))
        self._place = new_place(rows_max, len(self._free_tables) + 1)
        self._tables = Tables(self._place)
        self._counters = self._tables.counters(rows_max=0)
        self._poll = select.poll()
        self._unready: dict[int, Worker] = {}  # by the descriptor of their ready line

    def run(self, begun: Callable[[], None]) -> None:
        """Start the workers, announce them, keep them serving until a shutdown, and drain them.

        Args:
            begun: Called when the server has been announced.

        Raises:
            StartUpError: A worker cannot start; all others have been drained.
        """
        self._shutdown.listen_to_signals()
        self._shutdown.signals.wake_on(signal.SIGCHLD)
        signal.signal(signal.SIGHUP, self._on_hangup)
        self._poll.register(self._shutdown.wake_up.fd, select.POLLIN)
        try:
            for slot in self._slots:
                self._start(slot)
            while not (self._shutdown.requested or all(slot.worker for slot in self._slots)):
                self._wait()
            if not self._shutdown.requested:
                announce(self._model, self._slots[0].socks)
                self._announced = True
                begun()
            while not self._shutdown.requested:
                self._start_due()
                # Without a free table no worker can start before another one has ended.
                start_s = min(slot.start_s for slot in self._slots)
                self._wait(start_s if self._free_tables else math.inf)
        finally:
            self._drain()

    def _start(self, slot: Slot) -> None:
        """Start a worker in a slot; if that fails, try again later."""
        slot.reload_requested = False  # first: a SIGHUP from now on means this worker, too
        place = self._place._replace(table=self._free_tables[-1])
        fds = [place.fd, *map(socket.socket.fileno, slot.listeners)]
        argv = command(slot.socks, place, self._argv)
        # A signal that is sent to all processes must not end a worker before its handlers are set.
        before = signal.pthread_sigmask(signal.SIG_BLOCK, TO_ALL)
        try:
            process = subprocess.Popen(argv, stdout=subprocess.PIPE, pass_fds=fds)  # noqa: S603
        except (OSError, MemoryError) as error:  # no process, descriptor or memory left
            self._back_off(slot, f"cannot start a worker: {error or 'no memory left'}")
            return
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, before)
        assert process.stdout is not None
        now_s = time.monotonic()
        kill_s = now_s + limits.WORKER_START_S
        worker = Worker(process, slot, self._free_tables.pop(), now_s, kill_s)
        self._workers[process.pid] = slot.replacement = worker
        self._unready[process.stdout.fileno()] = worker
        self._poll.register(process.stdout, select.POLLIN)
        slot.start_s = math.inf

    def _on_hangup(self, *_: object) -> None:
        for slot in self._slots:
            slot.reload_requested = True

    def _start_due(self) -> None:
        """Start the workers that are due after a death, and the next one that SIGHUP asks for."""
        for slot in self._slots:
            if slot.start_s <= time.monotonic() and self._free_tables:
                self._start(slot)
        # A reload replaces one worker at a time, and only while every slot is served.
        served = all(slot.worker and not slot.replacement for slot in self._slots)
        reloading = [slot for slot in self._slots if slot.reload_requested]
        if served and reloading and self._free_tables:
            self._start(reloading[0])

    def _wait(self, until_s: float = math.inf) -> None:
        """Wait for a signal, a ready line or a time; promote, kill and reap workers."""
        until_s = min([until_s, *(worker.kill_s for worker in self._workers.values())])
        wait_ms = None
        if until_s < math.inf:
            wait_ms = max(math.ceil((until_s - time.monotonic()) * 1000), 0)
        for fd, _ in self._poll.poll(wait_ms):
            if fd == self._shutdown.wake_up.fd:
                self._shutdown.wake_up.clear()
            else:
                self._promote(fd)
        for pid, worker in self._workers.items():
            if worker.kill_s <= time.monotonic():
                late = "become ready" if worker in self._unready.values() else "drained"
                _log.warning("worker %d has not %s in time: killed", pid, late)
                worker.kill_s = math.inf
                os.kill(pid, signal.SIGKILL)
        self._reap()

    def _promote(self, fd: int) -> None:
        """Make a worker that reports ready its slot's worker, and retire the one before it."""
        worker = self._unready.pop(fd)
        self._poll.unregister(fd)
        assert worker.process.stdout is not None
        with worker.process.stdout as pipe:
            line = os.read(pipe.fileno(), 4096)
        if not line.startswith(b"listening ") or worker.process.pid not in self._workers:
            return  # it has died, and may have been reaped already
        slot, worker.kill_s = worker.slot, math.inf
        retired, slot.worker, slot.replacement = slot.worker, worker, None
        if self._shutdown.requested:
            os.kill(worker.process.pid, DRAIN)
        elif retired:
            os.kill(retired.process.pid, LEAVE)
            retired.kill_s = time.monotonic() + self._grace_s + limits.WORKER_KILL_DELAY_S

    def _reap(self) -> None:
        """Reap the workers that have ended, keep their counts, and plan replacements."""
        while self._workers:
            pid, status = os.waitpid(-1, os.WNOHANG)
            if pid == 0:
                break
            # PID 1 of a container inherits strangers' children as well.
            if ended := self._workers.pop(pid, None):
                ended.process.returncode = os.waitstatus_to_exitcode(status)
                self._tables.absorb(ended.table, self._counters)
                self._free_tables.append(ended.table)
                if self._shutdown.requested:
                    ended.slot.forget(ended)
                else:
                    self._plan_replacement(ended)

    def _plan_replacement(self, ended: Worker) -> None:
        """Plan the start of another worker, unless none is needed or none can start."""
        slot, status = ended.slot, ended.process.returncode
        what = f"worker {ended.process.pid} ended with {_status_text(status)}"
        was_replacement, was_worker = ended is slot.replacement, ended is slot.worker
        slot.forget(ended)
        if was_replacement:
            what += " before it was ready"
            # While another worker serves, a failed start costs at most its share of the clients.
            if status == _CANNOT_START and not any(each.worker for each in self._slots):
                raise StartUpError(f"{what}; run with --workers 1 to see why")
            if slot.worker is not None:
                _log.error("%s: reload stopped, the other workers stay", what)
                for each in self._slots:
                    each.reload_requested = False
                return
        elif not was_worker or slot.replacement is not None:
            return  # its replacement is ready, or about to be
        self._back_off(slot, what, time.monotonic() - ended.started_s)

    def _back_off(self, slot: Slot, why: str, lived_s: float = 0.0) -> None:
        if not self._announced:
            raise StartUpError(f"{why}; run with --workers 1 to see why, or with fewer")
        _log.warning("%s; the next one starts in %g s", why, slot.back_off(lived_s))

    def _drain(self) -> None:
        """Stop listening, drain all workers, and kill those that exceed the grace period."""
        if self._shutdown.requested:
            self._wait(0)  # reap the workers that have died by now
            for slot in self._slots:  # clients in the queue of an empty slot are to be served, too
                if slot.is_empty and self._free_tables and any(map(waits, slot.listeners)):
                    self._start(slot)
        self._shutdown.requested = True
        listeners = [sock for slot in self._slots for sock in slot.listeners]
        for sock in listeners:
            stop_queueing(sock)
        for pid, worker in self._workers.items():
            if worker not in self._unready.values():  # _promote() drains these once they are ready
                os.kill(pid, DRAIN)
        for sock in listeners:
            sock.close()
        give_up_s = time.monotonic() + self._grace_s + limits.WORKER_KILL_DELAY_S
        while self._workers and time.monotonic() < give_up_s:
            self._wait(give_up_s)
        for pid in self._workers:
            os.kill(pid, signal.SIGKILL)
            os.waitpid(pid, 0)


def supervise(arguments: Arguments, argv: Sequence[str]) -> NoReturn:
    """Run the workers until a shutdown is requested and drained, and exit.

    Raises:
        StartUpError: An address cannot be listened on, a worker cannot start, or a limit cannot be
            met.
    """
    log.begin("%(asctime)s %(levelname)s supervisor: %(message)s")
    with starting() as begun:
        Supervisor(arguments, argv).run(begun)
    end()


def _status_text(status: int) -> str:
    """Return how a process ended: with its exit status, or a signal's name."""
    if status >= 0:
        return f"status {status}"
    try:
        return signal.Signals(-status).name
    except ValueError:  # a real-time signal
        return f"signal {-status}"
