"""The highest rate at which a promise holds, such as p99=50ms: found window by window.

A window that fails is repeated at once, and believed as far as windows fail by chance. One in
which the generator was the limit, or waited for a core, says nothing about the server: it is
repeated, too. Silence comes by chance as well, so the generator's own end is believed only where
silence came back, and where no window has said anything at that rate or above: one that has shows
that the generator can do it.
"""

import math
from dataclasses import dataclass
from itertools import takewhile

from loadtest.measure.result import Result
from loadtest.measure.verdict import ERRORS, GENERATOR_BOUND, INVALID, NO_REPLY, SPOILT
from loadtest.running.objective import Objective, Outcome
from loadtest.running.posterior import Posterior

FIRST_HZ = 100.0
"""Where the search begins where nothing was answered flat out."""

FLAT_OUT_S = 1.0
"""The window flat out that comes first: half of its rate is where the search begins."""

RANGE = 1000.0
"""How many times less than flat out is still tried."""

RATE_MIN_HZ = 0.1
PRECISION = 0.05
"""How far off on either side it may be at its end: capacities differ by more from run to run."""

LEVEL = 0.9
"""With which probability the capacity lies within the interval."""

SURE = 0.95
"""With which it lies beyond an end."""

WINDOWS_MAX = 30
SILENT_MAX, SILENT_EXCESS_MAX = 3, 9
"""Windows that say nothing: in a row at one rate; and in all, how many more than say something."""

SILENCES_BELIEVED = 2
"""Rows of such windows that show the generator's end. Where one window in three is silent by
chance, one row in 25 is, and two are in one search of hundreds."""

REPLYLESS_MAX = 2
"""Windows in a row without one right reply. An overloaded server still answers some, for each
connection waits for its reply: this one is broken, at any rate."""

GENERATOR_STEP = 0.8
"""How much less is asked for where the generator was the limit, again and again."""


SEARCH_FILE = "search.json"
"""In a bundle: a ``SearchPlan``, from which and from its windows the answer can be found again."""


