"""From what was measured to what is shown: every number is computed here, from raw values."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from loadtest.cell import Cell, Measurement

RATE_HELD_MIN = 0.99
"""Below this share of the rate wanted, the times are those of another load: it is said."""

GENERATOR_CPU_MAX = 0.8
"""Above this share of a core the generator may have measured itself: it is said."""

CONNECTIONS_MIN = 100
"""With fewer, memory per connection is lost in what the process takes and frees anyway."""


@dataclass(frozen=True)
class Result:
    """The numbers of a cell; None where there is nothing to say.

    Requests are those with a right reply that ended within the window. Service time runs from a
    request's first byte (in ``connect``: from the connection's first packet) to its last.
    """

    model: str
    scenario: str
    connections: int
    window_s: float
    requests: int
    rate_wanted_hz: float
    rate_held_hz: float
    service_time_p50_ms: float | None
    service_time_p99_ms: float | None
    service_time_max_ms: float | None
    errors: dict[str, int]
    warm_up_errors: dict[str, int]
    cpu_us_per_request: float | None
    memory_bytes_per_connection: float | None
    server_cpu_share: float
    generator_cpu_share: float
    notes: list[str]


def result_of(cell: Cell, measured: Measurement) -> Result:
    """Return what a measurement says."""
    times_ms = sorted(measured.service_times_ms)
    requests = len(times_ms)
    rate_held_hz = requests / measured.window_s
    start, end = measured.metrics["start"], measured.metrics["end"]
    server_cpu_s = _cpu_s(end) - _cpu_s(start)
    generator_cpu_share = measured.generator_cpu_s / measured.window_s
    notes = []
    if rate_held_hz < RATE_HELD_MIN * cell.rate_hz:
        notes.append("rate not held")
    if generator_cpu_share > GENERATOR_CPU_MAX:
        notes.append("generator-bound")
    notes += [f"{kind}: {count}" for kind, count in measured.errors.items()]
    return Result(
        model=cell.model,
        scenario=cell.scenario,
        connections=cell.connections,
        window_s=measured.window_s,
        requests=requests,
        rate_wanted_hz=cell.rate_hz,
        rate_held_hz=rate_held_hz,
        service_time_p50_ms=quantile(times_ms, 0.5),
        service_time_p99_ms=quantile(times_ms, 0.99),
        service_time_max_ms=quantile(times_ms, 1.0),
        errors=measured.errors,
        warm_up_errors=measured.warm_up_errors,
        cpu_us_per_request=server_cpu_s / requests * 1e6 if requests else None,
        memory_bytes_per_connection=_memory_bytes_per_connection(measured.metrics),
        server_cpu_share=server_cpu_s / measured.window_s,
        generator_cpu_share=generator_cpu_share,
        notes=notes,
    )


def quantile(ascending: Sequence[float], q: float) -> float | None:
    """Return the smallest value that is not below a share ``q`` of all (the nearest rank)."""
    if not ascending:
        return None
    return ascending[max(math.ceil(q * len(ascending)), 1) - 1]


def _cpu_s(metrics: Mapping[str, float]) -> float:
    return sum(metrics[f"server_cpu_seconds_total{{{mode}}}"] for mode in ("user", "system"))


def _memory_bytes_per_connection(metrics: Mapping[str, Mapping[str, float]]) -> float | None:
    idle, opened = metrics["idle"], metrics["open"]
    connections = sum(
        opened[name] - idle[name]
        for name in ("server_open_connections{http}", "server_open_connections{echo}")
    )
    if connections < CONNECTIONS_MIN:
        return None
    name = "server_proportional_bytes"
    return (opened[name] - idle[name]) / connections
