"""The chart at the head: for every question, how many times as far as the best everybody came."""

from collections import defaultdict
from collections.abc import Sequence

from loadtest.analysis.estimates import Estimate
from loadtest.analysis.findings import Finding, Row
from loadtest.report.chart import Chart, Pen, axis
from loadtest.report.words import conditions, value

_BEST = Estimate(1.0, None, None, 1)


def overview_chart(pen: Pen, findings: Sequence[Finding]) -> Chart:
    """Return the chart; a question is a line, the best contender stands at 1."""
    points: dict[tuple[str, str], list[tuple[str, Estimate, str]]] = defaultdict(list)
    for finding in findings:
        line = f"{finding.question.title}<br>{conditions(finding)}"
        for row in finding.ranked:
            behind = _behind(finding, row)
            if behind is not None:
                key = row.group.key
                text = value(row.estimate, finding.metric.unit)
                points[key.contender, key.run].append((line, behind, text))
    order = {name: place for place, name in enumerate(pen.groups.contenders)}
    traces = []
    for (contender, run), found in sorted(points.items(), key=lambda item: order[item[0][0]]):
        look = pen.looks[contender]
        traces.append(
            pen.trace(
                contender,
                run,
                mode="markers",
                x=[behind.median for _, behind, _ in found],
                y=[line for line, _, _ in found],
                text=[text for _, _, text in found],
                error_x={
                    "type": "data",
                    "symmetric": False,
                    "array": [(b.high or b.median) - b.median for _, b, _ in found],
                    "arrayminus": [b.median - (b.low or b.median) for _, b, _ in found],
                    "thickness": 1.2,
                },
                hovertemplate="%{x:.2f} × the best: %{text}<extra>%{fullData.name}</extra>",
                marker={"color": look.colour, "symbol": look.symbol, "size": 12},
            )
        )
    return Chart(
        "overview",
        "How far behind the best",
        "Further left is better: the best of each line stands at 1, one at 2 costs twice as much,"
        " takes twice as long or answers half as many. Whiskers are intervals over repeats, and who"
        " stands left of 1 was ahead in the rounds that both share.",
        traces,
        {
            "xaxis": axis("times the best", log=True),
            "yaxis": {
                "automargin": True,
                "autorange": "reversed",
                "type": "category",
            },
            "height": 120 + 52 * len(findings),
        },
        {"x": "times the best", "y": "question"},
    )


def _behind(finding: Finding, row: Row) -> Estimate | None:
    """Return how many times worse a contender is than the best."""
    if row is finding.ranked[0]:
        return _BEST
    ratio = row.ratio
    if ratio is None or not finding.metric.more:
        return ratio
    if not ratio.median or ratio.low == 0 or ratio.high == 0:
        return None
    low, high = (None if edge is None else 1 / edge for edge in (ratio.high, ratio.low))
    return Estimate(1 / ratio.median, low, high, ratio.count)
