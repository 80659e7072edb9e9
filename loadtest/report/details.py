"""Charts of one block: the distribution of times, and the costs of a request."""

from collections.abc import Callable
from typing import Any

from loadtest.analysis.estimates import Estimate, estimate
from loadtest.analysis.groups import Group
from loadtest.analysis.metrics import METRICS, ranked
from loadtest.analysis.times import merged_times, spectrum
from loadtest.bundle.plan import CellPlan
from loadtest.bundle.read import BundleError
from loadtest.measure.result import Result
from loadtest.measure.wording import counted
from loadtest.report.chart import Chart, ChartBuilder, axis, load_name, verdict_of
from loadtest.report.style import number

_RARITIES = {1: "0", 10: "90 %", 100: "99 %", 1_000: "99.9 %", 10_000: "99.99 %"}
_RARITIES |= {100_000: "99.999 %", 1_000_000: "max"}


def block_charts(builder: ChartBuilder, scenario: str, connections: int, load: str) -> list[Chart]:
    """Return the charts of a block, except its time lanes."""
    groups = builder.groups.of(scenario, connections, load)
    where = f"{scenario}, {counted(connections, 'connection')}, {load_name(load)}"
    charts = [
        _spectrum(builder, groups, where),
        _cpu(builder, groups, where),
        _bars(
            builder, groups, "memory", f"Memory per connection: {where}",
            "Lower is better: growth of the proportional memory of the server's process tree from"
            " before the connections to all of them open, divided by their number.",
        ),
        _bars(
            builder, groups, "switches", f"Context switches: {where}",
            "Neither high nor low is better in itself: how often the kernel switched between"
            " threads or processes on the server's cores, per request; each switch costs CPU time.",
        ),
    ]  # fmt: skip
    return [chart for chart in charts if chart.traces or chart.notes]


def _spectrum(builder: ChartBuilder, groups: list[Group], where: str) -> Chart:
    traces, notes = [], []
    for group in groups:
        key, look = group.key, builder.looks[group.key.contender]
        results = {n: r for n, r in group.results.items() if ranked(r)} or group.results
        is_ranked = all(map(ranked, results.values()))
        for kind, dash in (("latency", None), ("service_time", "dot")):
            try:
                rows = _merged(builder, group, results, kind)
            except BundleError as error:  # one broken log does not hide the others
                notes.append(f"{builder.label(key.contender, key.run)}: {error}")
                continue
            if not rows:
                continue
            more = ("latency" if kind == "latency" else "service time") + (
                "" if is_ranked else f", {verdict_of(group)}: not ranked"
            )
            traces.append(
                builder.trace(
                    key.contender,
                    key.run,
                    more,
                    mode="lines",
                    x=[rarity for rarity, _ in rows],
                    y=[ms for _, ms in rows],
                    line={
                        "color": look.colour,
                        "width": 2.5 if dash is None else 1.5,
                        "dash": dash or builder.dash_of(key.run),
                    },
                    opacity=1.0 if is_ranked else 0.4,
                    showlegend=dash is None,
                    hovertemplate="%{y:.3~g} ms<extra>%{fullData.name}</extra>",
                )
            )
    return Chart(
        "spectrum",
        f"Percentile spectrum: {where}",
        "Lower and flatter is better: the time within which all but one in ten, hundred, thousand …"
        " requests were answered. Where the dotted line (since sent) falls below the solid one"
        " (since due), requests had to queue before they could be sent; most tools leave this out.",
        traces,
        {
            "xaxis": axis("share of requests answered sooner", log=True)
            | {
                "tickmode": "array",
                "tickvals": [*_RARITIES],
                "ticktext": [text.replace("max", "99.9999 %") for text in _RARITIES.values()],
            },
            "yaxis": axis("ms", log=True),
        },
        {"x": "1 / (1 - quantile)", "y": "ms"},
        notes,
    )