@dataclass(frozen=True)
class SearchPlan:
    """What a search began with, and the names of its windows in their order."""

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
    """A search that is under way.

    Args:
        promise: What is to hold.
        flat_out_hz: What was answered in a second flat out; 0 where nothing was.
        ceiling_hz: What the generator can do: beyond, nothing can be found out.
    """

    def __init__(self, promise: Objective, flat_out_hz: float, ceiling_hz: float) -> None:
        self.promise, self.flat_out_hz, self.ceiling_hz = promise, flat_out_hz, ceiling_hz
        near_hz = min(flat_out_hz or 2 * FIRST_HZ, ceiling_hz)
        self._first_hz = near_hz / 2
        self._floor_hz = max(near_hz / RANGE, RATE_MIN_HZ)
        self._posterior = Posterior(near_hz, self._floor_hz / 2, 4 * ceiling_hz)
        self.steps: list[Step] = []
        self._silent_hz: list[float] = []  # of each row of silent windows

    def next_rate_hz(self) -> float | None:
        """Return the rate of the next window, in requests a second; None at the end."""
        if not self.steps:
            return _rounded(self._first_hz)
        if self._ended:
            return None
        last = self._last()
        again = {Outcome.HOLDS: 0, Outcome.FAILS: 2, Outcome.SILENT: SILENT_MAX}[last[0]]
        if len(last) < again:
            return self.steps[-1].rate_hz
        median_hz = self._posterior.quantile_hz(0.5)
        most_hz = self.ceiling_hz if self._holds_at_ceiling else self._ceiling_hz
        return _rounded(min(max(median_hz, self._floor_hz), most_hz))

    def keep(self, step: Step) -> None:
        """Take in a window that has ended."""
        self.steps.append(step)
        outcome = self.promise.outcome(step.result)
        if outcome is not Outcome.SILENT:
            self._posterior.learn(step.rate_hz, outcome is Outcome.HOLDS)
        elif len(self._last()) % SILENT_MAX == 0 and step.result.verdict.name != INVALID:
            self._silent_hz.append(step.rate_hz)

    @property
    def outcomes(self) -> list[Outcome]:
        """What each window says."""
        return [self.promise.outcome(step.result) for step in self.steps]

    @property
    def known(self) -> bool:
        """Whether any window has said anything about the server."""
        return {*self.outcomes} != {Outcome.SILENT}

    @property
    def has_figure(self) -> bool:
        """Whether there is a figure to believe: a window that is not spoilt, and says something."""
        spoilt = all(step.result.verdict.name in SPOILT for step in self.steps)
        return self.known and not spoilt

    @property
    def interval_hz(self) -> tuple[float, float]:
        """Between which rates the capacity lies, with the probability LEVEL."""
        rest = (1 - LEVEL) / 2
        return self._posterior.quantile_hz(rest), self._posterior.quantile_hz(1 - rest)

    @property
    def capacity_hz(self) -> float | None:
        """The answer, in requests a second; None where the promise held in no window."""
        if not self._held_hz:
            return None
        return min(self._posterior.quantile_hz(0.5), self._ceiling_hz)

    @property
    def said(self) -> str:
        """What was found, in a sentence."""
        silent = self.outcomes.count(Outcome.SILENT)
        tries = f"{len(self.steps)} windows"
        if silent:
            why = self._silent_verdict()
            tries += f", {silent} of which say nothing about the server ({why})"
        capacity_hz, last = self.capacity_hz, self.steps[-1].result.verdict
        if self._broken or (capacity_hz is None and last.name in SPOILT):
            tries += f"; the last one is spoilt: {last.name}: {last.why}"
        if not self.known:
            return f"whether {self.promise} holds is not known: {tries}"
        if capacity_hz is None:
            lowest = min(step.rate_hz for step in self.steps)
            return f"{self.promise} held at no rate down to {_shown(lowest)} requests/s: {tries}"
        held = f"{self.promise} holds up to {_shown(capacity_hz)} requests/s"
        if self._beyond:
            return (
                f"{held} and more: there the generator ends, not the server; give it more"
                f" --processes, on cores of their own; {tries}"
            )
        if self._holds_at_ceiling:
            return f"{held} and more; not found out closer: {tries}"
        low_hz, high_hz = self.interval_hz
        interval = f"{_shown(low_hz)} to {_shown(high_hz)} in {LEVEL:.0%} of cases"
        return f"{held} ({interval}{'' if self._sharp else '; not found out closer'}): {tries}"

    @property
    def _held_hz(self) -> list[float]:
        return self._rates_hz(Outcome.HOLDS)

    def _rates_hz(self, *wanted: Outcome) -> list[float]:
        tried = zip(self.steps, self.outcomes, strict=True)
        return [step.rate_hz for step, outcome in tried if outcome in wanted]

    @property
    def _spoken_hz(self) -> float:
        """The highest rate at which a window said something: the generator can do that."""
        return max(self._rates_hz(Outcome.HOLDS, Outcome.FAILS), default=0.0)

    @property
    def _silences_hz(self) -> list[float]:
        """Where rows of windows were silent that nothing shows to have been so by chance."""
        return [rate_hz for rate_hz in self._silent_hz if rate_hz > self._spoken_hz]

    @property
    def _ceiling_hz(self) -> float:
        """What the generator can do, as far as its silence shows."""
        lower_hz = GENERATOR_STEP * min(self._silences_hz, default=math.inf)
        return min(self.ceiling_hz, max(lower_hz, self._spoken_hz))

    def _last(self) -> list[Outcome]:
        """Return the last windows at one rate with one outcome."""
        tried = [*zip((step.rate_hz for step in self.steps), self.outcomes, strict=True)]
        return [outcome for _, outcome in takewhile(lambda one: one == tried[-1], reversed(tried))]

    def _silent_verdict(self) -> str:
        silent = [
            step.result.verdict.name
            for step, outcome in zip(self.steps, self.outcomes, strict=True)
            if outcome is Outcome.SILENT
        ]
        return (
            silent[-1]
            if silent[-1] in (GENERATOR_BOUND, INVALID)
            else "the generator waited for a core"
        )

    @property
    def _ended(self) -> bool:
        last = self._last()
        return (
            self._sharp
            or self._beyond
            or self._broken
            or self._posterior.above(self._floor_hz) <= 1 - SURE
            or len(self.steps) >= WINDOWS_MAX
            or 2 * self.outcomes.count(Outcome.SILENT) - len(self.steps) >= SILENT_EXCESS_MAX
            or (len(last) >= SILENT_MAX and self.steps[-1].result.verdict.name == INVALID)
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
        """Whether it holds as far as the generator seems to go."""
        return self._posterior.above(self._ceiling_hz) >= SURE

    @property
    def _beyond(self) -> bool:
        """Whether it holds as far as can be asked; after one row of silence that is not known."""
        return self._holds_at_ceiling and not 0 < len(self._silences_hz) < SILENCES_BELIEVED


def replyless(result: Result) -> bool:
    """Return whether a cell had no right reply, and that is no matter of its rate.

    A cell in which nothing was due says nothing of the kind: its server may only be slow.
    """
    spoilt = result.verdict.name in (ERRORS, NO_REPLY) or bool(result.evidence.trouble)
    return spoilt and not result.evidence.requests


def _rounded(rate_hz: float) -> float:
    return float(f"{rate_hz:.3g}")


def _shown(rate_hz: float) -> str:
    rounded = _rounded(rate_hz)
    return f"{rounded:,.0f}" if rounded >= 100 else f"{rounded:g}"
