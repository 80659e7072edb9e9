"""The gate: a change breaks a rule, keeps it, or is undecided within the noise."""

import random
import re
import shlex
import sys
from collections.abc import Callable
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import pytest

from loadtest.analysis.gate import (
    BROKEN,
    KEPT,
    UNDECIDED,
    Judgement,
    Rule,
    judge_rule,
    status_of,
)
from loadtest.analysis.groups import Groups
from loadtest.bundle.plan import CellPlan
from loadtest.bundle.read import read_bundle
from loadtest.host.cores import Cores
from loadtest.host.machine import describe_run
from loadtest.report.readme import stored_page
from tests.support.bundles import Cell, make_bundle, matrix, noisy
from tests.support.commands import ROOT, run
from tests.support.costs import COSTS, bundle_of

COMPARE = [sys.executable, "-m", "loadtest", "compare"]
REPORT = [sys.executable, "-m", "loadtest", "report"]
LOADS = ["rate", "flat-out"]


def judged(tmp_path: Path, factor: float, rule: str, share: float = 0.02) -> list[Judgement]:
    groups = Groups(
        {
            "baseline": bundle_of(tmp_path / "old", share=share),
            "run": bundle_of(tmp_path / "new", factor=factor, share=share),
        }
    )
    return judge_rule(groups, Rule.parse(rule), "baseline", "run")


def outcomes(judgements: list[Judgement]) -> list[int]:
    return [one.outcome for one in judgements]


def test_a_change_beyond_the_allowance_breaks_the_rule(tmp_path: Path) -> None:
    judgements = judged(tmp_path, 1.3, "uvloop hello cpu +10%")
    assert outcomes(judgements) == [BROKEN, BROKEN]  # with 10 connections, with 1,000
    assert re.search(r"1,000 connections, rate\): .* µs, \+[23]\d\.\d%", judgements[1].summary)


def test_a_rule_can_name_the_connections(tmp_path: Path) -> None:
    assert len(judged(tmp_path, 1.3, "uvloop hello cpu 1000 +10%")) == 1


def test_a_change_within_the_allowance_keeps_the_rule(tmp_path: Path) -> None:
    assert outcomes(judged(tmp_path, 1.3, "uvloop hello cpu +50%")) == [KEPT, KEPT]


def test_an_improvement_keeps_the_rule(tmp_path: Path) -> None:
    assert outcomes(judged(tmp_path, 0.5, "uvloop hello p99 +10%")) == [KEPT, KEPT]


@pytest.mark.parametrize("factor", [0.95, 1.0, 1.15, 1.4])
def test_a_change_within_the_noise_is_undecided_with_advice(tmp_path: Path, factor: float) -> None:
    for judgement in judged(tmp_path, factor, "uvloop hello cpu +5%", share=0.4):
        assert judgement.outcome == UNDECIDED
        assert judgement.summary.startswith("undecided: uvloop hello cpu +5% (")
        assert re.search(
            r"uncertain by \d+%, more than the rule allows; to decide: .*a rule of \+\d+%$",
            judgement.summary,
        )


def test_a_change_far_beyond_a_noise_wider_than_the_rule_breaks_it(
    tmp_path: Path,
) -> None:
    assert outcomes(judged(tmp_path, 40.0, "uvloop hello cpu +5%", share=0.3)) == [BROKEN, BROKEN]


def test_an_advised_rule_can_be_decided(tmp_path: Path) -> None:
    first = judged(tmp_path / "first", 1.0, "uvloop hello cpu 1000 +5%", share=0.3)
    (advised,) = re.findall(r"a rule of (\+\d+%)$", first[0].summary)
    again = judged(tmp_path / "again", 1.0, f"uvloop hello cpu 1000 {advised}", share=0.3)
    assert outcomes(again) != [UNDECIDED]


def test_equal_runs_keep_a_rule_and_twice_the_allowance_breaks_it(
    tmp_path: Path,
) -> None:
    wanted = matrix(connections=[10], repeats=4)

    def measured(name: str, factor: float) -> Any:
        rng = random.Random(name)
        cell = Cell(cpu_us=100.0 * factor)
        return read_bundle(
            make_bundle(tmp_path / name, wanted, lambda _: noisy(cell, rng, 0.05), seconds=1)
        )

    by_factor: dict[float, list[int]] = {1.0: [], 1.44: []}
    rule = Rule.parse("uvloop hello cpu +20%")
    for seed in range(15):
        old = measured(f"old-{seed}", 1.0)
        for factor, outcomes_so_far in by_factor.items():
            groups = Groups({"baseline": old, "run": measured(f"new-{seed}-{factor}", factor)})
            outcomes_so_far += outcomes(judge_rule(groups, rule, "baseline", "run"))
    assert by_factor[1.0].count(BROKEN) == 0 and by_factor[1.0].count(KEPT) > 10
    assert by_factor[1.44].count(KEPT) == 0 and by_factor[1.44].count(BROKEN) > 10


