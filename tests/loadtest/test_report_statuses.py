"""The exit status of report: 1 if no cell has a figure, 2 if a bundle cannot be read."""

import sys
from collections.abc import Callable
from dataclasses import asdict, replace
from pathlib import Path

import pytest

from loadtest.bundle.plan import CellPlan
from loadtest.bundle.write import write_cell
from loadtest.host.machine import write_json
from loadtest.running.capacity import SEARCH_FILE, SearchPlan
from tests.support.bundles import Cell, make_bundle, matrix, observation
from tests.support.commands import run

REPORT = [sys.executable, "-m", "loadtest", "report"]
CELL = CellPlan("hello", 10, "rate", "uvloop", 1)
WHY = "0 of 10 had a reply"
NAMES = ["hello-10-2000", "hello-10-2000-2"]


def write(folder: Path, spoilt: bool) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    observed = observation(matrix(), CELL, Cell())
    came = {"WrongStatusError": 10}
    silent = replace(observed, trouble=WHY, without_reply=came, window_s=0.0, records=[])
    write_cell(folder, silent if spoilt else observed)


def a_locust(folder: Path, spoilt: bool) -> Path:
    write(folder, spoilt)
    return folder


def a_run(folder: Path, spoilt: bool) -> Path:
    for name in NAMES:
        write(folder / name, spoilt)
    write_json(folder / "run.json", {"command": ["python", "-m", "loadtest", "run", "uvloop"]})
    return folder


def a_search(folder: Path, spoilt: bool) -> Path:
    plan = SearchPlan("p99=50ms", 4000.0, 80_000.0, NAMES)
    write_json(a_run(folder, spoilt) / SEARCH_FILE, asdict(plan))
    return folder


MAKERS = {"run": a_run, "search": a_search, "locust": a_locust}
Make = Callable[[Path, bool], Path]


@pytest.mark.parametrize("make", MAKERS.values(), ids=MAKERS)
def test_a_bundle_without_a_figure_exits_with_1_and_the_reason(tmp_path: Path, make: Make) -> None:
    ended = run([*REPORT, str(make(tmp_path / "spoilt", True))])
    assert ended.returncode == 1, ended.stderr
    assert f"errors: {WHY}" in " ".join(ended.stdout.split())


def test_one_cell_with_a_figure_exits_with_0(tmp_path: Path) -> None:
    folder = a_run(tmp_path / "half", True)
    write(folder / NAMES[1], False)
    assert run([*REPORT, str(folder)]).returncode == 0


def test_a_comparison_without_a_readable_cell_exits_with_1(tmp_path: Path) -> None:
    folder = make_bundle(tmp_path / "run", matrix(), lambda _: Cell())
    for path in folder.glob("*/cell.json"):
        path.write_text("{")
    ended = run([*REPORT, str(folder)])
    assert ended.returncode == 1
    assert "no cell has a figure: none has been measured, or none can be read" in ended.stdout


def nothing(folder: Path) -> Path:
    return folder


def with_broken_cells(folder: Path) -> Path:
    make_bundle(folder, matrix(), lambda _: Cell())
    (folder / "cells.json").write_text("{")
    return folder


def with_a_broken_search(folder: Path) -> Path:
    (a_search(folder, False) / SEARCH_FILE).write_text("{")
    return folder


def without_windows(folder: Path) -> Path:
    plan = SearchPlan("p99=50ms", 4000.0, 80_000.0, [])
    write_json(a_search(folder, False) / SEARCH_FILE, asdict(plan))
    return folder


@pytest.mark.parametrize(
    "make", [nothing, with_broken_cells, with_a_broken_search, without_windows]
)
def test_a_missing_or_broken_bundle_exits_with_2_and_one_line(
    tmp_path: Path, make: Callable[[Path], Path]
) -> None:
    ended = run([*REPORT, str(make(tmp_path / "one"))])
    assert ended.returncode == 2
    assert ended.stderr.count("\n") == 1 and "expected" in ended.stderr


def test_a_missing_run_exits_with_2_and_hides_no_other_run(tmp_path: Path) -> None:
    there, missing = a_run(tmp_path / "there", False), tmp_path / "missing"
    ended = run([*REPORT, str(there), str(missing), "--out", str(tmp_path / "out")])
    assert ended.returncode == 2
    assert ended.stderr.startswith("expected the folder of a run, got")
    for name in ("report.html", "report.md"):
        text = (tmp_path / "out" / name).read_text("utf-8")
        assert "expected the folder of a run" in text and "verdict: ok" in text


def test_the_help_explains_every_exit_status() -> None:
    help_text = run([*REPORT, "--help"]).stdout
    assert "1  no cell has a figure, or a rule is broken\n" in help_text
    assert "2  usage error: a bundle is missing or cannot be read" in help_text
