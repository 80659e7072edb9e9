"""Deadlines, all of them absolute: no byte that trickles, in or out, moves one.

A request that arrives in parts has until its deadline, which is set when its first part is noticed;
a request that arrives whole, as nearly all do, has none. Sockets that really block are woken by the
kernel (``servers.waiting.kernel_deadlines``); for all others a sweep checks each connection about
once a second. A request costs nothing: no timer, no look at a clock, no system call.
"""

import logging
import time
from collections.abc import Callable, Collection, Iterator
from contextlib import suppress
from typing import Protocol, TypeVar

from servers import limits
from servers.protocol.connection import (
    BETWEEN_REQUESTS,
    RECEIVED_BYTES,
    REQUESTS,
    SENT_BYTES,
    Connection,
    State,
    Tally,
)
from servers.sockets.kernel import quiet_s, unread_bytes
from servers.sockets.listeners import Timeouts

_IDLE, _HEAD, _BODY = State.IDLE, State.HEAD, State.BODY

_log = logging.getLogger("servers")


class Watch:
    """What is remembered of a client between two looks at it: 80 bytes.

    A client gets one at its first look. Where the kernel keeps the deadlines, that is after
    ``idle_s`` in silence or when a part of a request has arrived: an idle client has none.

    Attributes:
        state: In which state the connection was; IDLE where it is DRAINED.
        count: IDLE: bytes received. HEAD, BODY: requests, not bytes, or a client that trickles
            would move its deadline. Else: bytes sent.
        since_s: Since when both are unchanged, on the monotonic clock. IDLE: since when the client
            has been silent and has taken all; or since when it takes ``unacked_bytes``.
        unacked_bytes: Bytes of ours that the client had not acknowledged; None: not yet checked.
        head: The watch of the last head, which may have begun with half an empty line: the other
            half leads back to IDLE, but must not give the head a new deadline.
    """

    __slots__ = ("count", "head", "since_s", "state", "unacked_bytes")

    def __init__(self, state: State, count: int, now_s: float) -> None:
        self.state = state
        self.count = count
        self.since_s = now_s
        self.unacked_bytes: int | None = None
        self.head: Watch | None = None


class Watched(Protocol):
    """A client, as far as its deadlines depend on it."""

    connection: Connection
    tally: Tally
    watch: Watch | None

    @property
    def timeouts(self) -> Timeouts:
        """Return how long it may take."""
        ...

    def fileno(self) -> int:
        """Return the descriptor of its socket; -1 once it is closed."""
        ...

    def unacked_bytes(self) -> int:
        """Return how many bytes the client has not acknowledged, in the kernel and before it."""
        ...


T = TypeVar("T", bound=Watched)
T_co = TypeVar("T_co", bound=Watched, covariant=True)


def look(client: Watched, now_s: float) -> Watch:
    """Return a client's watch: a new one if anything has changed since the last look."""
    state, tally = client.connection.state, client.tally
    if state in BETWEEN_REQUESTS:
        state, count = _IDLE, tally[RECEIVED_BYTES]
    elif state is _HEAD or state is _BODY:
        count = tally[REQUESTS]
    else:
        count = tally[SENT_BYTES]
    watch = client.watch
    if watch is None or count != watch.count or state is not watch.state:
        last, watch = watch, Watch(state, count, now_s)
        if last is not None:
            head = last if last.state is _HEAD else last.head
            if head is not None and head.count == tally[REQUESTS]:  # no request has ended since
                if state is _HEAD:
                    watch = head
                else:
                    watch.head = head
        client.watch = watch
    return watch


def takes_nothing(client: Watched) -> bool:
    """Return whether an overdue client has not taken all replies: no last one can reach it."""
    watch = client.watch
    return watch is not None and watch.state is _IDLE and bool(watch.unacked_bytes)


def left_s(client: Watched, now_s: float) -> float:
    """Return how long the rest of a request may take; below 0: it is late by so much."""
    watch, timeouts = look(client, now_s), client.timeouts
    allowed_s = timeouts.header_s if watch.state is _HEAD else timeouts.body_s
    return watch.since_s + allowed_s - now_s


def too_late(client: Watched, now_s: float) -> bool:
    """Return whether a request has missed its deadline.

    Bytes that arrived while the server was busy count, though they have not been read yet; but not
    for ever, since a client that trickles has always just sent one.
    """
    late_s = -left_s(client, now_s)
    return late_s >= 0 and (late_s >= limits.SWEEP_S_MAX or not unread_bytes(client.fileno()))


