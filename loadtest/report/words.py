"""What the findings say, in words: the same in report, README and terminal."""

from typing import NamedTuple

from loadtest.analysis.estimates import Estimate
from loadtest.analysis.findings import Finding, Row
from loadtest.bundle.plan import FLAT_OUT
from loadtest.measure.verdict import OK
from loadtest.report.chart import Pen
from loadtest.report.style import number


def value(found: Estimate | None, unit: str) -> str:
    """Return a median with its interval."""
    if found is None:
        return "–"
    text = f"{number(found.median)} {unit}".strip()
    if found.low is None or found.high is None:
        return text
    return f"{text} ({number(found.low)}\u00a0to\u00a0{number(found.high)})"


def times(found: Estimate | None) -> str:
    """Return a ratio with its interval."""
    if found is None:
        return ""
    text = f"{_ratio(found.median)}\u00a0×"
    if found.low is None or found.high is None:
        return text
    return f"{text} ({_ratio(found.low)}\u00a0to\u00a0{_ratio(found.high)})"


def _ratio(of: float) -> str:
    return f"{of:.2f}" if of < 10 else number(of)


def conditions(finding: Finding) -> str:
    """Return what was asked of all of them."""
    how = "flat out"
    if finding.question.load != FLAT_OUT:
        lowest, highest = (f"{rate_hz:,.0f}" for rate_hz in finding.rates_hz)
        how = f"at {highest if lowest == highest else f'{lowest} to {highest}'} requests/s"
    return f"{finding.scenario}, {finding.connections:,} connections, {how}"


def winners(pen: Pen, finding: Finding) -> str:
    """Return what is best: one, or several that cannot be told apart; – where none is ranked."""
    return ", ".join(_label(pen, row) for row in finding.winners) or "–"


def best_value(finding: Finding) -> str:
    """Return the figure of the best one; "" where none is ranked."""
    return value(finding.ranked[0].estimate, finding.metric.unit) if finding.ranked else ""


class Struck(NamedTuple):
    """A contender that may not be ranked: what is struck through, and what stands beside it."""

    name: str
    why: str


def struck(pen: Pen, finding: Finding) -> list[Struck]:
    """Return what could not be ranked, with its figure where it has one, and the reason."""
    found = []
    for row in finding.unranked:
        figure = "" if row.struck is None else f" {number(row.struck)} {finding.metric.unit}"
        found.append(Struck(f"{_label(pen, row)}{figure}".strip(), _why(row)))
    return found


def _why(row: Row) -> str:
    share = f"{row.group.share} count; " if row.group.share and row.group.holds else ""
    return f"{share}{row.why}" if row.why else f"{share}no such figure could be measured"


def real(finding: Finding) -> str:
    """Return whether the difference to the next is real."""
    if not finding.ranked:
        return "no contender could be ranked"
    if len(finding.ranked) < 2:
        return "no other could do it" if finding.settled else "no other could be ranked"
    if not finding.known:
        return "not known: too few repeats that may be ranked"
    noise = "" if finding.noise is None else f" (noise {finding.noise - 1:.0%})"
    # What the meter lost might have been the best.
    among = "" if all(row.group.has_failed for row in finding.unranked) else " of those ranked"
    if not finding.losers:
        return f"no detectable difference{among}{noise}"
    if len(finding.winners) > 1:
        return f"yes{among}, but no detectable difference among the best{noise}"
    return f"yes{among}{noise}"


def next_best(pen: Pen, finding: Finding) -> str:
    """Return by how much the next one is behind."""
    if not finding.losers:
        return ""
    row = finding.losers[0]
    return f"{_label(pen, row)} {finding.metric.beside.format(times(row.ratio))}"


def verdict_of_row(finding: Finding, row: Row) -> str:
    """Return what is to be said of a contender beside the best one."""
    if row.estimate is None:
        return f"not ranked: {_why(row)}"
    said = "best" if row is finding.ranked[0] else _differs(row)
    if finding.question.load == FLAT_OUT and row.verdict == OK:
        said += "; its connections were at their limit, not it"
    return f"{said}; {row.group.share}" if row.group.share else said


def _differs(row: Row) -> str:
    if row.real is None:
        return "not known: too few repeats"
    return "differs" if row.real else "no detectable difference"


def sentence(pen: Pen, finding: Finding) -> str:
    """Return what a reader takes away, with the figures beside it."""
    metric = finding.metric
    shown = f"{metric.title} {best_value(finding)}"
    if not finding.ranked:
        text = "No contender could be ranked"
    elif not finding.known:
        best = _label(pen, finding.ranked[0])
        text = f"{best} came out best ({shown}), in too few repeats to be sure"
    elif not finding.losers and len(finding.ranked) > 1:
        text = f"It makes no detectable difference: {winners(pen, finding)} ({shown})"
    elif all(row.group.has_failed for row in finding.unranked):
        text = f"Choose {winners(pen, finding).replace(', ', ' or ')} ({shown})"
    else:
        text = f"Of those that could be ranked: {winners(pen, finding)} ({shown})"
    for row in finding.losers:
        ratio = "?" if row.ratio is None else f"{_ratio(row.ratio.median)}\u00a0×"
        text += f"; {_label(pen, row)} {metric.beside.format(ratio)}"
        if not row.real:
            text += f" ({_differs(row)})"
    for row in finding.ranked:
        if row.group.share:
            text += f"; of {_label(pen, row)} {row.group.share} count"
    if finding.unranked:
        text += "; not ranked: " + ", ".join(
            f"{_label(pen, row)} ({row.verdict})" for row in finding.unranked
        )
    return f"{text}."


def _label(pen: Pen, row: Row) -> str:
    return pen.label(row.group.key.contender, row.group.key.run)
