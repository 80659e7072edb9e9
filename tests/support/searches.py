"""Simulated servers with a known capacity, on machines that spoil windows by chance."""

import math
import random
from dataclasses import dataclass, replace
from types import SimpleNamespace
from typing import cast

from loadtest.measure.result import Result, Times
from loadtest.measure.verdict import Verdict
from loadtest.running.capacity import Search, Step
from loadtest.running.objective import WAITED_MAX, Objective
from tests.loadtest.test_verdict import HELD

OBJECTIVE = Objective.parse("p99=50ms")
CEILING_HZ = 100_000.0


def window(rate_hz: float, p99_ms: float, verdict: str = "ok", waited: float = 0.0) -> Step:
    """Return a window with this p99 and verdict."""
    times = Times(100, 1.0, 1.0, 1.0, p99_ms, p99_ms, p99_ms)
    busy = replace(HELD, generator_cpu=0.3, generator_busy=0.3 + waited)
    main = SimpleNamespace(times={"latency": times}, rate_hz=rate_hz)
    result = SimpleNamespace(main=main, verdict=Verdict(verdict, ""), evidence=busy)
    return Step(rate_hz, cast("Result", result))


@dataclass
class Server:
    """A server with a capacity, on a machine that spoils windows by chance.

    Attributes:
        spoils: Share of windows that fail whatever the rate.
        inconclusive: Share of windows that are inconclusive: the generator waits for a core.
        jitter: How much the capacity differs from window to window, as a share.
        generator_hz: Beyond this rate the generator is the limit.
    """

    capacity_hz: float
    rng: random.Random
    spoils: float = 0.0
    inconclusive: float = 0.0
    jitter: float = 0.0
    generator_hz: float = math.inf

    def run(self, rate_hz: float) -> Step:
        if rate_hz > self.generator_hz:
            return window(rate_hz, 500.0, "generator-bound")
        if self.rng.random() < self.inconclusive:
            return window(rate_hz, 500.0, waited=2 * WAITED_MAX)
        capacity_hz = self.capacity_hz * self.rng.lognormvariate(0, self.jitter)
        late = rate_hz > capacity_hz or self.rng.random() < self.spoils
        return window(rate_hz, 500.0 if late else 5.0)

    def searched(self, ceiling_hz: float = CEILING_HZ) -> Search:
        """Return a finished search; its flat-out rate is a little off, as in reality."""
        flat_out_hz = self.capacity_hz * self.rng.lognormvariate(0.05, 0.15)
        search = Search(OBJECTIVE, min(flat_out_hz, ceiling_hz), ceiling_hz)
        while (rate_hz := search.next_rate_hz()) is not None:
            search.keep(self.run(rate_hz))
        return search
