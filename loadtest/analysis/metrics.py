"""The metrics of cells: unit, which end is better, and which kinds of load have the metric."""

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
        title: As a reader sees it.
        ratio_phrase: Describes a contender that has ``{}`` times as much as the best one.
        value_of: Returns the number of a result; None where the result has none.
        higher_is_better: Whether more of it is better.
        flat_out: Whether cells that run flat out have it, or all others; None: both.
    """

    name: str
    title: str
    unit: str
    ratio_phrase: str
    value_of: Callable[[Result], float | None]
    higher_is_better: bool = False
    flat_out: bool | None = False

    def applies_to(self, load: str) -> bool:
        """Return whether cells of a kind of load have it."""
        return self.flat_out is None or self.flat_out == (load == FLAT_OUT)


def _latency_ms(percentile: str) -> Callable[[Result], float | None]:
    def value_of(result: Result) -> float | None:
        main = result.main
        times: Times | None = None if main is None else main.times.get("latency")
        value: float | None = None if times is None else getattr(times, percentile)
        return value

    return value_of


def _rate_hz(result: Result) -> float | None:
    return None if result.main is None else result.main.rate_hz


def _memory_kib(result: Result) -> float | None:
    memory = result.memory_bytes_per_connection
    return None if memory is None else memory / 1024


def _cpu_us(result: Result) -> float | None:
    return result.cpu_us_per_request


def _switches(result: Result) -> float | None:
    return result.context_switches_per_request


_LONGER = "takes {} as long"
METRICS = {
    metric.name: metric
    for metric in (
        Metric("p50", "latency p50", "ms", _LONGER, _latency_ms("p50_ms")),
        Metric("p99", "latency p99", "ms", _LONGER, _latency_ms("p99_ms")),
        Metric("p999", "latency p99.9", "ms", _LONGER, _latency_ms("p999_ms")),
        Metric("cpu", "CPU per request", "µs", "uses {} the CPU", _cpu_us),
        Metric(
            "rate", "throughput", "requests/s", "reaches {} the throughput", _rate_hz,
            higher_is_better=True, flat_out=True,
        ),
        Metric(
            "memory", "memory per connection", "KiB", "uses {} the memory", _memory_kib,
            flat_out=None,
        ),
        Metric("switches", "context switches per request", "", "switches {} as often", _switches),
    )
}  # fmt: skip

BY_THE_METER = {GENERATOR_BOUND, INVALID}
"""Verdicts that blame the meter; any other that is not ranked is the contender's failure."""

RANKED_AT_RATE = {OK}
RANKED_FLAT_OUT = {OK, SERVER_BOUND, ACCEPT_QUEUE_BOUND}
"""Verdicts of cells that are ranked: the rate was held, or the server was the limit and not the
generator. ``ok`` flat out means that neither side was at its limit: every connection just waited
for its reply."""


def failed(result: Result) -> bool:
    """Return whether the contender did not carry the load."""
    return not ranked(result) and result.verdict.name not in BY_THE_METER


def ranked(result: Result) -> bool:
    """Return whether a cell's numbers can be compared with those of others."""
    verdicts = RANKED_AT_RATE if result.rate_wanted_hz else RANKED_FLAT_OUT
    return result.verdict.name in verdicts


_WITH_FIGURES = {OK, SERVER_BOUND, ACCEPT_QUEUE_BOUND, RATE_NOT_HELD, GENERATOR_BOUND}


def has_figures(result: Result) -> bool:
    """Return whether a cell has numbers to show, ranked or not."""
    answered = result.main is not None and result.main.requests > 0
    return answered and result.verdict.name in _WITH_FIGURES
