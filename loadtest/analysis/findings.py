"""The questions a reader comes with, and what cells answer: who, by how much, and is it real."""

from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property

from loadtest.analysis.estimates import Estimate, is_real
from loadtest.analysis.groups import Group, Groups
from loadtest.analysis.metrics import METRICS, Metric
from loadtest.compare.matrix import FLAT_OUT, RATE


@dataclass(frozen=True)
class Question:
    """What a reader wants to know.

    Attributes:
        title: The situation the reader is in.
        scenarios: That can answer it; the first of which there are cells does.
    """

    title: str
    scenarios: tuple[str, ...]
    load: str
    metric: str


QUESTIONS = (
    Question("Small requests: CPU each takes", ("hello", "echo", "get"), RATE, "cpu"),
    Question("Small requests: 99 of 100 answered within", ("hello", "echo", "get"), RATE, "p99"),
    Question("Clients that wait: CPU each takes", ("wait",), RATE, "cpu"),
    Question("Clients that wait: most a second", ("wait",), FLAT_OUT, "rate"),
    Question("Clients that come and go: CPU each takes", ("connect",), RATE, "cpu"),
    Question("Clients that come and go: most a second", ("connect",), FLAT_OUT, "rate"),
    Question("CPU in the handler: most a second", ("cpu",), FLAT_OUT, "rate"),
    Question("C code in the handler: most a second", ("hash",), FLAT_OUT, "rate"),
    Question("Light requests beside heavy ones: 99 of 100 within", ("convoy",), RATE, "p99"),
    Question("Big replies: CPU each takes", ("stream",), RATE, "cpu"),
    Question(
        "Memory of a connection", ("hello", "wait", "connect", "idle", "echo"), RATE, "memory"
    ),
)


@dataclass(frozen=True)
class Row:
    """One contender's answer.

    Attributes:
        estimate: None if none of its repeats may be ranked.
        ratio: To the best one's; None for the best, and where it is not known.
        real: Whether it differs from the best one; None if nobody can tell.
        struck: What it would be, were it ranked.
        verdict: Of its repeats, where they agree.
    """

    group: Group
    estimate: Estimate | None
    ratio: Estimate | None = None
    real: bool | None = None
    struck: float | None = None
    verdict: str = ""


@dataclass(frozen=True)
class Finding:
    """What the cells of one block say to one question.

    Attributes:
        rows: The best first; at the end those that may not be ranked.
        noise: What a ratio of two equals stays within; None if that is not known.
    """

    question: Question
    scenario: str
    connections: int
    rate_hz: float
    rows: list[Row]
    noise: float | None

    @property
    def metric(self) -> Metric:
        """What is compared."""
        return METRICS[self.question.metric]

    @property
    def ranked(self) -> list[Row]:
        """The rows that may be ranked, the best first."""
        return [row for row in self.rows if row.estimate is not None]

    @cached_property
    def winners(self) -> list[Row]:
        """The best one, and those that cannot be told from it."""
        best, *others = self.ranked
        return [best, *(row for row in others if row.real is False)]

    @cached_property
    def losers(self) -> list[Row]:
        """Those that differ from the best one, the next best first."""
        return [row for row in self.ranked[1:] if row.real]

    @property
    def known(self) -> bool:
        """Whether it can be said at all what is real: it takes repeats."""
        return all(row.real is not None for row in self.ranked[1:])


def findings(groups: Groups) -> list[Finding]:
    """Return the answers to all questions of which there are cells to compare."""
    found = (_finding(groups, question) for question in QUESTIONS)
    return [finding for finding in found if finding is not None]


def _finding(groups: Groups, question: Question) -> Finding | None:
    metric = METRICS[question.metric]
    for scenario in question.scenarios:
        for connections in reversed(groups.connections(scenario, question.load)):
            block = groups.of(scenario, connections, question.load)
            if sum(group.estimate(metric) is not None for group in block) >= 2:
                return answer(groups, question, block, metric)
    return None


def answer(groups: Groups, question: Question, block: Iterable[Group], metric: Metric) -> Finding:
    """Return how the groups of a block rank by a metric; one of them at least has it."""
    rows = [(group, group.estimate(metric)) for group in block]
    ranked = sorted(
        ((group, found) for group, found in rows if found is not None),
        key=lambda row: row[1].median,
        reverse=metric.more,
    )
    best, best_estimate = ranked[0]
    noise = groups.noise(best.key.scenario, metric, best_estimate.count, paired=True)
    answered = [Row(best, best_estimate)]
    for group, found in ranked[1:]:
        ratio, beyond = groups.compared(group, best, metric)
        real = None if ratio is None else is_real(ratio, beyond)
        answered.append(Row(group, found, ratio, real))
    for group, estimate in rows:
        if estimate is None:
            verdict = " / ".join(group.verdicts)
            answered.append(Row(group, None, struck=group.struck(metric), verdict=verdict))
    rates = [r.rate_wanted_hz for group in block for r in group.results.values()]
    return Finding(
        question, best.key.scenario, best.key.connections, max(rates, default=0.0), answered, noise
    )
