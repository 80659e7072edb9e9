"""When to choose which: the reader's situations, each answered from the measured cells."""

from dataclasses import dataclass

from loadtest.analysis.findings import Finding
from loadtest.report.chart import Pen
from loadtest.report.words import conditions, sentence


@dataclass(frozen=True)
class Situation:
    """What a reader's clients do, and why it matters who waits."""

    title: str
    why: str
    questions: tuple[str, ...]


SITUATIONS = (
    Situation(
        "Clients that wait",
        "For a back end, a database, each other: most connections are silent at any moment.",
        ("Clients that wait: CPU each takes", "Clients that wait: most a second"),
    ),
    Situation(
        "Clients that come and go",
        "A connection for each request has to be begun and ended every time.",
        ("Clients that come and go: CPU each takes", "Clients that come and go: most a second"),
    ),
    Situation(
        "CPU in the handler",
        "Python computes while others wait: only processes compute at the same time.",
        (
            "CPU in the handler: most a second", "C code in the handler: most a second",
            "Light requests beside heavy ones: 99 of 100 within",
        ),
    ),
    Situation(
        "Small requests on connections that stay",
        "Where next to nothing is done, it is the model itself that is paid for.",
        ("Small requests: CPU each takes", "Small requests: 99 of 100 answered within"),
    ),
    Situation(
        "Many connections, little memory",
        "Each of them costs its process, thread, greenlet or object, silent or not.",
        ("Memory of a connection",),
    ),
)  # fmt: skip


@dataclass(frozen=True)
class Advice:
    """A situation, and what the cells say to it: conditions and a sentence each."""

    situation: Situation
    said: list[tuple[str, str]]


def advice(pen: Pen, findings: list[Finding]) -> list[Advice]:
    """Return the situations to which the cells say anything."""
    found = []
    for situation in SITUATIONS:
        said = [
            (f"{finding.metric.title}, {conditions(finding)}", sentence(pen, finding))
            for title in situation.questions
            for finding in findings
            if finding.question.title == title
        ]
        if said:
            found.append(Advice(situation, said))
    return found
