"""Taking clients off the listeners, and what happens at the machine's limit: in every model alike.

No descriptor left: stop accepting, try again after a pause that doubles; clients wait in the
backlog. The same at --max-connections, except at a shutdown, which serves all that have connected.
Accepted, but no process or thread to be had, or beyond --limit-concurrency: a 503, or for echo a
close.
"""

import errno
import logging
import os
import socket
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from typing import Generic, Protocol, TypeVar

from servers import limits
from servers.counting.counters import Counters
from servers.counting.shared_table import ACCEPT_ERRORS, ACCEPTED, REFUSED
from servers.sockets.kernel import stop_queueing
from servers.sockets.listeners import Listener
from servers.waiting.shutdown import Shutdown

_NO_MEMORY = "no memory left: client "
_REFUSED, _CLOSED, _LOST = "refused with 503", "closed", "lost"
_NO_MEMORY_REFUSED = _NO_MEMORY + _REFUSED  # made at import, while there is memory for them
_NO_MEMORY_CLOSED = _NO_MEMORY + _CLOSED
_NO_MEMORY_LOST = _NO_MEMORY + _LOST

_log = logging.getLogger("servers")

_AT_THE_LIMIT = (errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM)

_discard_buffer = bytearray(limits.RECV_BYTES)
"""Allocated at import, so that refusing a client needs no memory."""

_METHOD_BYTES = 16
"""What a refusal depends on: four empty lines, a method that matters, and the space behind it."""

T = TypeVar("T")


class BackOff:
    """The pause before the next accept(); 0 while all is well."""

    def __init__(self) -> None:
        self._delays_s: dict[Listener, float] = {}  # of listeners at a limit
        self._logged_s = float("-inf")
        self._deferred: set[Listener] = set()

    @property
    def delay_s(self) -> float:
        """How long to pause now."""
        return max(self._delays_s.values(), default=0.0)

    def begin(self, listener: Listener, why: str) -> None:
        """Pause, twice as long as the last time; log why, but not each time."""
        delay_s = self._delays_s.get(listener, 0.0) * 2
        delay_s = min(max(delay_s, limits.BACKOFF_FIRST_S), limits.BACKOFF_LAST_S)
        self._delays_s[listener] = delay_s
        now_s = time.monotonic()
        if now_s - self._logged_s >= limits.LOG_INTERVAL_S:
            self._logged_s = now_s
            with suppress(MemoryError):  # for a log record: the pause is what matters
                _log.warning("%s", why)

    def defer_refusal(self, listener: Listener) -> bool:
        """Return whether to pause first: a client's end may not have been noticed yet."""
        if listener in self._deferred:
            return False
        self._deferred.add(listener)
        self._delays_s[listener] = limits.REFUSAL_DELAY_S
        return True

    def end(self, listener: Listener) -> None:
        """Go on without a pause."""
        self._deferred.discard(listener)
        if self._delays_s:
            self._delays_s.pop(listener, None)


class Room(Protocol[T]):
    """Where accepted clients go, and come from at their end.

    Attributes:
        unit: What serves a client, in one word for the log: "thread".
    """

    unit: str

    def add(self, sock: socket.socket, listener: Listener) -> T:
        """Open a row of counts for a client that has just been accepted, and return the client."""
        ...

    def remove(self, client: T) -> None:
        """Close the row of a client that has ended: exactly once for each that was added."""
        ...


