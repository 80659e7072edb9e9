"""Charts of a scenario: throughput and latency against connections, and against the rate."""

from collections import defaultdict
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from loadtest.analysis import usl
from loadtest.analysis.estimates import Estimate, estimate
from loadtest.analysis.groups import Group
from loadtest.analysis.metrics import METRICS, Metric
from loadtest.bundle.plan import FLAT_OUT, RATE
from loadtest.catalogue import SCENARIOS
from loadtest.measure.verdict import SERVER_BOUND
from loadtest.measure.wording import counted
from loadtest.report.chart import (
    Chart,
    ChartBuilder,
    Trace,
    axis,
    connections_axis,
    verdict_of,
)


class _Line(NamedTuple):
    """One contender in one run: its groups by connections, or by rate."""

    contender: str
    run: str
    groups: list[tuple[float, Group]]


def scenario_charts(builder: ChartBuilder, scenario: str) -> list[Chart]:
    """Return the charts of a scenario."""
    charts = (
        _throughput(builder, scenario) or _projected_throughput(builder, scenario),
        _latency_by_connections(builder, scenario),
        _latency_by_rate(builder, scenario),
    )
    return [chart for chart in charts if chart is not None]


def _lines(builder: ChartBuilder, scenario: str, load: str) -> Iterator[_Line]:
    lines: dict[tuple[str, str], list[tuple[float, Group]]] = defaultdict(list)
    for connections in builder.groups.connections(scenario, load):
        for group in builder.groups.of(scenario, connections, load):
            lines[group.key.contender, group.key.run].append((float(connections), group))
    for (contender, run), groups in lines.items():
        yield _Line(contender, run, groups)


def _points(
    groups: Sequence[tuple[float, Group]], metric: Metric
) -> tuple[list[tuple[float, Estimate]], list[tuple[float, float, str]]]:
    """Return the points on the line, and the crosses of what is not ranked."""
    on_line, crosses = [], []
    for x, group in groups:
        point = group.estimate(metric)
        if point is not None:
            on_line.append((x, point))
        elif (median := group.unranked_median(metric)) is not None:
            crosses.append((x, median, verdict_of(group)))
    return on_line, crosses


def _throughput(builder: ChartBuilder, scenario: str) -> Chart | None:
    """Return the chart of measured throughput; None if no cell ran flat out."""
    traces: list[Trace] = []
    notes = []
    for line in _lines(builder, scenario, FLAT_OUT):
        on_line, crosses = _points(line.groups, METRICS["rate"])
        if on_line:
            traces.append(builder.line(line.contender, line.run, on_line, "measured"))
        if crosses:
            traces.append(builder.crosses(line.contender, line.run, crosses))
        law = _fitted(line)
        label = builder.label(line.contender, line.run)
        if isinstance(law, usl.Refusal):
            notes.append(f"{label}: no scalability law fitted: {law.why}")
        else:
            notes.append(f"{label}: {_parameters(law)}")
            traces.append(_law_trace(builder, line, law))
    if not traces:
        return None
    return Chart(
        "throughput",
        "Throughput against connections",
        "Higher is better: correct replies a second, flat out, as connections are added. Bars are"
        " intervals over repeats. A cross is not ranked; point at it for its verdict.",
        traces,
        {
            "xaxis": connections_axis(builder.groups.connections(scenario, FLAT_OUT)),
            "yaxis": axis("requests/s"),
        },
        {"x": "connections", "y": "requests/s"},
        notes,
    )


def _fitted(line: _Line) -> usl.Fit | usl.Refusal:
    """Fit the scalability law to the repeats in which the server was the limit."""
    return usl.fit(
        {
            round(connections): [
                result.main.rate_hz
                for result in group.verdicts.get(SERVER_BOUND, [])
                if result.main is not None
            ]
            for connections, group in line.groups
        }
    )


def _law_trace(builder: ChartBuilder, line: _Line, law: usl.Fit) -> Trace:
    return builder.trace(
        line.contender,
        line.run,
        "fitted (USL)",
        mode="lines",
        x=[x for x, _ in law.curve],
        y=[y for _, y in law.curve],
        line={"color": builder.looks[line.contender].colour, "width": 1, "dash": "dot"},
        showlegend=False,
    )


