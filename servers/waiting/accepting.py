"""Taking clients off a listener, and what happens at the machine's limit: in every model alike.

No descriptor left: stop accepting, try again after a pause that doubles; clients wait in the
backlog. The same at --max-connections, but for the last turns of a shutdown, which let all in.
Accepted, but no process or thread to be had, or beyond --limit-concurrency: a 503, or for echo a
close.
"""

import errno
import logging
import os
import socket
import time
from collections.abc import Iterator
from contextlib import suppress

from servers import limits
from servers.counting.counters import Counters
from servers.counting.shared_table import ACCEPT_ERRORS, ACCEPTED, REFUSED
from servers.sockets.kernel import stop_queueing
from servers.sockets.listeners import Listener
from servers.waiting.shutdown import Shutdown

NO_MEMORY = "no memory left: the client is refused"

_log = logging.getLogger("servers")

_AT_THE_LIMIT = (errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM)


_unread = bytearray(limits.RECV_BYTES)
"""What a refused client has sent. There from the start: where no memory is left it is refused, too.
"""

_METHOD_BYTES = 16
"""So much of it is looked at: four empty lines, a method that matters, and the space behind it."""


class NobodyToServe(Exception):
    """No process or thread could be had for a client."""


class BackOff:
    """The pause before the next accept(); 0 while all is well."""

    def __init__(self) -> None:
        self._delays_s: dict[Listener, float] = {}  # of those that are in trouble
        self._logged_s = float("-inf")
        self._hesitated: set[Listener] = set()

    @property
    def delay_s(self) -> float:
        """How long to pause now."""
        return max(self._delays_s.values(), default=0.0)

    def begin(self, listener: Listener, why: str) -> None:
        """Pause, twice as long as the last time; say why, but not each time."""
        delay_s = self._delays_s.get(listener, 0.0) * 2
        delay_s = min(max(delay_s, limits.BACKOFF_FIRST_S), limits.BACKOFF_LAST_S)
        self._delays_s[listener] = delay_s
        now_s = time.monotonic()
        if now_s - self._logged_s >= limits.LOG_INTERVAL_S:
            self._logged_s = now_s
            with suppress(MemoryError):  # for a log record: the pause is what matters
                _log.warning("%s", why)

    def hesitates(self, listener: Listener) -> bool:
        """Say whether to look once more, after a pause, before anybody is sent away."""
        if listener in self._hesitated:
            return False
        self._hesitated.add(listener)
        self._delays_s[listener] = limits.REFUSAL_DELAY_S
        return True

    def end(self, listener: Listener) -> None:
        """Go on without a pause."""
        self._hesitated.discard(listener)
        if self._delays_s:
            self._delays_s.pop(listener, None)


def accept(
    listener: Listener, counters: Counters, back_off: BackOff, last: bool = False
) -> Iterator[socket.socket]:
    """Yield the clients that are waiting, a bounded number of them, and keep the back-off.

    Ends early when no client waits, or at the machine's limit. A client is lost where there is
    no memory for its socket: it has no end that could be told.

    Args:
        last: The server is to stop: whoever waits for room would wait in vain, so all are let in.
    """
    family, kind, proto = listener.kind
    for _ in range(limits.ACCEPTS_PER_TURN):
        if counters.at_concurrency_limit and not last and back_off.hesitates(listener):
            return  # somebody may have left and not been missed yet
        if counters.at_drain_maximum if last else counters.at_max_connections:
            back_off.begin(listener, listener.full_because or _no_descriptor(counters))
            return
        try:
            # Not accept(), which makes enumerations of family and type for each client: 20 pages
            # that a fork has to copy. gevent's sockets have this one too.
            fd, _ = listener.sock._accept()  # type: ignore[attr-defined]  # noqa: SLF001
        except BlockingIOError:  # nobody waits any more
            back_off.end(listener)
            return
        except OSError as error:  # the machine's limit, or a client that left the queue
            counters.totals[listener.index][ACCEPT_ERRORS] += 1
            if error.errno in _AT_THE_LIMIT:
                back_off.begin(listener, _no_descriptor(counters))
                return
            continue
        except MemoryError:  # accept() closes what it cannot return
            back_off.begin(listener, NO_MEMORY)
            return
        try:
            sock = socket.socket(family, kind, proto, fd)
        except MemoryError as error:
            error.__traceback__ = None  # with it goes a socket half made, which may own the client
            with suppress(OSError):  # so it did
                os.close(fd)
            back_off.begin(listener, NO_MEMORY)
            return
        if counters.at_concurrency_limit:
            refuse(sock, listener, counters)
        else:
            yield sock
            back_off.end(listener)  # only now: it may be taken and not be served


def last_turns(listener: Listener, counters: Counters, shutdown: Shutdown) -> Iterator[None]:
    """Keep new clients out; yield for each turn, until one of them has found nobody to let in.

    No more turns than a full queue takes: where new clients cannot be kept out, a crowd that comes
    again and again would keep us for ever. A successor takes everybody; and a supervisor keeps them
    out itself.
    """
    if shutdown.succeeded:
        return
    if not shutdown.supervised:
        stop_queueing(listener.sock)
    totals, found = counters.totals[listener.index], -1
    for _ in range(listener.backlog // limits.ACCEPTS_PER_TURN + 1):
        before, found = found, totals[ACCEPTED] + totals[REFUSED] + totals[ACCEPT_ERRORS]
        if before == found:
            return
        yield


def refuse(sock: socket.socket, listener: Listener, counters: Counters) -> None:
    """Refuse a client at once, in words where the protocol has some.

    What it has sent by now is read first, for the words depend on it. Where there is no memory
    for that, it is closed without a word.
    """
    with sock:
        try:
            counters.totals[listener.index][REFUSED] += 1
            sock.setblocking(False)
            words = listener.refusal(_begun(sock))
            if words:
                sock.send(words)
            sock.shutdown(socket.SHUT_WR)
            sock.recv_into(_unread)  # unread bytes would turn our close into a reset
        except (OSError, MemoryError):  # gone already, or no words; either way it is refused
            return


def _begun(sock: socket.socket) -> bytes:
    """Return the first bytes that a client has sent; b"" if nothing is there yet."""
    try:
        size = sock.recv_into(_unread)
    except BlockingIOError:  # it is refused before it has asked
        return b""
    return bytes(_unread[: min(size, _METHOD_BYTES)])


def _no_descriptor(counters: Counters) -> str:
    nofile = os.sysconf("SC_OPEN_MAX")
    return (
        f"no descriptor left at {counters.open_count} connections (limit {nofile}): clients wait"
        f" in the backlog; run: ulimit -n {max(65536, 2 * nofile)}"
    )
