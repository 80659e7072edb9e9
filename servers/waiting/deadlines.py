"""Deadlines, all of them absolute: nothing that trickles, in or out, moves one.

A request that is not there whole has until its deadline, which is set when that is first seen; one
that comes whole, as nearly all do, never gets that far. Sockets that really block have the kernel
wake them; for all others a sweep looks at each connection every second or so. The connections
pay nothing for it: no timer, no look at a clock, no system call per request.
"""

from collections.abc import Collection, Iterator
from typing import Protocol, TypeVar

from servers import limits
from servers.protocol.connection import (
    RECEIVED_BYTES,
    REQUESTS,
    SENT_BYTES,
    Connection,
    State,
    Tally,
)
from servers.sockets.kernel import quiet_s, unread_bytes
from servers.sockets.listeners import Timeouts

_IDLE, _HEAD, _BODY, _DRAINED = State.IDLE, State.HEAD, State.BODY, State.DRAINED


class Timed(Protocol):
    """What has to be known of a connection.

    Attributes:
        begun: The request that is under way: what is awaited of it, and how many came before.
        deadline_s: Of that request, on the monotonic clock.
        seen: What was received or sent when the sweep last saw a change; None: not yet looked at.
        seen_s: When that was.
        untaken: How much of ours the peer had not taken then; None: not yet looked at. Where a
            request is awaited that has not begun: what it has to take yet, by ``deadline_s``.
    """

    connection: Connection
    tally: Tally
    timeouts: Timeouts
    begun: tuple[State, int] | None
    deadline_s: float
    seen: int | None
    seen_s: float
    untaken: int | None

    def fileno(self) -> int:
        """Return the descriptor of its socket."""
        ...

    def untaken_bytes(self) -> int:
        """Return how much of ours the peer has not taken."""
        ...


T = TypeVar("T", bound=Timed)


def left_s(one: Timed, now_s: float) -> float:
    """Return how long the rest of a request may take, from its first sight on."""
    state = one.connection.state
    begun = state, one.tally[REQUESTS]
    if begun != one.begun:
        one.begun = begun
        timeouts = one.timeouts
        allowed_s = timeouts.header_s if state is _HEAD else timeouts.body_s
        one.deadline_s = now_s + allowed_s
    return one.deadline_s - now_s


def too_late(one: Timed, now_s: float) -> bool:
    """Say whether a request has missed its deadline.

    Bytes that had arrived while the server was busy count, though nobody has read them yet; but
    not for ever, since someone who trickles has always just sent one.
    """
    late_s = -left_s(one, now_s)
    return late_s >= 0 and (late_s >= limits.SWEEP_S_MAX or not unread_bytes(one.fileno()))


def stalls(before: int, now: int) -> bool:
    """Say whether a peer has taken less than it has to; it has the same time again if not.

    Both counts are of all that it has not acknowledged, in the kernel's queue and in ours. In ours
    alone it would seem to stall: a kernel's queue of 3 MB asks for more only when a third of it is
    empty, and a client that reads 12 KB a second needs longer for that than any deadline. So it
    would in the kernel's alone, which is filled up again from ours.

    Args:
        before: How much was to be taken when its time began, in bytes.
        now: How much is left of it; 0: nothing is due.
    """
    return now > 0 and before - now < limits.STREAM_BYTES


def silent_too_long(one: Timed, now_s: float) -> bool:
    """Say whether one that has sent nothing for ``idle_s`` has been idle for as long.

    It is not idle while it takes what we have sent, but has to keep to the write deadline: if that
    is what it has missed, ``untaken`` is not 0. Its silence begins when it has taken all.
    """
    left = one.untaken_bytes()
    if left:
        if one.untaken and now_s < one.deadline_s:
            return False
        if one.untaken and stalls(one.untaken, left):
            return True
        one.begun, one.untaken, one.deadline_s = None, left, now_s + one.timeouts.write_s
        return False
    if one.untaken is None:
        # Only at the first look: a silent peer also acknowledges what keeps a connection alive.
        one.seen_s = max(one.seen_s, now_s - quiet_s(one.fileno()))
    elif one.untaken:
        one.seen_s = now_s
    one.untaken = 0
    return now_s - one.seen_s >= one.timeouts.idle_s


def overdue(timed: Collection[T], now_s: float) -> list[T]:
    """Return those that owe us bytes, or have not taken ours, for longer than they may.

    A connection is found at most two sweeps late and never early.
    """
    late = []
    for one in timed:
        state = one.connection.state
        if state is _IDLE or state is _DRAINED:
            received = one.tally[RECEIVED_BYTES]
            if received != one.seen:
                one.seen = received
                one.seen_s = now_s
                one.untaken = None
            elif now_s - one.seen_s < one.timeouts.idle_s:
                continue
            elif not unread_bytes(one.fileno()) and silent_too_long(one, now_s):
                late.append(one)
        elif state is not _HEAD and state is not _BODY:
            sent = -1 - one.tally[SENT_BYTES]  # below zero, so no number of received bytes
            if sent != one.seen:
                one.seen = sent
                one.seen_s = now_s
                one.untaken = None
            elif one.untaken is None:  # nothing was given to the kernel since the last look
                one.untaken = one.untaken_bytes()
            elif now_s - one.seen_s >= one.timeouts.write_s:
                untaken = one.untaken_bytes()
                if stalls(one.untaken, untaken):
                    late.append(one)  # what it waits for is itself, not a /wait
                else:
                    one.seen_s, one.untaken = now_s, untaken
        elif too_late(one, now_s):
            late.append(one)
    return late


def slices(timed: Collection[T]) -> Iterator[list[T]]:
    """Yield all connections, a few at a time; those that end meanwhile are left out."""
    everyone = list(timed)
    for start in range(0, len(everyone), limits.SWEPT_PER_TURN):
        yield [one for one in everyone[start : start + limits.SWEPT_PER_TURN] if one in timed]


def sweep_interval_s(timeouts: Collection[Timeouts]) -> float:
    """Return how often to sweep, in seconds."""
    return min(limits.SWEEP_S_MAX, min(map(min, timeouts)) / limits.SWEEPS_PER_TIMEOUT)