class Acceptor(Generic[T]):
    """Accepts clients and has each of them started, or refuses it: the one place for both.

    Args:
        clients: Where they are added, and removed if they cannot be started.
        counters: Count those that are refused, too, and know whether there is room.
        start: Begins to serve a client, and returns at once. May raise OSError, RuntimeError or
            MemoryError: there is no process or thread for it, or no memory.
    """

    def __init__(self, clients: Room[T], counters: Counters, start: Callable[[T], None]) -> None:
        self._clients = clients
        self._counters = counters
        self._start = start
        self._back_off = BackOff()

    @property
    def pause_s(self) -> float:
        """How long to wait before the next client is accepted; 0: accept it now."""
        return self._back_off.delay_s

    def accept(self, listener: Listener, last: bool = False) -> None:
        """Start to serve clients that wait at a listener, a bounded number of them.

        Args:
            last: The server is about to stop: a client that waited for room would wait in vain, so
                all are served.
        """
        why = ""
        for sock in self._take(listener, last):
            try:
                why = self._serve(sock, listener) or why
            except Exception:  # a bug: it costs this client only
                refuse(sock, listener, self._counters)
                with suppress(MemoryError):  # for a log record
                    _log.exception("client not served")
        if why:
            self._back_off.begin(listener, why)

    def _serve(self, sock: socket.socket, listener: Listener) -> str:
        """Start to serve a client, or refuse it; return why it was refused, "" if it is served."""
        try:
            client = self._clients.add(sock, listener)
        except MemoryError as error:
            refuse(sock, listener, self._counters)
            return self._reason(error, listener)
        try:
            self._start(client)
        except (OSError, RuntimeError, MemoryError) as error:  # nothing to serve it with
            self._clients.remove(client)
            refuse(sock, listener, self._counters)
            return self._reason(error, listener)
        except BaseException:  # a bug: the row must not stay open for that
            self._clients.remove(client)
            raise
        return ""

    def cannot_start(
        self, client: T, sock: socket.socket, listener: Listener, error: Exception
    ) -> None:
        """Refuse a client of which it turns out after ``start`` that it cannot be served."""
        self._clients.remove(client)
        refuse(sock, listener, self._counters)
        self._back_off.begin(listener, self._reason(error, listener))

    def empty(self, listeners: Sequence[Listener], shutdown: Shutdown) -> None:
        """Keep new clients out, and serve all that have connected by now.

        A successor takes them all; and a supervisor keeps new ones out itself. No more turns than
        a full queue needs: where new clients cannot be kept out, they might come for ever.
        """
        if shutdown.handed_over:
            return
        for listener in listeners:
            if not shutdown.supervised:
                stop_queueing(listener.sock)
            totals, taken = self._counters.totals[listener.index], -1
            for _ in range(listener.backlog // limits.ACCEPTS_PER_TURN + 1):
                before, taken = taken, totals[ACCEPTED] + totals[REFUSED] + totals[ACCEPT_ERRORS]
                if before == taken:
                    break
                self.accept(listener, last=True)

    def _take(self, listener: Listener, last: bool) -> Iterator[socket.socket]:
        """Yield clients that wait, until none waits or a limit is met, and keep the back-off.

        Where there is no memory for its socket, a client is lost: nothing can be sent to it.
        """
        family, kind, proto = listener.kind
        counters, back_off = self._counters, self._back_off
        for _ in range(limits.ACCEPTS_PER_TURN):
            if counters.at_concurrency_limit and not last and back_off.defer_refusal(listener):
                return
            if counters.at_drain_maximum if last else counters.at_max_connections:
                back_off.begin(listener, listener.full_because or self._no_descriptor())
                return
            try:
                # Not accept(), which makes enumerations of family and type for each client: 20
                # pages that a fork has to copy. gevent's sockets have this one too.
                fd, _ = listener.sock._accept()  # type: ignore[attr-defined]  # noqa: SLF001
            except BlockingIOError:  # no client waits
                back_off.end(listener)
                return
            except OSError as error:  # the machine's limit, or a client that left the queue
                counters.totals[listener.index][ACCEPT_ERRORS] += 1
                if error.errno in _AT_THE_LIMIT:
                    back_off.begin(listener, self._no_descriptor())
                    return
                continue
            except MemoryError:  # accept() closes what it cannot return
                back_off.begin(listener, _NO_MEMORY_LOST)
                return
            try:
                sock = socket.socket(family, kind, proto, fd)
            except MemoryError as error:
                error.__traceback__ = None  # it holds a socket half made, which may own the client
                with suppress(OSError):  # so it did
                    os.close(fd)
                back_off.begin(listener, _NO_MEMORY_LOST)
                return
            if counters.at_concurrency_limit:
                refuse(sock, listener, counters)
            else:
                yield sock
                back_off.end(listener)  # only now: the client may have found nothing to serve it

    def _reason(self, error: Exception, listener: Listener) -> str:
        """Return why a client was refused, and how, for the log."""
        try:
            has_reply = bool(listener.refusal(b""))
            if isinstance(error, MemoryError):
                return _NO_MEMORY_REFUSED if has_reply else _NO_MEMORY_CLOSED
            at = f"at {self._counters.open_count:,} connections"
            return f"no {self._clients.unit} left {at}: client {_REFUSED if has_reply else _CLOSED}"
        except MemoryError:  # for these words
            return _NO_MEMORY_CLOSED

    def _no_descriptor(self) -> str:
        nofile = os.sysconf("SC_OPEN_MAX")
        return (
            f"no descriptor left at {self._counters.open_count} connections (limit {nofile}):"
            f" clients wait in the backlog; run: ulimit -n {max(65536, 2 * nofile)}"
        )


def refuse(sock: socket.socket, listener: Listener, counters: Counters) -> None:
    """Refuse a client at once, with a reply where the protocol has one.

    What it has sent by now is read first, for the reply depends on it. Where there is no memory
    for that, it is closed without a reply.
    """
    with sock:
        try:
            counters.totals[listener.index][REFUSED] += 1
            sock.setblocking(False)
            reply = listener.refusal(_begun(sock))
            if reply:
                sock.send(reply)
            sock.shutdown(socket.SHUT_WR)
            sock.recv_into(_discard_buffer)  # unread bytes would turn our close into a reset
        except (OSError, MemoryError):  # gone already, or no memory; either way it is refused
            return


def _begun(sock: socket.socket) -> bytes:
    """Return the first bytes that a client has sent; b"" if none have arrived."""
    try:
        size = sock.recv_into(_discard_buffer)
    except BlockingIOError:  # it is refused before it has sent a request
        return b""
    return bytes(_discard_buffer[: min(size, _METHOD_BYTES)])
