"""The questions a reader comes with, and what cells answer: who, by how much, and is it real."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import islice, takewhile

from loadtest.analysis.estimates import Estimate, is_real
from loadtest.analysis.groups import Group, Groups
from loadtest.analysis.metrics import METRICS, Metric
from loadtest.analysis.questions import QUESTIONS, Question
from loadtest.bundle.plan import FLAT_OUT
from loadtest.measure.verdict import GENERATOR_BOUND, OK


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
        why: Why it may not be ranked; "" where it may, or where it has no such number.
    """

    group: Group
    estimate: Estimate | None
    ratio: Estimate | None = None
    real: bool | None = None
    noise: float | None = None
    struck: float | None = None
    verdict: str = ""
    why: str = ""


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

    @property
    def unranked(self) -> list[Row]:
        """The rows that may not be ranked: what a contender could not do, or the meter lost."""
        return [row for row in self.rows if row.estimate is None]

    @property
    def settled(self) -> bool:
        """Whether it says all there is: two can be ranked, or one has done what no other could."""
        return len(self.ranked) > 1 or (
            len(self.ranked) == 1 and all(row.group.has_failed for row in self.unranked)
        )

    @cached_property
    def winners(self) -> list[Row]:
        """The best one, and those next to it that cannot be told from it; [] if none is ranked."""
        return [*self.ranked[:1], *takewhile(lambda row: row.real is False, self.ranked[1:])]

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
    return [finding for question in QUESTIONS for finding in _findings(groups, question)]


def _findings(groups: Groups, question: Question) -> list[Finding]:
    """Answer with the most connections that were asked for, whatever came of them.

    A load that one contender cannot carry tells the most about it; with fewer connections it might
    come out best. Where that leaves the question open, the next fewer that settle it follow.
    """
    metric = METRICS[question.metric]
    for scenario in question.scenarios:
        blocks = groups.most_connections(scenario, question.load)
        if not blocks or not _answers(blocks[0], question, metric):
            continue
        first, *others = (
            answer(groups, question, block, metric)
            for block in blocks
            if _answers(block, question, metric)
        )
        settling = (finding for finding in others if finding.settled)
        return [first, *([] if first.settled else islice(settling, 1))]
    return []


def _answers(block: Sequence[Group], question: Question, metric: Metric) -> bool:
    """Return whether a block compares contenders in a number that it can have."""
    if len(block) < 2:
        return False
    if question.load == FLAT_OUT and _connections_were_the_limit(block):
        return False
    numbers = [group.estimate(metric) or group.struck(metric) for group in block]
    return any(number is not None for number in numbers) or not any(group.holds for group in block)


def _connections_were_the_limit(block: Sequence[Group]) -> bool:
    """Return whether flat out no contender came to its own limit: then none answers the most."""
    verdicts = {name for group in block for name in group.verdicts}
    return OK in verdicts <= {OK, GENERATOR_BOUND} and all(group.results for group in block)


def answer(groups: Groups, question: Question, block: Sequence[Group], metric: Metric) -> Finding:
    """Return how the groups of a block rank by a metric; none of them may have it."""
    rows = [(group, group.estimate(metric)) for group in block]
    ranked = sorted(
        ((group, found) for group, found in rows if found is not None),
        key=lambda row: row[1].median,
        reverse=metric.more,
    )
    answered = [Row(*best, verdict=" / ".join(best[0].verdicts)) for best in ranked[:1]]
    for group, found in ranked[1:]:
        best = ranked[0][0]
        ratio, noise = groups.compared(group, best, metric, comparisons=len(ranked) - 1)
        real = None if ratio is None else is_real(ratio, noise)
        if ratio is not None and (ratio.median > 1) == metric.more:
            real = real and False  # the rounds in which both were measured say the opposite
        verdict = " / ".join(group.verdicts)
        answered.append(Row(group, found, ratio, real, noise, verdict=verdict))
    for group, estimate in rows:
        if estimate is None:
            verdict = " / ".join(group.verdicts) or "not run"
            struck = group.struck(metric)
            answered.append(Row(group, None, struck=struck, verdict=verdict, why=group.why))
    key = block[0].key
    rates = [groups.rate_hz(group) for group in block]
    return Finding(question, key.scenario, key.connections, (min(rates), max(rates)), answered)
