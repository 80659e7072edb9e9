"""What cells are compared by: each number with its unit, its good end, and the cells it is of."""

from collections.abc import Callable
from dataclasses import dataclass

from loadtest.bundle.plan import FLAT_OUT
from loadtest.measure.result import Result, Times
from loadtest.measure.verdict import (
    ACCEPT_QUEUE_BOUND,
    GENERATOR_BOUND,
    INVALID,
    OK,
    RATE_NOT_HELD,
    SERVER_BOUND,
)


@dataclass(frozen=True)
class Metric:
    """A number of a cell.

    Attributes:
        name: As in ``--fail-if``.
        title: As readers know it.
        more: Whether more of it is better.
        beside: What one says of another that has so many times as much.
        flat_out: Whether it is of cells that run flat out; None: of both kinds.
        of: From a result to the number; None where there is none.
    """

    name: str
    title: str
    unit: str
    more: bool
    flat_out: bool | None
    beside: str
    of: Callable[[Result], float | None]

    def applies_to(self, load: str) -> bool:
        """Return whether cells of a kind of load have it."""
        return self.flat_out is None or self.flat_out == (load == FLAT_OUT)


def _latency(name: str) -> Callable[[Result], float | None]:
    def of(result: Result) -> float | None:
        main = result.main
        times: Times | None = None if main is None else main.times.get("latency")
        value: float | None = None if times is None else getattr(times, name)
        return value

    return of


def _rate_hz(result: Result) -> float | None:
    return None if result.main is None else result.main.rate_hz


def _memory_kib(result: Result) -> float | None:
    memory = result.memory_bytes_per_connection
    return None if memory is None else memory / 1024


METRICS = {
    metric.name: metric
    for metric in (
        Metric("p50", "latency p50", "ms", False, False, "takes {} as long", _latency("p50_ms")),
        Metric("p99", "latency p99", "ms", False, False, "takes {} as long", _latency("p99_ms")),
        Metric(
            "p999", "latency p99.9", "ms", False, False, "takes {} as long", _latency("p999_ms")
        ),
        Metric(
            "cpu", "CPU per request", "µs", False, False, "needs {} the CPU",
            lambda result: result.cpu_us_per_request,
        ),
        Metric("rate", "throughput", "requests/s", True, True, "answers {} as many", _rate_hz),
        Metric(
            "memory", "memory per connection", "KiB", False, None, "holds {} the memory",
            _memory_kib,
        ),
        Metric(
            "switches", "context switches per request", "", False, False, "switches {} as often",
            lambda result: result.context_switches_per_request,
        ),
    )
}  # fmt: skip

BY_THE_METER = {GENERATOR_BOUND, INVALID}
"""Verdicts that say nothing of a contender; by any other that is not ranked it has failed."""

RANKED_AT_RATE = {OK}
RANKED_FLAT_OUT = {OK, SERVER_BOUND, ACCEPT_QUEUE_BOUND}
"""Verdicts of cells that may be ranked: where the rate was held, or where the server, and not the
generator, was the limit. ``ok`` flat out: no side was at its limit, each connection just waited
for its reply."""


def failed(result: Result) -> bool:
    """Return whether a contender could not do what was asked for."""
    return not ranked(result) and result.verdict.name not in BY_THE_METER


def ranked(result: Result) -> bool:
    """Return whether a cell's numbers may be set beside those of others."""
    verdicts = RANKED_AT_RATE if result.rate_wanted_hz else RANKED_FLAT_OUT
    return result.verdict.name in verdicts


_WITH_FIGURES = {OK, SERVER_BOUND, ACCEPT_QUEUE_BOUND, RATE_NOT_HELD, GENERATOR_BOUND}


def has_figures(result: Result) -> bool:
    """Return whether a cell has numbers to show, ranked or not: not where it came to nothing."""
    answered = result.main is not None and result.main.requests > 0
    return answered and result.verdict.name in _WITH_FIGURES
