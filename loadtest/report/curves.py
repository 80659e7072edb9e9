"""Charts of a scenario: throughput and latency against connections, and against offered rate."""

from collections import defaultdict
from collections.abc import Iterator

from loadtest.analysis import usl
from loadtest.analysis.estimates import Estimate, estimate
from loadtest.analysis.groups import Group
from loadtest.analysis.metrics import METRICS, Metric
from loadtest.bundle.plan import FLAT_OUT, RATE
from loadtest.catalogue import SCENARIOS
from loadtest.measure.verdict import SERVER_BOUND
from loadtest.report.chart import Chart, ChartBuilder, axis, connections_axis, verdict_of


def scenario_charts(builder: ChartBuilder, scenario: str) -> list[Chart]:
    """Return the charts of a scenario."""
    charts = (
        _throughput(builder, scenario),
        _latency_by_connections(builder, scenario),
        _latency_by_rate(builder, scenario),
    )
    return [chart for chart in charts if chart is not None]


def _lines(
    builder: ChartBuilder, scenario: str, load: str
) -> Iterator[tuple[str, str, list[tuple[int, Group]]]]:
    """Yield contender, run, and its groups by connections."""
    lines: dict[tuple[str, str], list[tuple[int, Group]]] = defaultdict(list)
    for connections in builder.groups.connections(scenario, load):
        for group in builder.groups.of(scenario, connections, load):
            lines[group.key.contender, group.key.run].append((connections, group))
    for (contender, run), groups in lines.items():
        yield contender, run, groups


def _points(
    groups: list[tuple[int, Group]], metric: Metric
) -> tuple[list[tuple[float, Estimate]], list[tuple[float, float, str]]]:
    """Return the points on the line, and those that are struck out."""
    on_line, struck = [], []
    for x, group in groups:
        found = group.estimate(metric)
        if found is not None:
            on_line.append((float(x), found))
        elif (value := group.unranked_median(metric)) is not None:
            struck.append((float(x), value, verdict_of(group)))
    return on_line, struck


def _throughput(builder: ChartBuilder, scenario: str) -> Chart | None:
    rate, traces, notes = METRICS["rate"], [], []
    flat_out = builder.groups.connections(scenario, FLAT_OUT)
    for contender, run, groups in _lines(builder, scenario, FLAT_OUT):
        points, struck = _points(groups, rate)
        if points:
            traces.append(builder.line(contender, run, points, "measured"))
        if struck:
            traces.append(builder.crosses(contender, run, struck))
        law = usl.fit(
            {
                connections: [
                    result.main.rate_hz
                    for result in group.verdicts.get(SERVER_BOUND, [])
                    if result.main is not None
                ]
                for connections, group in groups
            }
        )
        label = builder.label(contender, run)
        if isinstance(law, usl.Refusal):
            notes.append(f"{label}: no scalability law fitted: {law.why}")
        else:
            notes.append(f"{label}: {_said(law)}")
            look = builder.looks[contender]
            traces.append(
                builder.trace(
                    contender,
                    run,
                    "fitted (USL)",
                    mode="lines",
                    x=[x for x, _ in law.curve],
                    y=[y for _, y in law.curve],
                    line={"color": look.colour, "width": 1, "dash": "dot"},
                    showlegend=False,
                )
            )
    projected = _projected(builder, scenario) if not flat_out else []
    traces += projected
    connections = flat_out or builder.groups.connections(scenario, RATE)
    if not traces:
        return None
    read = (
        "Higher is better: right replies a second, flat out, as more connections ask; bars are"
        " intervals over repeats, and crosses are not ranked: point at one for its verdict."
    )
    title = "Throughput against connections"
    if projected:
        title = "Throughput of a core, projected"
        entry = SCENARIOS.get(scenario)
        why = "this run has no cells that ran flat out"
        if entry is not None and not entry.works:
            why = "a generator of this size is slower than the server here"
        read = (
            "Higher is better, and nobody has measured it: a second divided by the CPU time of a"
            f" request at the held rate, since {why}."
        )
    return Chart(
        "throughput", title, read, traces,
        {"xaxis": connections_axis(connections), "yaxis": axis("requests/s")},
        {"x": "connections", "y": "requests/s"}, notes,
    )  # fmt: skip


