"""The highest rate at which a promise holds, such as p99=50ms: found window by window.

A window that fails is repeated at once, and believed as far as windows fail by chance. One in
which the generator was the limit, or waited for a core, says nothing about the server: it is
repeated, too, and where that does not help the generator's own end has been reached.
"""

from dataclasses import dataclass
from itertools import takewhile

from loadtest.belief import Belief
from loadtest.promise import Outcome, Promise
from loadtest.result import Result
from loadtest.verdict import GENERATOR_BOUND, INVALID

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
SILENT_MAX, SILENT_IN_ALL_MAX = 3, 9
"""Windows that say nothing: in a row at one rate, and in all."""

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

    def __init__(self, promise: Promise, flat_out_hz: float, ceiling_hz: float) -> None:
        self.promise, self.flat_out_hz, self.ceiling_hz = promise, flat_out_hz, ceiling_hz
        self._ceiling_hz = ceiling_hz
        near_hz = min(flat_out_hz or 2 * FIRST_HZ, ceiling_hz)
        self._first_hz = near_hz / 2
        self._floor_hz = max(near_hz / RANGE, RATE_MIN_HZ)
        self._belief = Belief(near_hz, self._floor_hz / 2, 4 * ceiling_hz)
        self.steps: list[Step] = []

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
        median_hz = self._belief.quantile_hz(0.5)
        return _rounded(min(max(median_hz, self._floor_hz), self._ceiling_hz))

    def keep(self, step: Step) -> None:
        """Take in a window that has ended."""
        self.steps.append(step)
        outcome = self.promise.outcome(step.result)
        if outcome is not Outcome.SILENT:
            self._belief.learn(step.rate_hz, outcome is Outcome.HOLDS)
        elif len(self._last()) >= SILENT_MAX:
            lower_hz = max(GENERATOR_STEP * step.rate_hz, *self._held_hz, 0.0)
            self._ceiling_hz = min(self._ceiling_hz, lower_hz)

    @property
    def outcomes(self) -> list[Outcome]:
        """What each window says."""
        return [self.promise.outcome(step.result) for step in self.steps]

    @property
    def known(self) -> bool:
        """Whether any window has said anything about the server."""
        return {*self.outcomes} != {Outcome.SILENT}

    @property
    def interval_hz(self) -> tuple[float, float]:
        """Between which rates the capacity lies, with the probability LEVEL."""
        rest = (1 - LEVEL) / 2
        return self._belief.quantile_hz(rest), self._belief.quantile_hz(1 - rest)

    @property
    def capacity_hz(self) -> float | None:
        """The answer, in requests a second; None where the promise held in no window."""
        if not self._held_hz:
            return None
        return min(self._belief.quantile_hz(0.5), self._ceiling_hz)

    @property
    def said(self) -> str:
        """What was found, in a sentence."""
        silent = self.outcomes.count(Outcome.SILENT)
        tries = f"{len(self.steps)} windows"
        if silent:
            why = self._silent_verdict()
            tries += f", {silent} of which say nothing about the server ({why})"
        capacity_hz = self.capacity_hz
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
        low_hz, high_hz = self.interval_hz
        interval = f"{_shown(low_hz)} to {_shown(high_hz)} in {LEVEL:.0%} of cases"
        return f"{held} ({interval}{'' if self._sharp else '; not found out closer'}): {tries}"

    @property
    def _held_hz(self) -> list[float]:
        tried = zip(self.steps, self.outcomes, strict=True)
        return [step.rate_hz for step, outcome in tried if outcome is Outcome.HOLDS]

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
            or self._belief.above(self._floor_hz) <= 1 - SURE
            or len(self.steps) >= WINDOWS_MAX
            or self.outcomes.count(Outcome.SILENT) >= SILENT_IN_ALL_MAX
            or (len(last) >= SILENT_MAX and self.steps[-1].result.verdict.name == INVALID)
        )

    @property
    def _sharp(self) -> bool:
        low_hz, high_hz = self.interval_hz
        return high_hz / low_hz <= (1 + PRECISION) / (1 - PRECISION)

    @property
    def _beyond(self) -> bool:
        """Whether it holds as far as can be asked."""
        return self._belief.above(self._ceiling_hz) >= SURE


def _rounded(rate_hz: float) -> float:
    return float(f"{rate_hz:.3g}")


def _shown(rate_hz: float) -> str:
    rounded = _rounded(rate_hz)
    return f"{rounded:,.0f}" if rounded >= 100 else f"{rounded:g}"
