"""The findings in words: the same in report, README, terminal and dashboard."""

from collections.abc import Callable, Sequence
from typing import NamedTuple

from loadtest.analysis.estimates import Estimate
from loadtest.analysis.findings import Finding, Row
from loadtest.analysis.metrics import Metric
from loadtest.bundle.plan import FLAT_OUT
from loadtest.measure.verdict import OK
from loadtest.measure.wording import counted
from loadtest.report.chart import ChartBuilder
from loadtest.report.style import number

_COUNTS = ("no", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")
_FACTOR_FROM = 2.0
"""A wider noise is printed as a factor: 248% less than something means nothing."""


class Standing(NamedTuple):
    """A ranked contender and its own figure."""

    name: str
    figure: str


class Unranked(NamedTuple):
    """A contender that is not ranked: its name and figure, and the reason."""

    name: str
    why: str


def value(estimate: Estimate | None, unit: str) -> str:
    """Return a median with its interval."""
    if estimate is None:
        return "–"
    return f"{number(estimate.median)} {unit}".strip() + _interval(estimate, number)


def times(ratio: Estimate | None) -> str:
    """Return a ratio with its interval, such as ``1.87× (1.73 to 2.00)``."""
    return "" if ratio is None else f"{_factor(ratio)}{_interval(ratio, _ratio)}"


def _factor(ratio: Estimate | None) -> str:
    return "?" if ratio is None else f"{_ratio(ratio.median)}×"


def _ratio(factor: float) -> str:
    return f"{factor:.2f}" if factor < 10 else number(factor)


def _interval(estimate: Estimate, form: Callable[[float], str]) -> str:
    if estimate.low is None or estimate.high is None:
        return ""
    return f" ({form(estimate.low)}\u00a0to\u00a0{form(estimate.high)})"


def behind(metric: Metric, ratio: Estimate | None) -> str:
    """Return how a contender compares, such as ``uses 1.87× the CPU (1.73 to 2.00)``."""
    text = metric.ratio_phrase.format(_factor(ratio))
    return text if ratio is None else text + _interval(ratio, _ratio)


def conditions(finding: Finding) -> str:
    """Return the conditions that all contenders met: scenario, connections, load."""
    load = "flat out"
    if finding.question.load != FLAT_OUT:
        lowest, highest = (f"{rate_hz:,.0f}" for rate_hz in finding.rates_hz)
        load = f"at {highest if lowest == highest else f'{lowest} to {highest}'} requests/s"
    return f"{finding.scenario}, {counted(finding.connections, 'connection')}, {load}"


def best(builder: ChartBuilder, finding: Finding) -> list[Standing]:
    """Return the best contender, or all that tie for it, each with its own figure."""
    unit = finding.metric.unit
    return [Standing(_label(builder, row), value(row.estimate, unit)) for row in finding.winners]


def next_best(builder: ChartBuilder, finding: Finding) -> str:
    """Return the first contender behind the best, and by how much; "" if there is none."""
    if not finding.losers:
        return ""
    row = finding.losers[0]
    return f"{_label(builder, row)} {behind(finding.metric, row.ratio)}"


def unranked(builder: ChartBuilder, finding: Finding) -> list[Unranked]:
    """Return the contenders that are not ranked, with a figure where there is one."""
    entries = []
    for row in finding.unranked:
        name = _label(builder, row)
        if row.unranked_median is not None:
            name += f" {_figure(finding, row)}"
        entries.append(Unranked(name, _why(row)))
    return entries


def _why(row: Row) -> str:
    share = _share(row) if row.group.is_rankable else ""
    return "; ".join(filter(None, (share, row.why or "no such figure could be measured")))


def significance(finding: Finding) -> str:
    """Return whether the best differs from the next, and the noise that it had to exceed."""
    if not finding.ranked:
        return "no contender could be ranked"
    if len(finding.ranked) == 1:
        if finding.settled:
            return "no other contender carried the load"
        return "no other contender could be ranked"
    if not finding.is_conclusive:
        return "unknown: too few valid repeats"
    # A contender whose cells the meter lost might have been the best.
    is_complete = _is_complete(finding)
    only = "" if is_complete else " (ranked contenders only)"
    count = len(finding.winners)
    if not finding.losers:
        text = f"no detectable difference{only}"
    elif count > 1:
        text = f"next differs; first {_count(count)} tied{only}"
    else:
        text = "yes" if is_complete else "yes, among ranked contenders"
    return text if finding.noise is None else f"{text} (noise {_noise(finding.noise)})"


def _is_complete(finding: Finding) -> bool:
    """Return whether every contender is ranked, or failed by itself."""
    return all(row.group.has_failed for row in finding.unranked)


def _count(count: int) -> str:
    return _COUNTS[count] if count < len(_COUNTS) else str(count)


def _noise(floor: float) -> str:
    return f"±{floor - 1:.0%}" if floor < _FACTOR_FROM else f"up to {_ratio(floor)}×"


class Place(NamedTuple):
    """One contender's line in a ranking.

    Attributes:
        ratio: To the best one; "" for the best, and where it is not known.
        unranked: Whether its figure is struck through.
    """

    contender: str
    run: str
    label: str
    figure: str
    ratio: str
    verdict: str
    unranked: bool


def ranking(builder: ChartBuilder, finding: Finding) -> list[Place]:
    """Return the whole ranking, the best contender first, those that are not ranked last."""
    return [
        Place(
            row.group.key.contender,
            row.group.key.run,
            _label(builder, row),
            _figure(finding, row),
            times(row.ratio),
            _row_verdict(finding, row),
            row.estimate is None,
        )
        for row in finding.rows
    ]


def _figure(finding: Finding, row: Row) -> str:
    unit = finding.metric.unit
    if row.estimate is not None:
        return value(row.estimate, unit)
    return "–" if row.unranked_median is None else f"{number(row.unranked_median)} {unit}".strip()


def _row_verdict(finding: Finding, row: Row) -> str:
    if row.estimate is None:
        return f"not ranked: {_why(row)}"
    text = "best" if row is finding.ranked[0] else _differs(row)
    if finding.question.load == FLAT_OUT and row.verdict == OK:
        text += "; limited by its connections, not by the server"
    return "; ".join(filter(None, (text, _share(row))))


def _differs(row: Row) -> str:
    if row.differs is None:
        return "unknown: too few repeats"
    return "differs" if row.differs else "no detectable difference"


def sentence(builder: ChartBuilder, finding: Finding) -> str:
    """Return the advice that follows from a finding, with the figures."""
    parts = [_opening(builder, finding)]
    phrase = finding.metric.ratio_phrase
    for row in finding.losers:
        notes = [] if row.differs else [_differs(row)]
        text = f"{_label(builder, row)} {phrase.format(_factor(row.ratio))}"
        parts.append(text + _in_brackets(*notes, _share(row)))
        phrase = "{}"  # the first contender names the metric for all
    if finding.unranked:
        names = (f"{_label(builder, row)} ({row.verdict})" for row in finding.unranked)
        parts.append(f"not ranked: {', '.join(names)}")
    return f"{'; '.join(parts)}."


def _opening(builder: ChartBuilder, finding: Finding) -> str:
    unit = finding.metric.unit
    names = [
        _label(builder, row) + _in_brackets(f"{number(row.estimate.median)} {unit}", _share(row))
        for row in finding.winners
        if row.estimate is not None
    ]
    if not names:
        return "No contender could be ranked"
    if not finding.is_conclusive:
        return f"{names[0]} came first, with too few repeats to be sure"
    if not finding.losers and len(names) > 1:
        return f"No detectable difference: {_listed(names, 'and')}"
    choice = _listed(names, "or")
    return f"Choose {choice}" if _is_complete(finding) else f"Among those ranked, choose {choice}"


def _listed(names: Sequence[str], last: str) -> str:
    *others, name = names
    return f"{', '.join(others)} {last} {name}" if others else name


def _in_brackets(*notes: str) -> str:
    text = "; ".join(filter(None, notes))
    return f" ({text})" if text else ""


def _share(row: Row) -> str:
    return f"{row.group.share} valid" if row.group.share else ""


def _label(builder: ChartBuilder, row: Row) -> str:
    return builder.label(row.group.key.contender, row.group.key.run)