def flat_out(rate_hz: float, seed: int) -> Callable[[CellPlan], Cell]:
    rng = random.Random(seed)
    return lambda cell: noisy(Cell(rate_hz=rate_hz, server_busy=0.97), rng)


@pytest.mark.parametrize(("rate_hz", "outcome"), [(1000.0, KEPT), (700.0, BROKEN), (1500.0, KEPT)])
def test_less_throughput_is_worse(tmp_path: Path, rate_hz: float, outcome: int) -> None:
    wanted = matrix(scenarios=["wait"], connections=[100], loads=["flat-out"])
    bundles = {
        name: read_bundle(make_bundle(tmp_path / name, wanted, flat_out(rate, seed)))
        for seed, (name, rate) in enumerate({"baseline": 1000.0, "run": rate_hz}.items())
    }
    rule = Rule.parse("uvloop wait rate -15%")
    assert outcomes(judge_rule(Groups(bundles), rule, "baseline", "run")) == [outcome]


def bound(**cell: Any) -> Callable[[CellPlan], Cell]:
    return lambda plan: replace(COSTS[plan.contender], **cell)


@pytest.mark.parametrize(
    ("cell", "outcome", "why"),
    [
        ({"generator_busy": 0.95}, UNDECIDED, "generator-bound"),
        ({"rate_hz": 500.0}, BROKEN, "rate-not-held"),
    ],
)
def test_a_rate_no_longer_held_breaks_the_rule_and_a_lost_cell_is_undecided(
    tmp_path: Path, cell: dict[str, float], outcome: int, why: str
) -> None:
    lost = read_bundle(make_bundle(tmp_path / "lost", matrix(models=[*COSTS]), bound(**cell)))
    groups = Groups({"baseline": bundle_of(tmp_path / "old"), "run": lost})
    judgements = judge_rule(groups, Rule.parse("uvloop hello p99 +10%"), "baseline", "run")
    assert outcomes(judgements) == [outcome, outcome]
    assert f"the run has no such figure: {why}: " in judgements[0].summary


def test_one_repeat_is_undecided(tmp_path: Path) -> None:
    wanted = matrix(models=[*COSTS], repeats=1)
    bundles = {name: bundle_of(tmp_path / name, wanted) for name in ("baseline", "run")}
    judgements = judge_rule(Groups(bundles), Rule.parse("uvloop hello cpu +10%"), "baseline", "run")
    assert outcomes(judgements) == [UNDECIDED, UNDECIDED]
    assert "--repeats 3" in judgements[0].summary


def test_broken_comes_before_undecided_before_kept() -> None:
    assert status_of([KEPT, UNDECIDED, BROKEN, UNDECIDED]) == 1
    assert status_of([KEPT, UNDECIDED]) == 4
    assert status_of([KEPT]) == 0


@pytest.mark.parametrize(
    ("rule", "expected"),
    [
        ("uvloop hello p99", "expected a rule such as 'uvloop hello p99 \\+10%'"),
        ("uvloop bye p99 +10%", "expected a scenario, one of hello,"),
        ("uvloop hello p42 +10%", "expected a metric, one of p50,"),
        ("uvloop hello p99 -10%", "expected a plus, since more is worse"),
        ("uvloop wait rate +10%", "expected a minus, since less is worse"),
        ("uvloop wait rate -100%", "expected less than 100 %"),
    ],
)
def test_an_invalid_rule_is_refused_with_the_expected_form(rule: str, expected: str) -> None:
    with pytest.raises(ValueError, match=expected):
        Rule.parse(rule)


# -- from the command line -------------------------------------------------------------------------


def test_an_undecided_rule_exits_with_4_and_a_broken_rule_with_1(tmp_path: Path) -> None:
    old, new = (
        bundle_of(tmp_path / name, factor=factor, share=0.3).folder
        for name, factor in (("old", 1.0), ("new", 1.1))
    )
    argv = [*REPORT, str(new), "--baseline", str(old), "--fail-if", "uvloop hello cpu 1000 +5%"]
    ended = run(argv)
    assert ended.returncode == 4, ended.stdout + ended.stderr
    assert re.search(r"^undecided: uvloop hello cpu 1000 \+5%", ended.stdout, re.MULTILINE)
    slow = make_bundle(tmp_path / "slow", matrix(models=[*COSTS]), bound(rate_hz=500.0))
    argv[len(REPORT)] = str(slow)
    assert run(argv).returncode == 1
    # One rule broken, one undecided: broken wins.
    ended = run([*argv, "--fail-if", "uvloop hello memory +0.1%"])
    assert ended.returncode == 1, ended.stdout


