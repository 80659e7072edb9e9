"""A gate for CI: fail if a number has become worse than a baseline by more than one will bear.

What the noise hides is neither broken nor kept, but undecided: a gate that cannot see says so.
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

_RULE = re.compile(r"(\S+) (\S+) (\S+)(?: (\d+))? ([+-]\d+(?:\.\d+)?)%")


@dataclass(frozen=True)
class Rule:
    """What may not happen.

    Attributes:
        connections: None: with any number of them.
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
            ValueError: It is none.
        """
        match = _RULE.fullmatch(text.strip())
        if match is None:
            raise ValueError(f"expected such as 'uvloop hello p99 +10%', got {text!r}")
        contender, scenario, name, connections, per_cent = match.groups()
        if scenario not in SCENARIOS:
            raise ValueError(f"expected a scenario out of {','.join(SCENARIOS)}, got {scenario!r}")
        if name not in METRICS:
            raise ValueError(f"expected a metric out of {','.join(METRICS)}, got {name!r}")
        metric = METRICS[name]
        if (per_cent[0] == "-") != metric.higher_is_better:
            sign = (
                "-, since less of it is worse"
                if metric.higher_is_better
                else "+, since more of it is worse"
            )
            raise ValueError(f"expected {sign}, got {text!r}")
        if metric.higher_is_better and abs(float(per_cent)) >= 100:
            raise ValueError(f"expected less than 100 %, which would be none at all, got {text!r}")
        return cls(
            text.strip(), contender, scenario, metric,
            None if connections is None else int(connections), abs(float(per_cent)) / 100,
        )  # fmt: skip

    def names(self, cell: CellPlan) -> bool:
        """Return whether the rule is about a cell."""
        return (
            (cell.contender, cell.scenario) == (self.contender, self.scenario)
            and self.connections in (None, cell.connections)
            and self.metric.applies_to(cell.load)
            and not cell.load.startswith(SHARE)  # a share of another capacity is another rate
        )

    def refuse_unknown(self, plan: Sequence[CellPlan], whose: str) -> None:
        """Refuse a rule that names nothing in a plan.

        Args:
            whose: How the plan's run is called in the complaint.

        Raises:
            ValueError: No cell of the plan is named; says which there are.
        """
        contenders = sorted({cell.contender for cell in plan})
        if self.contender not in contenders:
            raise ValueError(
                f"expected a contender of {whose}, out of {','.join(contenders)}, got"
                f" {self.contender!r} in {self.text!r}"
            )
        if not any(map(self.names, plan)):
            own = (cell for cell in plan if cell.contender == self.contender)
            cells = {(cell.scenario, cell.connections, cell.load) for cell in own}
            known = "; ".join(f"{name} {n} {load}" for name, n, load in sorted(cells))
            raise ValueError(
                f"expected a rule about cells of {whose}, got {self.text!r}; there are"
                f" {shortened(known)}"
            )


KEPT, UNDECIDED, BROKEN = 0, 4, 1
"""What became of a rule, as the exit status that says so."""

_WORDS = {KEPT: "passed", UNDECIDED: "undecided", BROKEN: "FAILED"}
_REPEATS_MAX = 200
"""More repeats are no advice: then it is the machine that has to be quieter."""


@dataclass(frozen=True)
class Judgement:
    """What became of a rule in one block: KEPT, UNDECIDED or BROKEN, and why that is said."""

    outcome: int
    why: str

    @property
    def summary(self) -> str:
        """It in a line."""
        return f"{_WORDS[self.outcome]}: {self.why}"


def status_of(outcomes: Iterable[int]) -> int:
    """Return the exit status of several rules: broken over undecided over kept."""
    found = set(outcomes)
    return next((outcome for outcome in (BROKEN, UNDECIDED) if outcome in found), KEPT)


def judge_rule(groups: Groups, rule: Rule, baseline: str, run: str) -> list[Judgement]:
    """Return what became of a rule, in each block that it names.

    Args:
        baseline: Of ``groups.bundles``: what is compared to.
        run: Of the same: what is compared.

    Raises:
        ValueError: The run has no such cells.
    """
    pairs: dict[tuple[int, str], dict[str, Group]] = {}
    for key, group in groups.by_key.items():
        if rule.names(key.cell):
            pairs.setdefault((key.connections, key.load), {})[key.run] = group
    judgements = [
        _judged(groups, rule, f"{connections:,} connections, {load}", by_run, baseline, run)
        for (connections, load), by_run in sorted(pairs.items())
        if run in by_run
    ]
    if not judgements:
        raise ValueError(f"expected cells for {rule.text!r}, got none in this run")
    return judgements


def _judged(
    groups: Groups, rule: Rule, where: str, by_run: dict[str, Group], baseline: str, run: str
) -> Judgement:
    said = f"{rule.text} ({where})"
    new, old = by_run[run], by_run.get(baseline)
    before = None if old is None else old.estimate(rule.metric)
    if old is None or before is None:
        return Judgement(UNDECIDED, f"{said}: the baseline has no such figure: {_missing(old)}")
    after = new.estimate(rule.metric)
    if after is None:
        outcome = BROKEN if new.has_failed else UNDECIDED
        return Judgement(outcome, f"{said}: the run has no such figure: {_missing(new)}")
    ratio, noise = groups.compared(new, old, rule.metric)
    if ratio is None or noise is None or ratio.low is None or ratio.high is None:
        return Judgement(UNDECIDED, f"{said}: the noise is not known; to decide: --repeats 3")
    said += f": {_figure(before)} -> {_figure(after)} {rule.metric.unit}".rstrip()
    said += f", {ratio.median - 1:+.1%} ({ratio.low:.2f} to {ratio.high:.2f} times)"
    return _weighed(rule, said, ratio, noise)


def _weighed(rule: Rule, said: str, ratio: Estimate, noise: float) -> Judgement:
    """Judge a ratio that may be off by its interval and by the noise.

    Where both are smaller than what the rule bears, no change is called broken in one case of 20,
    and a change twice as big as the rule is missed in as many. Where they are greater, only what
    lies on one side of the rule as a whole is decided.
    """
    middle, low, high = (
        math.log(value) for value in (ratio.median, ratio.low, ratio.high) if value
    )
    if rule.metric.higher_is_better:
        middle, low, high = -middle, -high, -low
    bears = (
        -math.log(1 - rule.worse_by)
        if rule.metric.higher_is_better
        else math.log(1 + rule.worse_by)
    )
    off = max(math.log(noise), high - middle, middle - low)
    said += f", noise {noise - 1:.0%}"
    if off <= bears:
        return Judgement(BROKEN if middle > bears else KEPT, said)
    if middle - off > bears:
        return Judgement(BROKEN, said)
    if middle + off <= bears:
        return Judgement(KEPT, said)
    return Judgement(UNDECIDED, f"{said}: {_advice(rule, off, bears, ratio.count)}")


def _advice(rule: Rule, off: float, bears: float, repeats: int) -> str:
    """Return what would decide it: the error of a median falls with the root of the repeats."""
    wanted = math.ceil(repeats * (off / bears) ** 2)
    ways = [f"--repeats {wanted} (now {repeats})"] if wanted <= _REPEATS_MAX else []
    ways += ["a longer --duration", "a quieter machine"]
    least = 1 - math.exp(-off) if rule.metric.higher_is_better else math.exp(off) - 1
    if (per_cent := math.ceil(least * 100)) < 100 or not rule.metric.higher_is_better:
        ways.append(f"a rule of {'-' if rule.metric.higher_is_better else '+'}{per_cent}%")
    return (
        f"this may be off by {math.exp(off) - 1:.0%}, more than the rule bears; to decide:"
        f" {', '.join(ways[:-1])} or {ways[-1]}"
    )


def _figure(of: Estimate) -> str:
    return f"{of.median:,.0f}" if of.median >= 1000 else f"{of.median:.4g}"


def _missing(group: Group | None) -> str:
    if group is None or not (group.results or group.unmeasured):
        return "its cells have not been run"
    return group.why or "it was not measured"