def _projected(builder: ChartBuilder, scenario: str) -> list[dict[str, object]]:
    cpu, traces = METRICS["cpu"], []
    for contender, run, groups in _lines(builder, scenario, RATE):
        points = []
        for x, group in groups:
            found = estimate([1e6 / value for value in group.values(cpu).values() if value])
            if found is not None:
                points.append((float(x), found))
        if points:
            trace = builder.line(contender, run, points, "projected", dash="dash")
            trace["marker"]["symbol"] += "-open"
            traces.append(trace)
    return traces


def _said(law: usl.Fit) -> str:
    def interval(value: usl.Interval) -> str:
        return f"{value.value:.2g} ({value.low:.2g} to {value.high:.2g})"

    peak = law.peak
    return (
        f"contention σ {interval(law.contention)}, coherency κ {interval(law.coherency)},"
        f" {'no certain peak' if peak is None else f'peak at {interval(peak)} connections'}"
    )


def _latency_by_connections(builder: ChartBuilder, scenario: str) -> Chart | None:
    connections, traces = builder.groups.connections(scenario, RATE), []
    for contender, run, groups in _lines(builder, scenario, RATE):
        for name, dash in (("p50", "dot"), ("p99", None)):
            points, struck = _points(groups, METRICS[name])
            if points:
                traces.append(
                    builder.line(contender, run, points, name, dash=dash, showlegend=dash is None)
                )
            if struck:
                traces.append(builder.crosses(contender, run, struck, name))
    if not traces:
        return None
    return Chart(
        "latency-connections",
        "Latency against connections",
        "Lower is better: half of all requests (dotted, p50) and 99 of 100 (p99) were answered"
        " within this time of when they were due, at a rate that is the same for all.",
        traces,
        {"xaxis": connections_axis(connections), "yaxis": axis("latency in ms", log=True)},
        {"x": "connections", "y": "latency in ms"},
    )


def _latency_by_rate(builder: ChartBuilder, scenario: str) -> Chart | None:
    by_line: dict[tuple[str, str], list[tuple[float, Group]]] = defaultdict(list)
    loads = {load for s, _, load in builder.groups.by_block if s == scenario and load != FLAT_OUT}
    shares = loads - {RATE}
    if not shares:
        return None
    connections = max(
        c for s, c, load in builder.groups.by_block if s == scenario and load in shares
    )
    for load in loads:
        for group in builder.groups.of(scenario, connections, load):
            offered = max(result.rate_wanted_hz for result in group.results.values())
            by_line[group.key.contender, group.key.run].append((offered, group))
    traces = []
    for (contender, run), groups in by_line.items():
        rows = [(x, group) for x, group in sorted(groups, key=lambda row: row[0])]
        for name, dash in (("p50", "dot"), ("p99", None)):
            on_line = [(x, found) for x, g in rows if (found := g.estimate(METRICS[name]))]
            struck = [
                (x, value, verdict_of(g))
                for x, g in rows
                if (value := g.unranked_median(METRICS[name])) is not None
            ]
            if on_line:
                traces.append(
                    builder.line(contender, run, on_line, name, dash=dash, showlegend=dash is None)
                )
            if struck:
                traces.append(builder.crosses(contender, run, struck, name))
    return Chart(
        "latency-rate",
        f"Latency against offered rate, {connections:,} connections",
        "Lower is better: the points are shares of what each contender can do itself, so look at"
        " where a line turns up, and not at how far to the right it goes.",
        traces,
        {"xaxis": axis("requests/s offered", log=True), "yaxis": axis("latency in ms", log=True)},
        {"x": "requests/s offered", "y": "latency in ms"},
    )