def here(folder: Path, **options: Any) -> Path:
    """Return a bundle as this machine would make it."""
    about = describe_run("loadtest", {}, ())
    kept = {name: about[name] for name in ("kernel", "cpu", "memory_bytes", "limits")}
    wanted = matrix(models=[*COSTS], **options)
    halves = asdict(Cores.halves())
    return bundle_of(folder, wanted, cores=halves, **kept).folder


AS_HERE = [
    *COMPARE, "--models", "uvloop,asyncio", "--scenarios", "hello", "--connections", "10,1000",
    "--loads", "rate", "--duration", "4", "--warmup", "1", "--load-cores", "", "--repeats", "2",
]  # fmt: skip
RULE = "uvloop hello cpu +10%"


@pytest.mark.parametrize(
    ("options", "rule", "expected"),
    [
        (None, RULE, "expected the folder of a comparison"),
        ({"duration_s": 9.0}, RULE, "different duration: 9.0 in the baseline, 4.0 in this run"),
        ({"scenarios": ["wait"]}, RULE, "expected a rule about cells of the baseline|scenarios"),
        ({"cpu": "Another CPU"}, RULE, "different machine: CPU: Another CPU in the baseline"),
        ({}, "gevent hello cpu +10%", "expected a contender of this run, one of asyncio,uvloop"),
        ({}, "uvloop wait cpu +10%", "expected a rule about cells of this run"),
        ({}, "uvloop hello cpu 64 +10%", "expected a rule about cells of this run"),
        ({}, "uvloop hello rate -10%", "expected a rule about cells of this run"),
    ],
)
def test_an_unsuitable_baseline_or_rule_is_refused_before_any_measurement(
    tmp_path: Path, options: dict[str, Any] | None, rule: str, expected: str
) -> None:
    baseline = tmp_path / "old"
    if options is not None:
        about = {name: options.pop(name) for name in ("cpu",) if name in options}
        path = here(baseline, **options)
        if about:
            text = (path / "run.json").read_text("utf-8")
            (path / "run.json").write_text(
                re.sub(r'"cpu": "[^"]*"', f'"cpu": "{about["cpu"]}"', text), "utf-8"
            )
    argv = [*AS_HERE, "--baseline", str(baseline), "--fail-if", rule, "--out", str(tmp_path / "o")]
    ended = run(argv)
    assert ended.returncode == 2, ended.stdout + ended.stderr
    assert re.search(expected, ended.stderr) and ended.stderr.count("\n") == 1
    assert not (tmp_path / "o").exists()


def test_report_refuses_a_rule_that_covers_no_cell_before_it_draws(tmp_path: Path) -> None:
    old, new = (bundle_of(tmp_path / name).folder for name in ("old", "new"))
    for rule in ("gevent hello p99 +10%", "uvloop wait p99 +10%", "uvloop hello p99 64 +10%"):
        ended = run([*REPORT, str(new), "--baseline", str(old), "--fail-if", rule])
        assert ended.returncode == 2
        assert "of this run" in ended.stderr and ended.stderr.count("\n") == 1
        assert not (new / "report.html").exists()


def test_a_baseline_without_the_figure_is_refused(tmp_path: Path) -> None:
    wanted = matrix(models=[*COSTS])
    old = make_bundle(tmp_path / "old", wanted, bound(generator_busy=0.95))
    new = bundle_of(tmp_path / "new").folder
    ended = run([*REPORT, str(new), "--baseline", str(old), "--fail-if", RULE])
    assert ended.returncode == 2
    assert "expected a baseline with CPU per request of uvloop in hello" in ended.stderr
    assert "generator-bound" in ended.stderr


def test_the_stored_run_can_decide_the_documented_rule() -> None:
    document = (ROOT / "docs" / "measuring.md").read_text("utf-8")
    (line,) = (line for line in document.splitlines() if "--fail-if" in line)
    words = shlex.split(line, comments=True)
    rule = Rule.parse(words[words.index("--fail-if") + 1])
    (bundle,) = stored_page().groups.bundles.values()
    groups = Groups({"baseline": bundle, "run": bundle})
    judgements = judge_rule(groups, rule, "baseline", "run")
    assert judgements and outcomes(judgements) == [KEPT] * len(judgements)
