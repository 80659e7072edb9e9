"""The highest rate at which a promise holds, such as p99=50ms: found by search, step by step."""

import math
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from loadtest.result import Result
from loadtest.verdict import GENERATOR_BOUND, OK

FIRST_HZ = 100.0
"""Where the search begins: every model holds this in every scenario, or is worth knowing of."""

PRECISION = 0.05
"""Where it ends: capacities differ by more than this from one run to the next."""

STEPS_MAX = 20

_PROMISE = re.compile(r"(p50|p90|p99|p99\.9|p999|max)=(\d+(?:\.\d+)?)(us|ms|s)")
_MS = {"us": 0.001, "ms": 1.0, "s": 1000.0}


@dataclass(frozen=True)
class Step:
    """One rate that was tried."""

    rate_hz: float
    result: Result


@dataclass(frozen=True)
class Promise:
    """A quantile of the latency, and what it may be.

    Attributes:
        quantile: As a field of ``result.Times``: "p99_ms".
        limit_ms: In milliseconds.
    """

    quantile: str
    limit_ms: float

    @classmethod
    def parse(cls, text: str) -> "Promise":
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

    def holds(self, result: Result) -> bool:
        """Return whether the rate was held, and the promise at it."""
        seen_ms = self.seen_in(result)
        return result.verdict.name == OK and seen_ms is not None and seen_ms <= self.limit_ms

    def said_of(self, steps: Sequence[Step]) -> str:
        """Return what was found, in a sentence."""
        held = [step.rate_hz for step in steps if self.holds(step.result)]
        failed = [s for s in steps if not self.holds(s.result) and s.rate_hz > max(held, default=0)]
        if not held:
            return f"{self} held at none of the rates that were tried"
        if not failed:
            return f"{self} held up to {max(held):,.0f} requests/s: the search ended there"
        first = min(failed, key=lambda step: step.rate_hz)
        name = first.result.verdict.name
        if name == GENERATOR_BOUND:
            return (
                f"{self} held at {max(held):,.0f} requests/s; beyond, the generator was the limit,"
                " not the server: give it more --processes, on cores of their own"
            )
        why = "it took longer" if name == OK else name
        return (
            f"{self} held at {max(held):,.0f} requests/s, and at {first.rate_hz:,.0f} no longer:"
            f" {why}"
        )


def search(
    promise: Promise,
    run: Callable[[float], Step],
    keep: Callable[[Step], None],
    ceiling_hz: float,
) -> None:
    """Double the rate until the promise does not hold, then halve the gap.

    Args:
        promise: What is to hold.
        run: Runs a step at a rate, in requests a second.
        keep: Takes each step as soon as it has ended.
        ceiling_hz: What the generator can do: beyond, nothing can be found out.
    """
    low_hz, high_hz = 0.0, math.inf
    rate_hz = min(FIRST_HZ, ceiling_hz)
    for _ in range(STEPS_MAX):
        step = run(rate_hz)
        keep(step)
        if promise.holds(step.result):
            low_hz = rate_hz
        else:
            high_hz = rate_hz
        if (
            low_hz >= ceiling_hz * (1 - PRECISION)
            or high_hz - low_hz <= PRECISION * high_hz < math.inf
        ):
            return
        next_hz = min(2 * low_hz, ceiling_hz) if high_hz == math.inf else (low_hz + high_hz) / 2
        rate_hz = float(f"{next_hz:.3g}")
