"""A gate for CI: fail if a metric is worse than the baseline by more than a rule allows.

A change that the noise hides breaks no rule and keeps none: it is undecided.
"""

import math
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from loadtest.analysis.estimates import Estimate
from loadtest.analysis.groups import Group, Groups
from loadtest.analysis.metrics import METRICS, Metric
from loadtest.bundle.plan import SHARE, CellPlan
from loadtest.bundle.read import shortened
from loadtest.catalogue import SCENARIOS
from loadtest.measure.wording import counted

_RULE = re.compile(r"(\S+) (\S+) (\S+)(?: (\d+))? ([+-]\d+(?:\.\d+)?)%")


@dataclass(frozen=True)
class Rule:
    """A limit on how much worse a metric may become.

    Attributes:
        connections: None: any number of connections.
        worse_by: As a share: 0.1 for +10 %.
    """

    text: str
    contender: str
    scenario: str
    metric: Metric
    connections: int | None
    worse_by: float

    @classmethod
    def parse(cls, text: str) -> "Rule":
        """Return the rule in ``uvloop hello p99 +10%``, or ``uvloop hello p99 1000 +10%``.

        Raises:
            ValueError: It is no rule; says what was expected.
        """
        match = _RULE.fullmatch(text.strip())
        if match is None:
            raise ValueError(f"expected a rule such as 'uvloop hello p99 +10%', got {text!r}")
        contender, scenario, name, connections, per_cent = match.groups()
        if scenario not in SCENARIOS:
            raise ValueError(f"expected a scenario, one of {','.join(SCENARIOS)}, got {scenario!r}")
        if name not in METRICS:
            raise ValueError(f"expected a metric, one of {','.join(METRICS)}, got {name!r}")
        metric = METRICS[name]
        if (per_cent[0] == "-") != metric.higher_is_better:
            sign = (
                "a minus, since less is worse"
                if metric.higher_is_better
                else "a plus, since more is worse"
            )
            raise ValueError(f"expected {sign}, got {text!r}")
        if metric.higher_is_better and abs(float(per_cent)) >= 100:
            raise ValueError(f"expected less than 100 %, got {text!r}")
        return cls(
            text.strip(), contender, scenario, metric,
            None if connections is None else int(connections), abs(float(per_cent)) / 100,
        )  # fmt: skip

    def names(self, cell: CellPlan) -> bool:
        """Return whether the rule covers a cell."""
        return (
            (cell.contender, cell.scenario) == (self.contender, self.scenario)
            and self.connections in (None, cell.connections)
            and self.metric.applies_to(cell.load)
            and not cell.load.startswith(SHARE)  # a share of another capacity is no equal rate
        )

    def refuse_unknown(self, plan: Sequence[CellPlan], whose: str) -> None:
        """Refuse a rule that covers no cell of a plan.

        Args:
            whose: The name of the plan's run in the error.

        Raises:
            ValueError: It covers no cell; lists the cells of the plan.
        """
        contenders = sorted({cell.contender for cell in plan})
        if self.contender not in contenders:
            raise ValueError(
                f"expected a contender of {whose}, one of {','.join(contenders)}, got"
                f" {self.contender!r} in {self.text!r}"
            )
        if not any(map(self.names, plan)):
            own = (cell for cell in plan if cell.contender == self.contender)
            cells = {(cell.scenario, cell.connections, cell.load) for cell in own}
            known = "; ".join(f"{name} {n} {load}" for name, n, load in sorted(cells))
            raise ValueError(
                f"expected a rule about cells of {whose}, got {self.text!r}; its cells are:"
                f" {shortened(known)}"
            )


KEPT, UNDECIDED, BROKEN = 0, 4, 1
"""The outcomes of a rule, as exit statuses."""

_WORDS = {KEPT: "passed", UNDECIDED: "undecided", BROKEN: "FAILED"}
_REPEATS_MAX = 200
"""More repeats are never advised: the machine has to become quieter instead."""


@dataclass(frozen=True)
class Judgement:
    """The outcome of a rule in one block: KEPT, UNDECIDED or BROKEN, with the evidence."""

    outcome: int
    why: str

    @property
    def summary(self) -> str:
        """One line for the terminal."""
        return f"{_WORDS[self.outcome]}: {self.why}"


def status_of(outcomes: Iterable[int]) -> int:
    """Return the exit status of several rules: broken over undecided over kept."""
    present = set(outcomes)
    return next((outcome for outcome in (BROKEN, UNDECIDED) if outcome in present), KEPT)