def stalls(before: int, now: int) -> bool:
    """Return whether a client has taken less than it must; if not, it has the same time again.

    Both counts are of all bytes that it has not acknowledged: those in our own queue and those in
    the kernel's. Counted in our queue alone, a slow client would seem to stall: the kernel asks for
    more only when a third of its 3 MB is empty, and at 12 KB/s that takes longer than any deadline.
    Counted in the kernel's alone it would, too, since that queue is refilled from ours.

    Args:
        before: How much was left to be taken when its time began, in bytes.
        now: How much is left now; 0: nothing is due.
    """
    return now > 0 and before - now < limits.STREAM_BYTES


def silent_too_long(client: Watched, watch: Watch, now_s: float) -> bool:
    """Return whether a client that has sent nothing for ``idle_s`` has been idle for as long.

    While it takes what it was sent it is not idle, but has to keep the write deadline: if it has
    missed that one, ``watch.unacked_bytes`` is not 0. Its silence begins when it has taken all.
    """
    before, left = watch.unacked_bytes, client.unacked_bytes()
    if left:
        if before and now_s < watch.since_s + client.timeouts.write_s:
            return False
        if before and stalls(before, left):
            return True
        watch.unacked_bytes, watch.since_s = left, now_s
        return False
    if before is None:
        # Only at the first check: a silent client also acknowledges keep-alive probes.
        watch.since_s = max(watch.since_s, now_s - quiet_s(client.fileno()))
    elif before:
        watch.since_s = now_s
    watch.unacked_bytes = 0
    return now_s - watch.since_s >= client.timeouts.idle_s


def is_overdue(client: Watched, now_s: float) -> bool:
    """Return whether a client has sent, or taken, nothing for longer than it may.

    At most two sweeps late, and never early.
    """
    watch = look(client, now_s)
    state, silent_s = watch.state, now_s - watch.since_s
    if state is _IDLE:
        if silent_s < client.timeouts.idle_s and not watch.unacked_bytes:
            return False
        return not unread_bytes(client.fileno()) and silent_too_long(client, watch, now_s)
    if state is _HEAD or state is _BODY:
        return too_late(client, now_s)
    if watch.unacked_bytes is None:
        watch.unacked_bytes = client.unacked_bytes()
    elif silent_s >= client.timeouts.write_s:
        left = client.unacked_bytes()
        if stalls(watch.unacked_bytes, left):  # what it waits for is the client, not a /wait
            return True
        watch.since_s, watch.unacked_bytes = now_s, left
    return False


class Sweepable(Protocol[T_co]):
    """The clients that are served; they may come and go during a sweep."""

    def __iter__(self) -> Iterator[T_co]: ...

    def __contains__(self, client: object, /) -> bool: ...


def sweep(
    clients: Sweepable[T], interrupt: Callable[[T], None], interval_s: float
) -> Iterator[float]:
    """Check all deadlines, again and again: for clients whose deadlines the kernel does not keep.

    Args:
        interrupt: Called with each client that is overdue; ends it now or soon.
        interval_s: From one sweep to the next.

    Yields:
        For how long to wait before going on, in seconds; 0: until the others have had their turn.
    """
    while True:
        due_s = time.monotonic() + interval_s
        yield interval_s
        if time.monotonic() - due_s > interval_s:  # held up: first let what has arrived be read
            yield limits.LATE_SWEEP_DELAY_S
        try:
            everyone = list(clients)
            for start in range(0, len(everyone), limits.SWEPT_PER_TURN):
                _check(everyone[start : start + limits.SWEPT_PER_TURN], clients, interrupt)
                yield 0.0
        except MemoryError:  # for the list of all clients; there may be some by the next sweep
            with suppress(MemoryError):  # for the log record, which must not end all sweeps
                _log.exception("deadlines are not checked")
        finally:
            everyone = []  # clients that leave are not to be held here until the next sweep


def _check(part: list[T], clients: Sweepable[T], interrupt: Callable[[T], None]) -> None:
    now_s = time.monotonic()
    for client in part:
        try:
            if client in clients and is_overdue(client, now_s):
                interrupt(client)
        except Exception:  # no memory, or a bug: it costs no other client its deadline
            with suppress(MemoryError):  # for the log record
                _log.exception("a deadline is not checked")


def sweep_interval_s(timeouts: Collection[Timeouts]) -> float:
    """Return how often to sweep, in seconds."""
    return min(limits.SWEEP_S_MAX, min(map(min, timeouts)) / limits.SWEEPS_PER_TIMEOUT)
