"""The clients that one process serves by threads, by greenlets or on a loop, and their counts."""

import logging
import math
import socket
from collections.abc import Callable, Collection, Iterator
from contextlib import suppress
from typing import Generic, Protocol, TypeVar

from servers import limits
from servers.counting.counters import Counters
from servers.protocol.connection import Connection, Tally
from servers.sockets.listeners import Listener

_log = logging.getLogger("servers")


class Served(Protocol):
    """A client, as far as the set of all clients has to know it."""

    connection: Connection
    tally: Tally

    def close_if_idle(self, now_s: float) -> bool:
        """Close the client if it is idle; return False to be called again in a moment."""
        ...

    def abort(self) -> None:
        """Close the client at once: the grace period is over."""
        ...


T = TypeVar("T", bound=Served)


class Clients(Generic[T]):
    """The clients that are served: a client's row of counts is open while it is in this set.

    Args:
        make: Makes a client of its socket, its listener, its row and this set. The client calls
            ``remove`` at its end.
        counters: Has the rows.
        unit: What serves a client, in one word for the log: "thread".
        reap: Given this set, closes clients that have ended without calling ``remove``.

    Attributes:
        starting: Clients, or their tasks, that a shutdown has to wait for before it drains.
    """

    poll_s = limits.DRAIN_POLL_S

    def __init__(
        self,
        make: "Callable[[socket.socket, Listener, Tally, Clients[T]], T]",
        counters: Counters,
        unit: str,
        reap: "Callable[[Clients[T]], None]" = lambda _: None,
    ) -> None:
        self.unit = unit
        self.starting: Collection[object] = ()
        self._make = make
        self._reap = reap
        self._counters = counters
        self._clients: set[T] = set()
        self._still_open: list[T] | None = None  # at a shutdown: those that may still be idle

    def __len__(self) -> int:
        return len(self._clients)

    def __iter__(self) -> Iterator[T]:
        return iter(list(self._clients))  # a copy: clients come and go meanwhile

    def __contains__(self, client: object) -> bool:
        return client in self._clients

    def add(self, sock: socket.socket, listener: Listener) -> T:
        """Open a row for a client that has just been accepted, and return the client.

        Raises:
            MemoryError: There is none for it. After any error no row is open.
        """
        tally = self._counters.open(listener.index)
        try:
            client = self._make(sock, listener, tally, self)
            self._clients.add(client)
        except BaseException:  # no memory, or a bug: a row without a client would stay for ever
            self._counters.close(tally)
            raise
        return client

    def remove(self, client: T) -> None:
        """Close the row of a client that has ended; nothing happens the second time."""
        if client in self._clients:
            self._clients.discard(client)
            self._counters.close(client.tally)

    def reap(self) -> None:
        """Close clients that have ended without notice."""
        with suppress(MemoryError):  # what is left is closed the next time
            self._reap(self)

    def announce_shutdown(self) -> None:
        """Let the next reply to each client be the last one."""
        for client in self:
            try:
                client.connection.drain()
            except Exception:  # no memory, or a bug: it costs no other client its drain
                self._fail(client)

    def close_idle(self, now_s: float) -> float:
        """Close the idle clients; return after how many seconds to call this again."""
        open_ = self if self._still_open is None else self._still_open
        self._still_open = [
            client for client in open_ if client in self and not self._close_if_idle(client, now_s)
        ]
        return limits.DRAIN_POLL_S if self._still_open else math.inf

    def _close_if_idle(self, client: T, now_s: float) -> bool:
        try:
            return client.close_if_idle(now_s)
        except Exception:  # no memory, or a bug: it costs no other client its drain
            self._fail(client)
            return False  # where an abort does nothing, the client is drained the next time

    def _fail(self, client: T) -> None:
        """Abort a client that cannot be drained, and log why."""
        with suppress(MemoryError):  # it is drained the next time
            client.abort()
        with suppress(MemoryError):  # for a log record
            _log.exception("client not drained")

    def abort(self) -> None:
        """Close all clients at once."""
        for client in self:
            with suppress(MemoryError):  # the process ends now, all the same
                client.abort()
