"""Runs beside each other: unlike ones are refused, and a gate judges one by another."""

import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from loadtest.analysis.bundle import BundleError, read_bundle
from loadtest.analysis.gate import Judgement, Rule, judge_rule
from loadtest.analysis.groups import Groups
from loadtest.analysis.likeness import refuse_unlike
from loadtest.compare.matrix import CellPlan
from tests.bundles import Cell, make_bundle, matrix
from tests.costs import COSTS, bundle_of

# -- runs beside each other ------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "about", "field"),
    [
        ({"scenarios": ["wait"]}, {}, "scenarios"),
        ({"connections": [10]}, {}, "connections"),
        ({"rate_hz": 100.0}, {}, "rate"),
        ({"duration_s": 9.0}, {}, "duration"),
        ({"warmup_s": 9.0}, {}, "warm-up"),
        ({"path": "/heavy"}, {}, "path"),
        ({}, {"limits": {"descriptors": [1024, 1024]}}, "limit of descriptors"),
        ({}, {"cpu": "Another CPU"}, "machine: CPU"),
        ({}, {"kernel": "5.0"}, "machine: kernel"),
        ({}, {"memory_bytes": 2**30}, "machine: memory"),
    ],
)
def test_runs_that_are_unlike_are_refused_by_the_field(
    tmp_path: Path, options: dict[str, Any], about: dict[str, Any], field: str
) -> None:
    one = bundle_of(tmp_path / "one")
    other = bundle_of(tmp_path / "other", matrix(models=[*COSTS], **options), **about)
    with pytest.raises(BundleError, match=f"different {field}.*--anyway"):
        refuse_unlike([one, other])


def test_commit_and_versions_may_differ(tmp_path: Path) -> None:
    one = bundle_of(tmp_path / "one")
    other = bundle_of(tmp_path / "other", commit="fedcba", versions={"python": "3.13.1"})
    refuse_unlike([one, other])


# -- the gate --------------------------------------------------------------------------------------


def judged(tmp_path: Path, factor: float, rule: str, share: float = 0.02) -> list[Judgement]:
    groups = Groups(
        {
            "baseline": bundle_of(tmp_path / "old", share=share),
            "run": bundle_of(tmp_path / "new", factor=factor, share=share),
        }
    )
    return judge_rule(groups, Rule.parse(rule), "baseline", "run")


def test_a_number_that_is_worse_by_more_than_allowed_breaks_the_rule(tmp_path: Path) -> None:
    judgements = judged(tmp_path, 1.3, "uvloop hello cpu +10%")
    assert [one.broken for one in judgements] == [True, True]  # with 10 connections, with 1,000
    assert re.search(r"1,000 connections, rate\): .* µs, \+[23]\d\.\d%", judgements[1].said)


def test_one_number_of_connections_can_be_meant(tmp_path: Path) -> None:
    assert len(judged(tmp_path, 1.3, "uvloop hello cpu 1000 +10%")) == 1


def test_worse_but_by_no_more_than_allowed_is_kept(tmp_path: Path) -> None:
    assert [one.broken for one in judged(tmp_path, 1.3, "uvloop hello cpu +50%")] == [False] * 2


def test_better_is_never_broken(tmp_path: Path) -> None:
    assert [one.broken for one in judged(tmp_path, 0.5, "uvloop hello p99 +10%")] == [False] * 2


def test_worse_within_the_noise_is_no_detectable_difference(tmp_path: Path) -> None:
    judgements = judged(tmp_path, 1.15, "uvloop hello cpu +10%", share=0.3)
    assert [one.broken for one in judgements] == [False, False]
    assert "no detectable difference" in judgements[0].said


def test_what_cannot_be_judged_has_not_been_kept(tmp_path: Path) -> None:
    def cell_of(cell: CellPlan) -> Cell:
        return replace(COSTS[cell.contender], generator_busy=0.95)

    wanted = matrix(models=[*COSTS])
    bound = read_bundle(make_bundle(tmp_path / "bound", wanted, cell_of))
    groups = Groups({"baseline": bundle_of(tmp_path / "old"), "run": bound})
    judgements = judge_rule(groups, Rule.parse("uvloop hello p99 +10%"), "baseline", "run")
    assert [one.broken for one in judgements] == [True, True]
    assert "its cells are generator-bound" in judgements[0].said


@pytest.mark.parametrize(
    ("rule", "expected"),
    [
        ("uvloop hello p99", "expected such as 'uvloop hello p99 \\+10%'"),
        ("uvloop bye p99 +10%", "expected a scenario out of hello,"),
        ("uvloop hello p42 +10%", "expected a metric out of p50,"),
        ("uvloop hello p99 -10%", "expected \\+, since more of it is worse"),
        ("uvloop wait rate +10%", "expected -, since less of it is worse"),
    ],
)
def test_a_rule_that_is_none_says_what_was_expected(rule: str, expected: str) -> None:
    with pytest.raises(ValueError, match=expected):
        Rule.parse(rule)


def test_a_rule_on_what_nobody_measured_is_a_mistake(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="expected cells for 'gevent hello p99 \\+10%', got none"):
        judged(tmp_path, 1.0, "gevent hello p99 +10%")