def judge_rule(groups: Groups, rule: Rule, baseline: str, run: str) -> list[Judgement]:
    """Return the outcome of a rule in each block that it covers.

    Args:
        baseline: A key of ``groups.bundles``: the run to compare with.
        run: A key of the same: the run to judge.

    Raises:
        ValueError: The run has no such cells.
    """
    pairs: dict[tuple[int, str], dict[str, Group]] = {}
    for key, group in groups.by_key.items():
        if rule.names(key.cell):
            pairs.setdefault((key.connections, key.load), {})[key.run] = group
    judgements = [
        _judged(
            groups, rule, f"{counted(connections, 'connection')}, {load}", by_run, baseline, run
        )
        for (connections, load), by_run in sorted(pairs.items())
        if run in by_run
    ]
    if not judgements:
        raise ValueError(f"expected cells for {rule.text!r}, got none in this run")
    return judgements


def _judged(
    groups: Groups, rule: Rule, where: str, by_run: dict[str, Group], baseline: str, run: str
) -> Judgement:
    text = f"{rule.text} ({where})"
    new, old = by_run[run], by_run.get(baseline)
    before = None if old is None else old.estimate(rule.metric)
    if old is None or before is None:
        return Judgement(UNDECIDED, f"{text}: the baseline has no such figure: {_missing(old)}")
    after = new.estimate(rule.metric)
    if after is None:
        outcome = BROKEN if new.has_failed else UNDECIDED
        return Judgement(outcome, f"{text}: the run has no such figure: {_missing(new)}")
    ratio, noise = groups.compared(new, old, rule.metric)
    if ratio is None or noise is None or ratio.low is None or ratio.high is None:
        return Judgement(UNDECIDED, f"{text}: the noise is unknown; to decide: --repeats 3")
    text += f": {_figure(before)} -> {_figure(after)} {rule.metric.unit}".rstrip()
    text += f", {ratio.median - 1:+.1%} ({ratio.low:.2f} to {ratio.high:.2f} times)"
    return _weighed(rule, text, ratio, noise)


def _weighed(rule: Rule, text: str, ratio: Estimate, noise: float) -> Judgement:
    """Judge a ratio that is uncertain by its interval and by the noise.

    If both are smaller than the rule's allowance, equal servers break it in 1 case of 20, and a
    change twice the allowance is missed as rarely. If they are greater, a ratio is decided only
    where its whole uncertainty lies on one side of the rule.
    """
    middle, low, high = (
        math.log(value) for value in (ratio.median, ratio.low, ratio.high) if value
    )
    if rule.metric.higher_is_better:
        middle, low, high = -middle, -high, -low
    allowed = (
        -math.log(1 - rule.worse_by)
        if rule.metric.higher_is_better
        else math.log(1 + rule.worse_by)
    )
    off = max(math.log(noise), high - middle, middle - low)
    text += f", noise {noise - 1:.0%}"
    if off <= allowed:
        return Judgement(BROKEN if middle > allowed else KEPT, text)
    if middle - off > allowed:
        return Judgement(BROKEN, text)
    if middle + off <= allowed:
        return Judgement(KEPT, text)
    return Judgement(UNDECIDED, f"{text}: {_advice(rule, off, allowed, ratio.count)}")


def _advice(rule: Rule, off: float, allowed: float, repeats: int) -> str:
    """Return what would decide it; the error of a median falls with the root of the repeats."""
    wanted = math.ceil(repeats * (off / allowed) ** 2)
    ways = [f"--repeats {wanted} (now {repeats})"] if wanted <= _REPEATS_MAX else []
    ways += ["a longer --duration", "a quieter machine"]
    least = 1 - math.exp(-off) if rule.metric.higher_is_better else math.exp(off) - 1
    if (per_cent := math.ceil(least * 100)) < 100 or not rule.metric.higher_is_better:
        ways.append(f"a rule of {'-' if rule.metric.higher_is_better else '+'}{per_cent}%")
    return (
        f"uncertain by {math.exp(off) - 1:.0%}, more than the rule allows; to decide:"
        f" {', '.join(ways[:-1])} or {ways[-1]}"
    )


def _figure(estimate: Estimate) -> str:
    median = estimate.median
    return f"{median:,.0f}" if median >= 1000 else f"{median:.4g}"


def _missing(group: Group | None) -> str:
    if group is None or not (group.results or group.unmeasured):
        return "its cells have not been run"
    return group.why or "it was not measured"
