"""Silent connections, found by a sweep: for the models whose sockets have no deadline of their own.

A sweep looks at each connection every second or so. The connections pay nothing for it: no timer,
no look at a clock, no system call per request.
"""

from collections.abc import Collection, Iterator
from typing import Protocol, TypeVar

from servers import limits
from servers.connection import Awaiting, Connection, Tally
from servers.counters import RECEIVED_BYTES
from servers.kernel import unread_bytes


class Swept(Protocol):
    """What a sweep needs to know of a connection."""

    connection: Connection
    tally: Tally
    idle_timeout_s: float
    seen_bytes: int
    seen_s: float

    def fileno(self) -> int:
        """Return the descriptor of its socket."""
        ...


S = TypeVar("S", bound=Swept)


def overdue(swept: Collection[S], now_s: float) -> list[S]:
    """Return those that owe us bytes and have sent none for their idle time-out.

    A connection is found at most two sweeps late and never early: bytes that have arrived while
    the server was busy count, though nobody has read them yet.
    """
    late = []
    for one in swept:
        received = one.tally[RECEIVED_BYTES]
        if one.connection.awaiting is Awaiting.NOTHING:
            one.seen_bytes = -1
        elif received != one.seen_bytes:
            one.seen_bytes = received
            one.seen_s = now_s
        elif now_s - one.seen_s >= one.idle_timeout_s and not unread_bytes(one.fileno()):
            late.append(one)
    return late


def slices(swept: set[S]) -> Iterator[list[S]]:
    """Yield all connections, a few at a time; those that end meanwhile are left out."""
    everyone = list(swept)
    for start in range(0, len(everyone), limits.SWEPT_PER_TURN):
        yield [one for one in everyone[start : start + limits.SWEPT_PER_TURN] if one in swept]


def sweep_interval_s(timeouts_s: Collection[float]) -> float:
    """Return how often to sweep, in seconds."""
    return min(limits.SWEEP_S_MAX, min(timeouts_s) / limits.SWEEPS_PER_TIMEOUT)
