"""When requests are due: a schedule that does not wait for replies (an open loop).

A closed loop sends the next request after the reply: a slow server gets fewer requests while it is
slow, and the delay that its clients would suffer is never measured (coordinated omission).
"""

import random
from collections.abc import Callable
from typing import NamedTuple

from loadtest.measure.meter import Meter
from loadtest.measure.pace import ARRIVALS

Gap = Callable[[float], float]
"""Mean time between two requests of a connection -> time to the next one."""

_GOLDEN_RATIO = 0.6180339887498949


def _constant(period_s: float) -> float:
    return period_s


def _poisson(period_s: float) -> float:
    return random.expovariate(1 / period_s)


GAPS: dict[str, Gap] = dict(zip(ARRIVALS, (_constant, _poisson), strict=True))
"""Name of the arrivals (``pace.ARRIVALS``) -> gap."""


class Schedule(NamedTuple):
    """When the requests of a scenario's connections are due, from ``start_s`` on.

    Attributes:
        start_s: On the clock of ``time.perf_counter``.
        period_s: Mean time between two requests of one connection.
        gap: One of ``GAPS``.
        deadline_s: A request that is later than this is dropped and counted, not sent.
    """

    start_s: float
    period_s: float
    gap: Gap
    deadline_s: float

    def first_s(self, number: int) -> float:
        """Return when the first request of the ``number``-th connection is due.

        Connections at a steady beat spread evenly over one period. With the golden ratio they do so
        for any number of connections, and without knowing each other.
        """
        if self.gap is _constant:
            return self.start_s + (number * _GOLDEN_RATIO) % 1 * self.period_s
        return self.start_s + self.gap(self.period_s)


NEVER = float("inf")
_NOT_BEGUN = float("-inf")


class Turns:
    """When one connection makes requests: on its schedule or, without one, as soon as it is free.

    Args:
        number: Of the connection, among all of the process.

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
        """Whether requests have become due."""
        return self._until_s != _NOT_BEGUN

    @property
    def open(self) -> bool:
        """Whether the request at ``due_s`` is still to be made."""
        return self.due_s < self._until_s

    def begin(self, schedule: Schedule | None) -> None:
        """Let requests become due from now on."""
        self._schedule, self.scheduled = schedule, schedule is not None
        self._until_s = NEVER

    def finish(self, until_s: float) -> None:
        """Let no request become due from then on."""
        self._until_s = until_s

    def next_s(self, free_s: float, meter: Meter) -> float:
        """Return when the next request is due; ``NEVER`` if there is none.

        Args:
            free_s: When the connection became free.
            meter: Counts requests that are dropped because they would be later than the deadline.
        """
        schedule = self._schedule
        if schedule is None:
            due_s = free_s
        elif self.due_s < schedule.start_s:  # so far the connection was only established
            due_s = schedule.first_s(self._number)
        else:
            due_s = self.due_s + schedule.gap(schedule.period_s)
            while due_s < free_s - schedule.deadline_s:
                meter.of(due_s).dropped += 1
                due_s += schedule.gap(schedule.period_s)
        self.due_s = due_s
        return due_s if due_s < self._until_s else NEVER

    def abandon(self, meter: Meter, in_flight: bool) -> None:
        """Drop and count all requests still to be made, except one in flight."""
        schedule = self._schedule
        if schedule is not None and self._until_s != NEVER:
            if in_flight:
                self.due_s += schedule.gap(schedule.period_s)
            while self.due_s < self._until_s:
                meter.of(self.due_s).dropped += 1
                self.due_s += schedule.gap(schedule.period_s)
        self._until_s = _NOT_BEGUN
