"""A run against its baseline: checked before anything is measured, judged afterwards."""

import json
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

import msgspec

from loadtest.analysis.gate import Rule, judge_rule, status_of
from loadtest.analysis.groups import Groups
from loadtest.analysis.likeness import refuse_other, refuse_unlike
from loadtest.bundle.calibration import Calibration
from loadtest.bundle.plan import Matrix
from loadtest.bundle.read import About, Bundle, BundleError, read_bundle
from loadtest.host import terminal
from loadtest.host.cores import Cores
from loadtest.host.machine import describe_run

_BASELINE, _RUN = "the baseline", "this run"


def refuse_before_run(baseline: Path, rules: Sequence[Rule], matrix: Matrix, cores: Cores) -> None:
    """Refuse a run that could not be judged afterwards, before it costs any time.

    Raises:
        BundleError: The baseline cannot be read, or was measured under other conditions.
        ValueError: A rule covers no cell of the run, or none with a figure in the baseline.
    """
    for rule in rules:
        rule.refuse_unknown(matrix.cells(), _RUN)
    before = read_bundle(baseline)
    refuse_other(
        (_BASELINE, before.about),
        (_RUN, _about_to_be(matrix, cores)),
        "use the baseline's options, or make a new baseline",
    )
    _refuse_figureless(before, rules)


def refuse_before_report(
    folder: Path, baseline: Path, rules: Sequence[Rule], allow_different: bool
) -> dict[str, Bundle]:
    """Return a run and its baseline, if the one can be judged by the other.

    Raises:
        BundleError: One of them cannot be read, or their conditions differ.
        ValueError: A rule covers no cell of the run, or none with a figure in the baseline.
    """
    run, before = read_bundle(folder), read_bundle(baseline)
    for rule in rules:
        rule.refuse_unknown(run.plan, _RUN)
    if not allow_different:
        refuse_unlike([before, run])
    _refuse_figureless(before, rules)
    return {_BASELINE: before, _RUN: run}


def judge(bundles: dict[str, Bundle], rules: Sequence[Rule]) -> int:
    """Print the outcome of each rule; return the exit status: 0 kept, 1 broken, 4 undecided.

    Args:
        bundles: As ``refuse_before_report`` returns them.
    """
    groups = Groups(bundles)
    judgements = [one for rule in rules for one in judge_rule(groups, rule, _BASELINE, _RUN)]
    for judgement in judgements:
        terminal.print_line(terminal.console(), judgement.summary)
    return status_of(judgement.outcome for judgement in judgements)


def _about_to_be(matrix: Matrix, cores: Cores) -> About:
    content = describe_run("loadtest", asdict(matrix), ())
    content |= {"cores": asdict(cores), "generator": asdict(Calibration(0.0, 0.0, 0.0))}
    return msgspec.convert(json.loads(json.dumps(content)), About)  # as it would be read back


def _refuse_figureless(baseline: Bundle, rules: Sequence[Rule]) -> None:
    """Refuse a rule that the baseline leaves undecided, whatever the run measures."""
    groups = Groups({_BASELINE: baseline})
    for rule in rules:
        rule.refuse_unknown(baseline.plan, _BASELINE)
        covered = [group for key, group in groups.by_key.items() if rule.names(key.cell)]
        if all(group.estimate(rule.metric) is None for group in covered):
            why = next(filter(None, (group.why for group in covered)), "not measured")
            raise BundleError(
                f"expected a baseline with {rule.metric.title} of {rule.contender} in"
                f" {rule.scenario}, got {baseline.folder}: {why}"
            )
