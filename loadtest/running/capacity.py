"""Search the highest rate at which an objective holds, such as p99=50ms, window by window.

A window that fails is repeated at once, and weighs no more than chance failures allow. A window in
which the generator was the limit, or waited for a core, is inconclusive: it tells nothing about the
server, and is repeated, too. Inconclusive windows also come by chance. So the generator counts as
the limit only where rows of them came twice, at rates above every conclusive window: a conclusive
window proves that the generator can make its rate.
"""

import math
from dataclasses import dataclass
from itertools import takewhile

from loadtest.measure.result import Result
from loadtest.measure.verdict import ERRORS, GENERATOR_BOUND, INVALID, NO_REPLY, SPOILT
from loadtest.measure.wording import counted
from loadtest.running.objective import Objective, Outcome
from loadtest.running.posterior import Posterior

FIRST_HZ = 100.0
"""First rate if a flat-out window had no reply."""

FLAT_OUT_S = 1.0
"""Length of the first window, which is flat out: the search begins at half of its rate."""

RANGE = 1000.0
"""The lowest rate of a search is this many times lower than flat out."""

RATE_MIN_HZ = 0.1
PRECISION = 0.05
"""How far off the answer may be on either side. Capacities differ by more from run to run."""

LEVEL = 0.9
"""Probability that the capacity lies within the interval."""

SURE = 0.95
"""Probability that it lies beyond an end of the search."""

WINDOWS_MAX = 30
INCONCLUSIVE_MAX, INCONCLUSIVE_EXCESS_MAX = 3, 9
"""Inconclusive windows: in a row at one rate; and in all, how many more than conclusive ones."""

GENERATOR_LIMIT_ROWS = 2
"""Rows of inconclusive windows that make the generator the limit. Where one window in three is
inconclusive by chance, one row in 25 is, and two rows come in one search of hundreds."""

REPLYLESS_MAX = 2
"""Windows in a row without one right reply. An overloaded server still answers some requests, since
each connection waits for its reply. This server is broken at any rate."""

GENERATOR_STEP = 0.8
"""The next rate, as a share of one at which a row of windows was inconclusive."""


SEARCH_FILE = "search.json"
"""In a bundle: a ``SearchPlan``. With its windows it is enough to compute the answer again."""


@dataclass(frozen=True)
class SearchPlan:
    """How a search began, and the names of its windows in order.

    Attributes:
        promise: The objective; the file has called it so since the first version.
        flat_out_hz: Rate of the flat-out window.
        ceiling_hz: The generator's.
        windows: Names of folders.
    """

    promise: str
    flat_out_hz: float
    ceiling_hz: float
    windows: list[str]


@dataclass(frozen=True)
class Step:
    """One window, at a rate in requests a second."""

    rate_hz: float
    result: Result


