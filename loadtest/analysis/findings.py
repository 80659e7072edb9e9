"""The answers that cells give to a reader's questions: which contender is best, and by how much."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import islice, takewhile

from loadtest.analysis.estimates import Estimate, is_significant
from loadtest.analysis.groups import Group, Groups
from loadtest.analysis.metrics import METRICS, Metric
from loadtest.analysis.questions import QUESTIONS, Question
from loadtest.bundle.plan import FLAT_OUT
from loadtest.measure.verdict import GENERATOR_BOUND, OK


@dataclass(frozen=True)
class Row:
    """One contender's answer.

    Attributes:
        estimate: None if the contender is not ranked.
        ratio: To the best contender; None for the best, and where it is not known.
        differs: Whether it differs from the best; None if there are too few repeats to tell.
        noise: The ratio that two equal servers stay within; None if it is not known.
        unranked_median: The median of its repeats, if the contender is not ranked.
        verdict: The verdicts of its repeats.
        why: Why it is not ranked; "" if it is, or if it has no such number.
    """

    group: Group
    estimate: Estimate | None
    ratio: Estimate | None = None
    differs: bool | None = None
    noise: float | None = None
    unranked_median: float | None = None
    verdict: str = ""
    why: str = ""


@dataclass(frozen=True)
class Finding:
    """The answer of one block of cells to one question.

    Attributes:
        rates_hz: The lowest and the highest rate asked for; they differ between unlike runs only.
        rows: The best contender first, those that are not ranked last.
    """

    question: Question
    scenario: str
    connections: int
    rates_hz: tuple[float, float]
    rows: list[Row]

    @property
    def metric(self) -> Metric:
        """The metric that ranks the contenders."""
        return METRICS[self.question.metric]

    @property
    def noise(self) -> float | None:
        """The highest noise floor that a ratio had to exceed; None if there was none."""
        return max((row.noise for row in self.rows if row.noise is not None), default=None)

    @property
    def ranked(self) -> list[Row]:
        """The contenders that are ranked, the best first."""
        return [row for row in self.rows if row.estimate is not None]

    @property
    def unranked(self) -> list[Row]:
        """The contenders that are not ranked: they failed, or the meter did."""
        return [row for row in self.rows if row.estimate is None]

    @property
    def settled(self) -> bool:
        """Whether it answers the question: two are ranked, or one is and all others failed."""
        return len(self.ranked) > 1 or (
            len(self.ranked) == 1 and all(row.group.has_failed for row in self.unranked)
        )

    @cached_property
    def winners(self) -> list[Row]:
        """The best contender and those that tie with it; [] if none is ranked."""
        return [*self.ranked[:1], *takewhile(lambda row: row.differs is False, self.ranked[1:])]

    @cached_property
    def losers(self) -> list[Row]:
        """The other ranked contenders, the next best first."""
        return self.ranked[len(self.winners) :]

    @property
    def is_conclusive(self) -> bool:
        """Whether enough repeats tell if the next best differs."""
        return not self.losers or self.losers[0].differs is not None


def findings(groups: Groups) -> list[Finding]:
    """Return the answers to all questions that have cells to compare."""
    return [finding for question in QUESTIONS for finding in _findings(groups, question)]


def _findings(groups: Groups, question: Question) -> list[Finding]:
    """Answer with the most connections that were asked for, whatever came of them.

    A load that one contender cannot carry reveals the most about it; with fewer connections it
    might come out best. Where that leaves the question open, the next fewer that settle it follow.
    """
    metric = METRICS[question.metric]
    for scenario in question.scenarios:
        blocks = groups.most_connections(scenario, question.load)
        if not blocks or not _can_answer(blocks[0], question, metric):
            continue
        first, *others = (
            answer(groups, question, block, metric)
            for block in blocks
            if _can_answer(block, question, metric)
        )
        settling = (finding for finding in others if finding.settled)
        return [first, *([] if first.settled else islice(settling, 1))]
    return []


def _can_answer(block: Sequence[Group], question: Question, metric: Metric) -> bool:
    """Return whether a block compares contenders by a metric that its cells have."""
    if len(block) < 2:
        return False
    if question.load == FLAT_OUT and _limited_by_connections(block):
        return False
    medians = [group.estimate(metric) or group.unranked_median(metric) for group in block]
    if any(median is not None for median in medians):
        return True
    return not any(group.is_rankable for group in block)


def _limited_by_connections(block: Sequence[Group]) -> bool:
    """Return whether no contender reached its own limit flat out: the peak is then unknown."""
    verdicts = {name for group in block for name in group.verdicts}
    return OK in verdicts <= {OK, GENERATOR_BOUND} and all(group.results for group in block)


def answer(groups: Groups, question: Question, block: Sequence[Group], metric: Metric) -> Finding:
    """Return the ranking of a block's groups by a metric, which none of them need have."""
    estimates = [(group, group.estimate(metric)) for group in block]
    ranked = sorted(
        ((group, estimate) for group, estimate in estimates if estimate is not None),
        key=lambda pair: pair[1].median,
        reverse=metric.higher_is_better,
    )
    rows = [Row(*best, verdict=_verdicts(best[0])) for best in ranked[:1]]
    for group, estimate in ranked[1:]:
        best = ranked[0][0]
        ratio, noise = groups.compared(group, best, metric, comparisons=len(ranked) - 1)
        differs = None if ratio is None else is_significant(ratio, noise)
        if ratio is not None and (ratio.median > 1) == metric.higher_is_better:
            differs = differs and False  # the rounds that measured both say the opposite
        rows.append(Row(group, estimate, ratio, differs, noise, verdict=_verdicts(group)))
    rows += [
        Row(
            group,
            None,
            unranked_median=group.unranked_median(metric),
            verdict=_verdicts(group) or "not run",
            why=group.why,
        )
        for group, estimate in estimates
        if estimate is None
    ]
    key = block[0].key
    rates = [groups.rate_hz(group) for group in block]
    return Finding(question, key.scenario, key.connections, (min(rates), max(rates)), rows)


def _verdicts(group: Group) -> str:
    return " / ".join(group.verdicts)
