"""When to choose which model: the reader's situations, each answered from the measured cells."""

from dataclasses import dataclass
from typing import NamedTuple

from loadtest.analysis.findings import Finding
from loadtest.analysis.questions import Situation
from loadtest.report.chart import ChartBuilder
from loadtest.report.words import conditions, sentence


class Heading(NamedTuple):
    """What stands above the advice for a situation."""

    title: str
    why: str


HEADINGS = {
    Situation.WAITING: Heading(
        "Requests that wait on a back end",
        "They wait for a database or another service; at any moment most connections are silent.",
    ),
    Situation.SHORT_CONNECTIONS: Heading(
        "Short connections", "Every request opens a connection of its own and closes it."
    ),
    Situation.COMPUTING: Heading(
        "CPU in the handler",
        "While Python computes, other requests wait; only processes compute in parallel.",
    ),
    Situation.SMALL_REQUESTS: Heading(
        "Small requests on persistent connections",
        "The handler does next to nothing, so the cost of the model itself remains.",
    ),
    Situation.LARGE_REPLIES: Heading(
        "Large replies to slow readers",
        "The server must hold back, or memory grows with every reader that falls behind.",
    ),
    Situation.MANY_CONNECTIONS: Heading(
        "Many connections, little memory",
        "Every connection, busy or silent, costs a process, a thread, a greenlet or an object.",
    ),
}
"""In the order of the report."""


class Line(NamedTuple):
    """One sentence of advice, and the conditions under which it was measured."""

    text: str
    conditions: str


@dataclass(frozen=True)
class Advice:
    """The advice for one situation."""

    heading: Heading
    lines: list[Line]


def advice(builder: ChartBuilder, findings: list[Finding]) -> list[Advice]:
    """Return the advice for every situation that has a finding."""
    by_situation: dict[Situation, list[Line]] = {situation: [] for situation in HEADINGS}
    for finding in findings:
        line = Line(sentence(builder, finding), f"{finding.metric.title}, {conditions(finding)}")
        by_situation[finding.question.situation].append(line)
    return [Advice(HEADINGS[one], lines) for one, lines in by_situation.items() if lines]
