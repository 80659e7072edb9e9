"""A service level objective, such as p99=50ms, and whether a window met it."""

import re
from dataclasses import dataclass
from enum import Enum

from loadtest.measure.result import Result
from loadtest.measure.verdict import GENERATOR_BOUND, INVALID, OK

WAITED_MAX = 0.1
"""The largest share of a window that a process of the generator may wait for a core in a window
that fails. Above, the generator may have caused the lateness. Of 10 s it is a second."""

_OBJECTIVE = re.compile(r"(p50|p90|p99|p99\.9|p999|max)=(\d+(?:\.\d+)?)(us|ms|s)")
_MS = {"us": 0.001, "ms": 1.0, "s": 1000.0}


class Outcome(Enum):
    """What a window shows of the server."""

    HOLDS = "holds"
    FAILS = "does not hold"
    INCONCLUSIVE = "inconclusive"


@dataclass(frozen=True)
class Objective:
    """A quantile of the latency, and its limit.

    Attributes:
        quantile: As a field of ``result.Times``: "p99_ms".
        limit_ms: In milliseconds.
    """

    quantile: str
    limit_ms: float

    @classmethod
    def parse(cls, text: str) -> "Objective":
        """Return the objective in ``p99=50ms``.

        Raises:
            ValueError: The text has another form.
        """
        match = _OBJECTIVE.fullmatch(text)
        if match is None or not float(match[2]):
            raise ValueError(f"expected an objective such as p99=50ms, got {text!r}")
        return cls(f"{match[1].replace('.', '')}_ms", float(match[2]) * _MS[match[3]])

    def __str__(self) -> str:
        """Return it as a user writes it."""
        return f"{self.quantile.removesuffix('_ms')}={self.limit_ms:g}ms"

    def value_ms(self, result: Result) -> float | None:
        """Return the quantile in a result, in milliseconds; None if there was no latency."""
        latency = result.main.times.get("latency") if result.main else None
        value_ms: float | None = None if latency is None else getattr(latency, self.quantile)
        return value_ms

    def outcome(self, result: Result) -> Outcome:
        """Return a window's outcome: it holds if the rate was held, and the objective met."""
        value_ms = self.value_ms(result)
        if result.verdict.name == OK and value_ms is not None and value_ms <= self.limit_ms:
            return Outcome.HOLDS
        waited = result.evidence.generator_busy - result.evidence.generator_cpu
        if result.verdict.name in (GENERATOR_BOUND, INVALID) or waited > WAITED_MAX:
            return Outcome.INCONCLUSIVE
        return Outcome.FAILS
