"""The children of the forking model: counted, buried, and taken along at the end."""

import gc
import logging
import os
import select
import signal
import socket
import time
from collections.abc import Callable, Sequence
from typing import NoReturn

from servers import limits
from servers.counting.counters import Counters
from servers.protocol.connection import Tally
from servers.sockets.listeners import Listener
from servers.waiting.blocking import Peer, serve_peer
from servers.waiting.shutdown import DRAIN, Shutdown

_REHEARSALS = 20  # more than the runs after which CPython 3.11 to 3.13 have specialised code

_PIPELINED = 40  # as one batch they take the long ways, of parsing and of sending

_GAP_BYTES = range(0, 480, 16)  # Python's own allocator: one size class every 16 bytes, to 512
_GAPS = 100  # of each size: more than a start leaves behind, and less than 1 MB in all

_log = logging.getLogger("servers")


class Children:
    """The processes that are serving, and the counts each of them writes."""

    def __init__(self, counters: Counters) -> None:
        self._counters = counters
        self._tallies: dict[int, Tally] = {}

    def share_memory(self) -> None:
        """Bring the memory into a state in which a child copies few pages of it."""
        gc.collect()
        # Else what is allocated after a fork fills gaps all over the pages, and copies each.
        self._gaps_filled = [bytes(size) for size in _GAP_BYTES for _ in range(_GAPS)]
        gc.freeze()  # a collection would touch, and so copy, every page that a child shares

    def __len__(self) -> int:
        return len(self._tallies)

    def add(self, pid: int, tally: Tally) -> None:
        """Take note of a child that serves the connection counted in ``tally``.

        Raises:
            MemoryError: There is none to take note of it: the child has been killed.
        """
        try:
            self._tallies[pid] = tally
        except MemoryError:  # else it would serve a client that the caller refuses
            os.kill(pid, signal.SIGKILL)
            os.waitpid(pid, 0)
            raise

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
        self._counters.record_children_usage()

    def tell(self) -> None:
        """Let the next reply of every child be its last one."""
        self._send(signal.SIGINT)

    def finish(self) -> None:
        """Let every child finish, at once if it is idle."""
        self._send(DRAIN)

    def _send(self, signum: int) -> None:
        for pid in self._tallies:  # none has been waited for, so each is still its own
            os.kill(pid, signum)

    def wait_for(self, shutdown: Shutdown) -> None:
        """End those that are idle and wait for all; end who is left after the grace period."""
        give_up_s = time.monotonic() + shutdown.grace_s
        poll = select.poll()
        poll.register(shutdown.fd, select.POLLIN)
        self.bury()
        pause_s, asked_s = 0.0, float("-inf")
        while self._tallies and (now_s := time.monotonic()) < give_up_s:
            ask_s = max(shutdown.finish_s, asked_s + pause_s)
            if now_s >= ask_s:
                # And again: a signal just before recv() is not looked at before recv() returns.
                self.finish()
                asked_s, pause_s = now_s, max(2 * pause_s, limits.DRAIN_REPEAT_FIRST_S)
                ask_s = now_s + pause_s
            if poll.poll((min(ask_s, give_up_s) - now_s) * 1000):
                shutdown.clear_wake()
            self.bury()
        for pid in self._tallies:
            os.kill(pid, signal.SIGKILL)
            os.waitpid(pid, 0)


def exit_after(
    run: Callable[[Peer], None], sock: socket.socket, listener: Listener, tally: Tally
) -> NoReturn:
    """Run the child's part and exit: 0, or 1 after an error; never return to the parent's code.

    os._exit() and not sys.exit(): the parent's cleanup is not the child's to run.
    """
    status = 1
    try:
        run(Peer(sock, listener, tally))
        status = 0
    except Exception:  # a bug, or no memory: say so, and take nobody else along
        _log.exception("child failed")
    finally:
        os._exit(status)


def rehearse(listeners: Sequence[Listener]) -> None:
    """Serve a few clients of each protocol within the parent, before there are any.

    What Python specialises and caches at first use is then shared by all children; else each of
    them would do it anew, in pages of its own. Where it cannot be done, that is all that is lost.
    """
    one_of_each = {listener.protocol: listener for listener in listeners}
    try:
        for listener in one_of_each.values():
            for requests in (_PIPELINED, 1) * _REHEARSALS:
                ours, theirs = socket.socketpair()
                with ours, theirs:
                    theirs.sendall(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n" * requests)
                    theirs.shutdown(socket.SHUT_WR)
                    serve_peer(Peer(ours, listener, [0] * 8))
    except OSError as error:  # no descriptor, no memory, or somebody forbids such sockets
        _log.warning("no rehearsal (%s): each child takes more memory", error.strerror)
