"""Taking clients off a listener, and what happens at the machine's limit: in every model alike.

No descriptor left: stop accepting, try again after a pause that doubles; clients wait in the
backlog. Accepted, but no process or thread to be had: a 503, or for echo a close.
"""

import errno
import logging
import os
import socket
import time
from collections.abc import Iterator

from servers import limits
from servers.counters import ACCEPT_ERRORS, REFUSED, Counters
from servers.listeners import Listener

_log = logging.getLogger("servers")

_AT_THE_LIMIT = (errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM)


class NobodyToServe(Exception):
    """No process or thread could be had for a client."""


class BackOff:
    """The pause before the next accept(); 0 while all is well."""

    def __init__(self) -> None:
        self.delay_s = 0.0
        self._logged_s = float("-inf")

    def begin(self, why: str) -> None:
        """Pause, twice as long as the last time; say why, but not each time."""
        self.delay_s = min(max(self.delay_s * 2, limits.BACKOFF_FIRST_S), limits.BACKOFF_LAST_S)
        now_s = time.monotonic()
        if now_s - self._logged_s >= limits.LOG_INTERVAL_S:
            self._logged_s = now_s
            _log.warning("%s; clients wait in the backlog", why)

    def end(self) -> None:
        """Go on without a pause."""
        self.delay_s = 0.0


def accept(listener: Listener, counters: Counters, back_off: BackOff) -> Iterator[socket.socket]:
    """Yield the clients that are waiting, a bounded number of them, and keep the back-off.

    Ends early when nobody waits, or at the machine's limit.
    """
    family, kind, proto = listener.kind
    for _ in range(limits.ACCEPTS_PER_TURN):
        if counters.full:
            back_off.begin(_no_descriptor(counters))
            return
        try:
            # Not accept(), which makes enumerations of family and type for each client: 20 pages
            # that a fork has to copy. gevent's sockets have this one too.
            fd, _ = listener.sock._accept()  # type: ignore[attr-defined]  # noqa: SLF001
        except BlockingIOError:  # nobody waits any more
            back_off.end()
            return
        except OSError as error:  # the machine's limit, or a client that left the queue
            counters.totals[listener.index][ACCEPT_ERRORS] += 1
            if error.errno in _AT_THE_LIMIT:
                back_off.begin(_no_descriptor(counters))
                return
            continue
        back_off.end()
        yield socket.socket(family, kind, proto, fd)


def refuse(sock: socket.socket, listener: Listener, counters: Counters) -> None:
    """Send a client away at once, in words where the protocol has some."""
    counters.totals[listener.index][REFUSED] += 1
    with sock:
        sock.setblocking(False)
        try:
            if listener.refusal:
                sock.send(listener.refusal)
            sock.shutdown(socket.SHUT_WR)
            sock.recv(limits.RECV_BYTES)  # unread bytes would turn our close into a reset
        except OSError:  # nothing to read yet, or gone already; either way it is sent away
            return


def _no_descriptor(counters: Counters) -> str:
    nofile = os.sysconf("SC_OPEN_MAX")
    return (
        f"no descriptor left at {counters.open_count} connections"
        f" (limit {nofile}); run: ulimit -n {max(65536, 2 * nofile)}"
    )