class Search:
    """A search in progress.

    Args:
        objective: What has to hold.
        flat_out_hz: Rate of replies in a second flat out; 0 if none came.
        ceiling_hz: The most the generator can make; the search goes no higher.
    """

    def __init__(self, objective: Objective, flat_out_hz: float, ceiling_hz: float) -> None:
        self.objective, self.flat_out_hz, self.ceiling_hz = objective, flat_out_hz, ceiling_hz
        near_hz = min(flat_out_hz or 2 * FIRST_HZ, ceiling_hz)
        self._first_hz = near_hz / 2
        self._floor_hz = max(near_hz / RANGE, RATE_MIN_HZ)
        self._posterior = Posterior(near_hz, self._floor_hz / 2, 4 * ceiling_hz)
        self.steps: list[Step] = []
        self._inconclusive_hz: list[float] = []  # of each row of inconclusive windows

    def next_rate_hz(self) -> float | None:
        """Return the rate of the next window, in requests a second; None at the end."""
        if not self.steps:
            return _rounded(self._first_hz)
        if self._ended:
            return None
        last = self._last_row()
        tries = {Outcome.HOLDS: 0, Outcome.FAILS: 2, Outcome.INCONCLUSIVE: INCONCLUSIVE_MAX}
        if len(last) < tries[last[0]]:
            return self.steps[-1].rate_hz
        median_hz = self._posterior.quantile_hz(0.5)
        most_hz = self.ceiling_hz if self._holds_at_ceiling else self._generator_max_hz
        return _rounded(min(max(median_hz, self._floor_hz), most_hz))

    def keep(self, step: Step) -> None:
        """Take in a window that has ended."""
        self.steps.append(step)
        outcome = self.objective.outcome(step.result)
        if outcome is not Outcome.INCONCLUSIVE:
            self._posterior.learn(step.rate_hz, outcome is Outcome.HOLDS)
        elif len(self._last_row()) % INCONCLUSIVE_MAX == 0 and step.result.verdict.name != INVALID:
            self._inconclusive_hz.append(step.rate_hz)

    @property
    def outcomes(self) -> list[Outcome]:
        """The outcome of each window."""
        return [self.objective.outcome(step.result) for step in self.steps]

    @property
    def is_conclusive(self) -> bool:
        """Whether any window was conclusive."""
        return {*self.outcomes} != {Outcome.INCONCLUSIVE}

    @property
    def has_figure(self) -> bool:
        """Whether there is a figure to trust: a conclusive window, and one that is not spoilt."""
        spoilt = all(step.result.verdict.name in SPOILT for step in self.steps)
        return self.is_conclusive and not spoilt

    @property
    def interval_hz(self) -> tuple[float, float]:
        """The rates between which the capacity lies, with the probability LEVEL."""
        rest = (1 - LEVEL) / 2
        return self._posterior.quantile_hz(rest), self._posterior.quantile_hz(1 - rest)

    @property
    def capacity_hz(self) -> float | None:
        """The answer, in requests a second; None where the objective held in no window."""
        if not self._rates_hz(Outcome.HOLDS):
            return None
        return min(self._posterior.quantile_hz(0.5), self._generator_max_hz)

    @property
    def summary(self) -> str:
        """The answer in a sentence, with the number of windows."""
        inconclusive = self.outcomes.count(Outcome.INCONCLUSIVE)
        windows = counted(len(self.steps), "window")
        if inconclusive:
            windows += f", {inconclusive} of them inconclusive ({self._inconclusive_reason()})"
        capacity_hz, last = self.capacity_hz, self.steps[-1].result.verdict
        if self._broken or (capacity_hz is None and last.name in SPOILT):
            windows += f"; the last one is spoilt: {last.name}: {last.why}"
        if not self.is_conclusive:
            return f"unknown whether {self.objective} holds: {windows}"
        if capacity_hz is None:
            lowest_hz = min(step.rate_hz for step in self.steps)
            return (
                f"{self.objective} did not hold at any rate down to {_text(lowest_hz)} requests/s:"
                f" {windows}"
            )
        held = f"{self.objective} holds up to {_text(capacity_hz)} requests/s"
        if self._generator_is_limit:
            return (
                f"{held} and more: the generator is the limit there, not the server; add"
                f" --processes, on cores of their own; {windows}"
            )
        if self._holds_at_ceiling:
            return f"{held} and more; not narrowed further: {windows}"
        low_hz, high_hz = self.interval_hz
        interval = f"{_text(low_hz)} to {_text(high_hz)} {LEVEL:.0%} interval"
        return f"{held} ({interval}{'' if self._sharp else '; not narrowed further'}): {windows}"

    def _rates_hz(self, *wanted: Outcome) -> list[float]:
        tried = zip(self.steps, self.outcomes, strict=True)
        return [step.rate_hz for step, outcome in tried if outcome in wanted]

    @property
    def _conclusive_hz(self) -> float:
        """The highest rate of a conclusive window: the generator can make that."""
        return max(self._rates_hz(Outcome.HOLDS, Outcome.FAILS), default=0.0)

    @property
    def _limit_rows_hz(self) -> list[float]:
        """The rates of inconclusive rows that no conclusive window shows to be chance."""
        return [rate_hz for rate_hz in self._inconclusive_hz if rate_hz > self._conclusive_hz]

    @property
    def _generator_max_hz(self) -> float:
        """The most the generator can make, as far as inconclusive rows show."""
        lower_hz = GENERATOR_STEP * min(self._limit_rows_hz, default=math.inf)
        return min(self.ceiling_hz, max(lower_hz, self._conclusive_hz))

    def _last_row(self) -> list[Outcome]:
        """Return the last windows at one rate with one outcome."""
        tried = [*zip((step.rate_hz for step in self.steps), self.outcomes, strict=True)]
        return [outcome for _, outcome in takewhile(lambda one: one == tried[-1], reversed(tried))]

    def _inconclusive_reason(self) -> str:
        verdicts = [
            step.result.verdict.name
            for step, outcome in zip(self.steps, self.outcomes, strict=True)
            if outcome is Outcome.INCONCLUSIVE
        ]
        return (
            verdicts[-1]
            if verdicts[-1] in (GENERATOR_BOUND, INVALID)
            else "the generator waited for a core"
        )

    @property
    def _ended(self) -> bool:
        excess = 2 * self.outcomes.count(Outcome.INCONCLUSIVE) - len(self.steps)
        last_verdict = self.steps[-1].result.verdict.name
        return (
            self._sharp
            or self._generator_is_limit
            or self._broken
            or self._posterior.above(self._floor_hz) <= 1 - SURE
            or len(self.steps) >= WINDOWS_MAX
            or excess >= INCONCLUSIVE_EXCESS_MAX
            or (len(self._last_row()) >= INCONCLUSIVE_MAX and last_verdict == INVALID)
        )

    @property
    def _sharp(self) -> bool:
        low_hz, high_hz = self.interval_hz
        return high_hz / low_hz <= (1 + PRECISION) / (1 - PRECISION)

    @property
    def _broken(self) -> bool:
        """Whether the target has stopped answering, or answers wrongly whatever the rate."""
        last = self.steps[-REPLYLESS_MAX:]
        return len(last) == REPLYLESS_MAX and all(replyless(step.result) for step in last)

    @property
    def _holds_at_ceiling(self) -> bool:
        """Whether the objective holds as far as the generator seems to go."""
        return self._posterior.above(self._generator_max_hz) >= SURE

    @property
    def _generator_is_limit(self) -> bool:
        """Whether it holds as far as the generator goes; one inconclusive row does not show it."""
        rows = len(self._limit_rows_hz)
        return self._holds_at_ceiling and not 0 < rows < GENERATOR_LIMIT_ROWS


def replyless(result: Result) -> bool:
    """Return whether a cell had no right reply, and its rate is not the reason.

    A cell in which no request was due shows nothing of the kind: its server may only be slow.
    """
    spoilt = result.verdict.name in (ERRORS, NO_REPLY) or bool(result.evidence.trouble)
    return spoilt and not result.evidence.requests


def _rounded(rate_hz: float) -> float:
    return float(f"{rate_hz:.3g}")


def _text(rate_hz: float) -> str:
    rounded = _rounded(rate_hz)
    return f"{rounded:,.0f}" if rounded >= 100 else f"{rounded:g}"
