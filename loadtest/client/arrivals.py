"""When requests are due: a schedule that does not wait for replies (an open loop).

A closed loop asks again when a reply has come, so a slow server gets fewer requests just while it
is slow, and what its clients would have suffered is never measured (coordinated omission).
"""

import random
from collections.abc import Callable
from typing import NamedTuple

from loadtest.measure.meter import Meter
from loadtest.measure.pace import ARRIVALS

Gap = Callable[[float], float]
"""Takes the mean time between two requests of a connection, returns the time to the next."""

_GOLDEN_RATIO = 0.6180339887498949


def _constant(period_s: float) -> float:
    return period_s


def _poisson(period_s: float) -> float:
    return random.expovariate(1 / period_s)


GAPS: dict[str, Gap] = dict(zip(ARRIVALS, (_constant, _poisson), strict=True))
"""Arrivals -> gap."""


class Schedule(NamedTuple):
    """When the requests of a scenario's connections are due, from ``start_s`` on.

    Attributes:
        start_s: On the clock of ``time.perf_counter``.
        period_s: Mean time between two requests of one connection.
        gap: One of ``GAPS``.
        deadline_s: What is later than this is dropped and counted, not sent.
    """

    start_s: float
    period_s: float
    gap: Gap
    deadline_s: float

    def first_s(self, number: int) -> float:
        """Return when the first request of a connection is due, the ``number``-th of them all.

        Connections at a steady beat spread evenly over one period: by the golden ratio they do so
        however many there are, and without knowing of each other.
        """
        if self.gap is _constant:
            return self.start_s + (number * _GOLDEN_RATIO) % 1 * self.period_s
        return self.start_s + self.gap(self.period_s)


NEVER = float("inf")
_NOT_BEGUN = float("-inf")


class Turns:
    """When one connection asks: on its schedule or, without one, as soon as it is free.

    Args:
        number: Which one it is of all connections of the process.

    Attributes:
        due_s: When the request in flight was due, or the next one is.
        scheduled: Whether there is a schedule.
    """

    __slots__ = ("_number", "_schedule", "_until_s", "due_s", "scheduled")

    def __init__(self, number: int) -> None:
        self._number = number
        self._schedule: Schedule | None = None
        self._until_s = _NOT_BEGUN
        self.due_s = 0.0
        self.scheduled = False

    @property
    def begun(self) -> bool:
        """Whether it has begun to ask."""
        return self._until_s != _NOT_BEGUN

    @property
    def open(self) -> bool:
        """Whether what is due is still to be asked."""
        return self.due_s < self._until_s

    def begin(self, schedule: Schedule | None) -> None:
        """Ask from now on."""
        self._schedule, self.scheduled = schedule, schedule is not None
        self._until_s = NEVER

    def finish(self, until_s: float) -> None:
        """Ask only what is due before then."""
        self._until_s = until_s

    def next_s(self, free_s: float, meter: Meter) -> float:
        """Return when the next request is due; ``NEVER`` if there is none.

        Args:
            free_s: From when on the connection is free.
            meter: Counts what is dropped, because it would be later than the deadline.
        """
        schedule = self._schedule
        if schedule is None:
            due_s = free_s
        elif self.due_s < schedule.start_s:  # so far it has been established, no more
            due_s = schedule.first_s(self._number)
        else:
            due_s = self.due_s + schedule.gap(schedule.period_s)
            while due_s < free_s - schedule.deadline_s:
                meter.of(due_s).dropped += 1
                due_s += schedule.gap(schedule.period_s)
        self.due_s = due_s
        return due_s if due_s < self._until_s else NEVER

    def abandon(self, meter: Meter, in_flight: bool) -> None:
        """Drop, and count, all that was still to be asked, without what is in flight."""
        schedule = self._schedule
        if schedule is not None and self._until_s != NEVER:
            if in_flight:
                self.due_s += schedule.gap(schedule.period_s)
            while self.due_s < self._until_s:
                meter.of(self.due_s).dropped += 1
                self.due_s += schedule.gap(schedule.period_s)
        self._until_s = _NOT_BEGUN
