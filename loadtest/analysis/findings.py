"""The questions a reader comes with, and what cells answer: who, by how much, and is it real."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import takewhile

from loadtest.analysis.estimates import Estimate, is_real
from loadtest.analysis.groups import Group, Groups
from loadtest.analysis.metrics import METRICS, Metric
from loadtest.compare.matrix import FLAT_OUT, RATE
from loadtest.verdict import ACCEPT_QUEUE_BOUND, SERVER_BOUND


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
        noise: What the ratio of two equals stays within; None if that is not known.
        struck: What it would be, were it ranked.
        verdict: Of its repeats.
    """

    group: Group
    estimate: Estimate | None
    ratio: Estimate | None = None
    real: bool | None = None
    noise: float | None = None
    struck: float | None = None
    verdict: str = ""


@dataclass(frozen=True)
class Finding:
    """What the cells of one block say to one question.

    Attributes:
        rates_hz: The lowest and the highest that was asked for; alike but for runs that are not.
        rows: The best first; at the end those that may not be ranked.
    """

    question: Question
    scenario: str
    connections: int
    rates_hz: tuple[float, float]
    rows: list[Row]

    @property
    def metric(self) -> Metric:
        """What is compared."""
        return METRICS[self.question.metric]

    @property
    def noise(self) -> float | None:
        """The highest of the floors that the ratios had to pass; None if there was none."""
        return max((row.noise for row in self.rows if row.noise is not None), default=None)

    @property
    def ranked(self) -> list[Row]:
        """The rows that may be ranked, the best first."""
        return [row for row in self.rows if row.estimate is not None]

    @cached_property
    def winners(self) -> list[Row]:
        """The best one, and those next to it that cannot be told from it."""
        best, *others = self.ranked
        return [best, *takewhile(lambda row: row.real is False, others)]

    @cached_property
    def losers(self) -> list[Row]:
        """The others, the next best first."""
        return self.ranked[len(self.winners) :]

    @property
    def known(self) -> bool:
        """Whether it can be said if the next best differs: it takes repeats."""
        return not self.losers or self.losers[0].real is not None


def findings(groups: Groups) -> list[Finding]:
    """Return the answers to all questions of which there are cells to compare."""
    found = (_finding(groups, question) for question in QUESTIONS)
    return [finding for finding in found if finding is not None]


def _finding(groups: Groups, question: Question) -> Finding | None:
    """Answer where most contenders have a result; of several such, with most connections."""
    metric = METRICS[question.metric]
    for scenario in question.scenarios:
        blocks = []
        for connections in groups.connections(scenario, question.load):
            block = groups.of(scenario, connections, question.load)
            if question.load == FLAT_OUT and not any(map(_at_its_limit, block)):
                continue  # the connections were the limit, and of nobody's making
            if sum(group.estimate(metric) is not None for group in block) >= 2:
                conclusive = sum(group.is_conclusive(metric) for group in block)
                blocks.append((conclusive, connections, block))
        if blocks:
            _, _, block = max(blocks, key=lambda row: row[:2])
            return answer(groups, question, block, metric)
    return None


def _at_its_limit(group: Group) -> bool:
    return bool({SERVER_BOUND, ACCEPT_QUEUE_BOUND} & group.verdicts.keys())


def answer(groups: Groups, question: Question, block: Sequence[Group], metric: Metric) -> Finding:
    """Return how the groups of a block rank by a metric; one of them at least has it."""
    rows = [(group, group.estimate(metric)) for group in block]
    ranked = sorted(
        ((group, found) for group, found in rows if found is not None),
        key=lambda row: row[1].median,
        reverse=metric.more,
    )
    best, best_estimate = ranked[0]
    answered = [Row(best, best_estimate, verdict=" / ".join(best.verdicts))]
    for group, found in ranked[1:]:
        ratio, noise = groups.compared(group, best, metric, comparisons=len(ranked) - 1)
        real = None if ratio is None else is_real(ratio, noise)
        if ratio is not None and (ratio.median > 1) == metric.more:
            real = real and False  # the rounds in which both were measured say the opposite
        verdict = " / ".join(group.verdicts)
        answered.append(Row(group, found, ratio, real, noise, verdict=verdict))
    for group, estimate in rows:
        if estimate is None:
            verdict = " / ".join(group.verdicts)
            answered.append(Row(group, None, struck=group.struck(metric), verdict=verdict))
    rates = [r.rate_wanted_hz for group in block for r in group.results.values()]
    lowest, highest = min(rates, default=0.0), max(rates, default=0.0)
    return Finding(question, best.key.scenario, best.key.connections, (lowest, highest), answered)
