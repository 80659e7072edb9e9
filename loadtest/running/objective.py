"""A promise, such as p99=50ms, and what a window says about it."""

import re
from dataclasses import dataclass
from enum import Enum

from loadtest.measure.result import Result
from loadtest.measure.verdict import GENERATOR_BOUND, INVALID, OK

WAITED_MAX = 0.1
"""Share of a window for which a process of the generator may wait for a core in one that fails:
above, what was late may have been late on this side. Of a window of 10 s it is a second."""

_PROMISE = re.compile(r"(p50|p90|p99|p99\.9|p999|max)=(\d+(?:\.\d+)?)(us|ms|s)")
_MS = {"us": 0.001, "ms": 1.0, "s": 1000.0}


class Outcome(Enum):
    """What a window says of the server: that the promise holds, that it does not, or nothing."""

    HOLDS = "holds"
    FAILS = "does not hold"
    SILENT = "says nothing"


@dataclass(frozen=True)
class Objective:
    """A quantile of the latency, and what it may be.

    Attributes:
        quantile: As a field of ``result.Times``: "p99_ms".
        limit_ms: In milliseconds.
    """

    quantile: str
    limit_ms: float

    @classmethod
    def parse(cls, text: str) -> "Objective":
        """Return the promise in ``p99=50ms``.

        Raises:
            ValueError: It is none.
        """
        match = _PROMISE.fullmatch(text)
        if match is None or not float(match[2]):
            raise ValueError(f"expected such as p99=50ms, got {text!r}")
        return cls(f"{match[1].replace('.', '')}_ms", float(match[2]) * _MS[match[3]])

    def __str__(self) -> str:
        """Return it as it is written."""
        return f"{self.quantile.removesuffix('_ms')}={self.limit_ms:g}ms"

    def seen_in(self, result: Result) -> float | None:
        """Return what the quantile was; None if there was no latency."""
        latency = result.main.times.get("latency") if result.main else None
        seen_ms: float | None = None if latency is None else getattr(latency, self.quantile)
        return seen_ms

    def outcome(self, result: Result) -> Outcome:
        """Return what a window says: it holds where the rate was held, and the promise at it."""
        seen_ms = self.seen_in(result)
        if result.verdict.name == OK and seen_ms is not None and seen_ms <= self.limit_ms:
            return Outcome.HOLDS
        waited = result.evidence.generator_busy - result.evidence.generator_cpu
        if result.verdict.name in (GENERATOR_BOUND, INVALID) or waited > WAITED_MAX:
            return Outcome.SILENT
        return Outcome.FAILS
