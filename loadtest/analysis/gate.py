"""A gate for CI: fail if a number has become worse than a baseline by more than one will bear."""

import re
from dataclasses import dataclass

from loadtest.analysis.estimates import is_real
from loadtest.analysis.groups import Group, Groups
from loadtest.analysis.metrics import METRICS, Metric
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
        if (per_cent[0] == "-") != metric.more:
            sign = "-, since less of it is worse" if metric.more else "+, since more of it is worse"
            raise ValueError(f"expected {sign}, got {text!r}")
        return cls(
            text.strip(), contender, scenario, metric,
            None if connections is None else int(connections), abs(float(per_cent)) / 100,
        )  # fmt: skip


@dataclass(frozen=True)
class Judgement:
    """What became of a rule in one block: whether it is broken, and why that is said."""

    broken: bool
    said: str


def judge_rule(groups: Groups, rule: Rule, baseline: str, run: str) -> list[Judgement]:
    """Return what became of a rule; a number that cannot be judged has not been kept.

    Args:
        baseline: Of ``groups.bundles``: what is compared to.
        run: Of the same: what is compared.

    Raises:
        ValueError: Neither run has such cells.
    """
    pairs: dict[tuple[int, str], dict[str, Group]] = {}
    for key, group in groups.by_key.items():
        if (
            (key.contender, key.scenario) == (rule.contender, rule.scenario)
            and rule.connections in (None, key.connections)
            and rule.metric.applies_to(key.load)
            and not key.load.startswith("share-")  # a share of another capacity is another rate
        ):
            pairs.setdefault((key.connections, key.load), {})[key.run] = group
    judgements = [
        _judged(groups, rule, f"{connections:,} connections, {load}", by_run, baseline, run)
        for (connections, load), by_run in sorted(pairs.items())
        if baseline in by_run or run in by_run
    ]
    if not judgements:
        raise ValueError(f"expected cells for {rule.text!r}, got none in either run")
    return judgements


def _judged(
    groups: Groups, rule: Rule, where: str, by_run: dict[str, Group], baseline: str, run: str
) -> Judgement:
    said = f"{rule.text} ({where})"
    for name in (baseline, run):
        if name not in by_run or by_run[name].estimate(rule.metric) is None:
            seen = " / ".join(by_run[name].verdicts) if name in by_run else ""
            why = f"its cells are {seen}" if seen else "it has no such cells"
            return Judgement(True, f"{said}: cannot be judged: of {name}, {why}")
    old, new = by_run[baseline], by_run[run]
    ratio, noise = groups.compared(new, old, rule.metric)
    real = None if ratio is None else is_real(ratio, noise)
    if ratio is None or noise is None or real is None:
        return Judgement(True, f"{said}: cannot be judged: the noise is not known; --repeats 3")
    unit = rule.metric.unit
    values = [group.estimate(rule.metric) for group in (old, new)]
    change = ratio.median - 1
    said += ": " + " -> ".join(f"{value.median:,.4g}" for value in values if value is not None)
    said += f" {unit}, {change:+.1%} ({ratio.low or 0:.2f} to {ratio.high or 0:.2f} times)"
    if not real:
        return Judgement(False, f"{said}: no detectable difference (noise {noise - 1:.0%})")
    worse = -change if rule.metric.more else change
    return Judgement(worse > rule.worse_by, said)
