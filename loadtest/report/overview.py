"""The overview chart: for every question, each contender relative to the best."""

from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence

from loadtest.analysis.estimates import Estimate
from loadtest.analysis.findings import Finding, Row
from loadtest.report.chart import Chart, ChartBuilder, Trace, axis
from loadtest.report.words import conditions, value

_BEST = Estimate(1.0, None, None, 1)
_BEYOND = 1.3
"""Crosses of contenders that are not ranked stand this many times to the right of all others."""

_Point = tuple[str, Estimate, str]


def overview_chart(builder: ChartBuilder, findings: Sequence[Finding]) -> Chart:
    """Return the chart: one line per question, the best contender at 1."""
    points: dict[tuple[str, str], list[_Point]] = defaultdict(list)
    crosses: dict[tuple[str, str], list[tuple[str, str]]] = defaultdict(list)
    for finding in findings:
        line = _line(finding)
        for row in finding.ranked:
            behind = _behind(finding, row)
            if behind is not None:
                key = row.group.key
                text = value(row.estimate, finding.metric.unit)
                points[key.contender, key.run].append((line, behind, text))
        for row in finding.unranked:
            crosses[row.group.key.contender, row.group.key.run].append((line, row.verdict))
    order = {name: place for place, name in enumerate(builder.groups.contenders)}
    traces = [
        _ranked(builder, *key, own)
        for key, own in sorted(points.items(), key=lambda item: order[item[0][0]])
    ]
    edge = _BEYOND * max((x for own in points.values() for x in map(_right, own)), default=1.0)
    traces += _crossed(builder, crosses, edge)
    return Chart(
        "overview",
        "How far behind the best",
        "Further left is better: the best of each line stands at 1; a contender at 2 costs twice as"
        " much, takes twice as long or reaches half the throughput. Whiskers are intervals over"
        " repeats; a mark left of 1 was ahead in the rounds that measured both. A cross at the"
        " right edge is not ranked: the contender did not carry the load, or the generator was at"
        " its limit.",
        traces,
        {
            "xaxis": axis("times the best", log=True),
            "yaxis": {
                "automargin": True,
                "autorange": "reversed",
                "type": "category",
                "categoryorder": "array",
                "categoryarray": [*map(_line, findings)],
            },
            "height": 120 + 52 * len(findings),
        },
        {"x": "times the best", "y": "question"},
    )


def _line(finding: Finding) -> str:
    return f"{finding.question.title}<br>{conditions(finding)}"


def _right(point: _Point) -> float:
    _, behind, _ = point
    return max(behind.median, behind.high or 0.0)


def _ranked(builder: ChartBuilder, contender: str, run: str, points: Sequence[_Point]) -> Trace:
    look = builder.looks[contender]
    return builder.trace(
        contender,
        run,
        mode="markers",
        x=[behind.median for _, behind, _ in points],
        y=[line for line, _, _ in points],
        text=[text for _, _, text in points],
        error_x={
            "type": "data",
            "symmetric": False,
            "array": [(b.high or b.median) - b.median for _, b, _ in points],
            "arrayminus": [b.median - (b.low or b.median) for _, b, _ in points],
            "thickness": 1.2,
        },
        hovertemplate="%{x:.2f}× the best: %{text}<extra>%{fullData.name}</extra>",
        marker={"color": look.colour, "symbol": look.symbol, "size": 12},
    )


def _crossed(
    builder: ChartBuilder, crosses: Mapping[tuple[str, str], Sequence[tuple[str, str]]], edge: float
) -> Iterator[Trace]:
    """Yield the crosses; several on one line stand side by side."""
    crosses_on: Counter[str] = Counter()
    for (contender, run), own in crosses.items():
        lines = [line for line, _ in own]
        crosses_on.update(lines)
        yield builder.trace(
            contender,
            run,
            "not ranked",
            mode="markers",
            x=[edge * _BEYOND ** (crosses_on[line] - 1) for line in lines],
            y=lines,
            text=[verdict for _, verdict in own],
            hovertemplate="<b>%{text}</b>: not ranked<extra>%{fullData.name}</extra>",
            marker={"color": builder.looks[contender].colour, "symbol": "x", "size": 9},
            showlegend=False,
        )


def _behind(finding: Finding, row: Row) -> Estimate | None:
    """Return how many times worse than the best a contender is."""
    if row is finding.ranked[0]:
        return _BEST
    ratio = row.ratio
    if ratio is None or not finding.metric.higher_is_better:
        return ratio
    if not ratio.median or ratio.low == 0 or ratio.high == 0:
        return None
    low, high = (None if edge is None else 1 / edge for edge in (ratio.high, ratio.low))
    return Estimate(1 / ratio.median, low, high, ratio.count)