def _merged(
    builder: ChartBuilder, group: Group, results: dict[int, Result], kind: str
) -> list[tuple[float, float]]:
    """Return the spectrum of all repeats: histograms are merged, percentiles never averaged."""
    key, logs, expected = group.key, [], 0
    folder = builder.groups.bundles[key.run].folder
    for repeat, result in results.items():
        main = result.main
        if main is None or kind not in main.times:
            continue
        plan = CellPlan(key.scenario, key.connections, key.load, key.contender, repeat)
        logs.append(folder / plan.name / f"{kind}.hlog")
        expected += main.times[kind].count
    if not logs:
        return []
    histogram = merged_times(logs, next(iter(results.values())).result_class)
    if histogram.total_count != expected:
        raise BundleError(
            f"expected {expected:,} times in {kind}.hlog of {len(logs)} cells, got"
            f" {histogram.total_count:,}"
        )
    return spectrum(histogram)


def _median(
    group: Group, value_of: Callable[[Result], float | None]
) -> tuple[Estimate | None, bool]:
    """Return the median of a number over a group's repeats, and whether it is ranked."""
    chosen = [r for r in group.results.values() if ranked(r)]
    values = [value_of(result) for result in chosen or group.results.values()]
    return estimate([value for value in values if value is not None]), bool(chosen)


def _cpu(builder: ChartBuilder, groups: list[Group], where: str) -> Chart:
    parts: list[tuple[str, Callable[[Result], float | None], str]] = [
        ("user", lambda result: result.cpu_user_us_per_request, ""),
        ("system", lambda result: result.cpu_system_us_per_request, "/"),
    ]
    traces = []
    for name, value_of, pattern in parts:
        for group in groups:
            bar, is_ranked = _median(group, value_of)
            if bar is not None:
                trace = _bar(builder, group, bar, is_ranked, name, pattern)
                traces.append(trace)
    for group in groups:
        total, _ = _median(group, METRICS["cpu"].value_of)
        if total is not None:
            key, look = group.key, builder.looks[group.key.contender]
            trace = builder.trace(
                key.contender, key.run, "total", mode="markers",
                x=[builder.label(key.contender, key.run)], y=[total.median],
                error_y=_interval(total), marker={"size": 1, "color": look.colour},
                showlegend=False,
            )  # fmt: skip
            traces.append(trace)
    return Chart(
        "cpu",
        f"CPU time per request: {where}",
        "Lower is better: CPU time of the server's processes per correct reply, in user mode"
        " (plain) and in the kernel (hatched). Pale bars are not ranked.",
        traces,
        {"xaxis": axis("", type="category"), "yaxis": axis("µs of CPU"), "barmode": "stack"},
        {"x": "contender", "y": "µs of CPU"},
    )


def _bars(builder: ChartBuilder, groups: list[Group], name: str, title: str, read: str) -> Chart:
    metric, traces = METRICS[name], []
    for group in groups:
        bar, is_ranked = _median(group, metric.value_of)
        if bar is not None:
            trace = _bar(builder, group, bar, is_ranked, "", "")
            trace["error_y"] = _interval(bar)
            trace |= {
                "text": [number(bar.median)],
                "textposition": "outside",
                "cliponaxis": False,
            }
            traces.append(trace)
    unit = metric.unit or "switches"
    return Chart(
        name, title, read, traces,
        {"xaxis": axis("", type="category"), "yaxis": axis(unit), "barmode": "stack"},
        {"x": "contender", "y": unit},
    )  # fmt: skip


def _bar(
    builder: ChartBuilder, group: Group, bar: Estimate, is_ranked: bool, more: str, pattern: str
) -> dict[str, Any]:
    key = group.key
    if not is_ranked:
        more = f"{more} {verdict_of(group)}: not ranked".strip()
    return builder.trace(
        key.contender, key.run, more, type="bar",
        x=[builder.label(key.contender, key.run)], y=[bar.median],
        marker={"color": builder.looks[key.contender].colour, "pattern": {"shape": pattern}},
        opacity=1.0 if is_ranked else 0.35, showlegend=False,
    )  # fmt: skip


def _interval(bar: Estimate) -> dict[str, Any]:
    return {
        "type": "data",
        "symmetric": False,
        "array": [(bar.high or bar.median) - bar.median],
        "arrayminus": [bar.median - (bar.low or bar.median)],
        "thickness": 1.2,
    }