def _parameters(law: usl.Fit) -> str:
    def interval(value: usl.Interval) -> str:
        return f"{value.value:.2g} ({value.low:.2g} to {value.high:.2g})"

    peak = law.peak
    return (
        f"contention σ {interval(law.contention)}, coherency κ {interval(law.coherency)},"
        f" {'no certain peak' if peak is None else f'peak at {interval(peak)} connections'}"
    )


def _projected_throughput(builder: ChartBuilder, scenario: str) -> Chart | None:
    """Return the chart of throughput computed from the CPU time of a request."""
    traces = []
    for line in _lines(builder, scenario, RATE):
        points = []
        for x, group in line.groups:
            values = group.values(METRICS["cpu"]).values()
            point = estimate([1e6 / cpu_us for cpu_us in values])
            if point is not None:
                points.append((x, point))
        if points:
            trace = builder.line(line.contender, line.run, points, "projected", dash="dash")
            trace["marker"]["symbol"] += "-open"
            traces.append(trace)
    if not traces:
        return None
    entry = SCENARIOS.get(scenario)
    why = "this run has no cells that ran flat out"
    if entry is not None and not entry.works:
        why = "here the generator is slower than the server"
    return Chart(
        "throughput",
        "Throughput of one core, projected",
        "Higher is better, and computed instead of measured: one second divided by the CPU time of"
        f" a request at the held rate, because {why}.",
        traces,
        {
            "xaxis": connections_axis(builder.groups.connections(scenario, RATE)),
            "yaxis": axis("requests/s"),
        },
        {"x": "connections", "y": "requests/s"},
    )


def _latencies(builder: ChartBuilder, line: _Line) -> Iterator[Trace]:
    """Yield the traces of p50 (dotted, not in the legend) and p99."""
    for name, dash in (("p50", "dot"), ("p99", None)):
        on_line, crosses = _points(line.groups, METRICS[name])
        if on_line:
            yield builder.line(
                line.contender, line.run, on_line, name, dash=dash, showlegend=dash is None
            )
        if crosses:
            yield builder.crosses(line.contender, line.run, crosses, name)


def _latency_by_connections(builder: ChartBuilder, scenario: str) -> Chart | None:
    lines = _lines(builder, scenario, RATE)
    traces = [trace for line in lines for trace in _latencies(builder, line)]
    if not traces:
        return None
    return Chart(
        "latency-connections",
        "Latency against connections",
        "Lower is better: half of all requests (p50, dotted) and 99 in 100 (p99) were answered"
        " within this time of when they were due, at the same rate for all contenders.",
        traces,
        {
            "xaxis": connections_axis(builder.groups.connections(scenario, RATE)),
            "yaxis": axis("latency in ms", log=True),
        },
        {"x": "connections", "y": "latency in ms"},
    )


def _latency_by_rate(builder: ChartBuilder, scenario: str) -> Chart | None:
    """Return the chart of latency at shares of each contender's capacity; None without shares."""
    blocks = [(n, load) for s, n, load in builder.groups.by_block if s == scenario]
    loads = {load for _, load in blocks} - {FLAT_OUT}
    shares = loads - {RATE}
    if not shares:
        return None
    connections = max(n for n, load in blocks if load in shares)
    by_line: dict[tuple[str, str], list[tuple[float, Group]]] = defaultdict(list)
    for load in loads:
        for group in builder.groups.of(scenario, connections, load):
            offered_hz = max(result.rate_wanted_hz for result in group.results.values())
            by_line[group.key.contender, group.key.run].append((offered_hz, group))
    traces: list[Trace] = []
    for (contender, run), groups in by_line.items():
        in_order = sorted(groups, key=lambda pair: pair[0])
        traces += _latencies(builder, _Line(contender, run, in_order))
    return Chart(
        "latency-rate",
        f"Latency against offered rate, {counted(connections, 'connection')}",
        "Lower is better: the points are shares of each contender's own capacity, so compare where"
        " the lines turn up, not how far to the right they reach.",
        traces,
        {"xaxis": axis("requests/s offered", log=True), "yaxis": axis("latency in ms", log=True)},
        {"x": "requests/s offered", "y": "latency in ms"},
    )
