"""With nothing to compare, a report has the figures, or the reason why there are none."""

import sys
from dataclasses import replace
from pathlib import Path

import pytest

from loadtest.bundle.read import read_bundle
from loadtest.bundle.write import write_cell
from loadtest.report.figures import without_figures
from loadtest.report.page import Page
from tests.support.bundles import Cell, make_bundle, matrix, observation
from tests.support.commands import run

REPORT = [sys.executable, "-m", "loadtest", "report"]


def one_contender(folder: Path, cell: Cell) -> Path:
    return make_bundle(folder, matrix(models=["uvloop"]), lambda _: cell)


def all_silent(folder: Path) -> Path:
    """Return a bundle of two contenders that never replied."""
    wanted = matrix(connections=[10])
    make_bundle(folder, wanted, lambda _: Cell())
    for cell in wanted.cells():
        observed = observation(wanted, cell, Cell())
        silent = replace(observed, trouble="0 of 10 had a reply", window_s=0.0, records=[])
        write_cell(folder / cell.name, silent)
    return folder


def test_the_figures_of_one_contender_are_printed_and_written(tmp_path: Path) -> None:
    bundle = one_contender(tmp_path / "run", Cell(cpu_us=123.0, memory_kib=45.0))
    ended = run([*REPORT, str(bundle)])
    assert ended.returncode == 0, ended.stderr
    text = (bundle / "report.md").read_text("utf-8")
    for output in (ended.stdout, text):
        assert "CPU per request, µs" in output and "uvloop" in output
        assert " 123 " in output and "2,000/s" in output
    assert "significant?" not in ended.stdout + text
    html = (bundle / "report.html").read_text("utf-8")
    assert "the figures of each cell" in html and "<details open>" in html


def test_unranked_figures_have_their_reason_beside_them(tmp_path: Path) -> None:
    bundle = one_contender(tmp_path / "run", Cell(rate_hz=500.0))
    ended = run([*REPORT, str(bundle)])
    assert ended.returncode == 0, ended.stderr  # whatever the verdict: there are figures
    words = " ".join(ended.stdout.replace("│", " ").split())
    assert "3 × rate-not-held: 25.00% of the due requests" in words


@pytest.mark.parametrize("cell", [Cell(), Cell(rate_hz=500.0), Cell(generator_busy=0.95)])
def test_a_cell_with_figures_is_no_failure_for_any_verdict(tmp_path: Path, cell: Cell) -> None:
    bundle = make_bundle(tmp_path / "run", matrix(), lambda _: cell)
    assert without_figures(Page({"run": read_bundle(bundle)})) == ""


def test_a_run_of_failures_only_exits_with_1_and_the_reason(tmp_path: Path) -> None:
    bundle = all_silent(tmp_path / "run")
    ended = run([*REPORT, str(bundle)])
    assert ended.returncode == 1
    assert "no cell has a figure: invalid: 0 of 10 had a reply (6 of 6 cells)" in ended.stdout
    assert "not ranked: uvloop invalid: 0 of 10 had a reply" in " ".join(
        ended.stdout.replace("│", " ").split()
    )


def test_a_report_of_several_bundles_keeps_their_own_reports(tmp_path: Path) -> None:
    bundles = [make_bundle(tmp_path / name, matrix(), lambda _: Cell()) for name in ("a", "b")]
    for bundle in bundles:
        (bundle / "report.html").write_text("its own")
    ended = run([*REPORT, *map(str, bundles)])
    assert ended.returncode == 0, ended.stderr
    assert [(bundle / "report.html").read_text() for bundle in bundles] == ["its own"] * 2
    (made,) = tmp_path.glob("*-report/report.html")
    assert f"report: {made}" in ended.stdout
    assert run([*REPORT, *map(str, bundles)]).returncode == 0
    assert len([*tmp_path.glob("*-report/report.html")]) == 2


def test_a_refused_report_makes_no_folder(tmp_path: Path) -> None:
    one = make_bundle(tmp_path / "one", matrix(), lambda _: Cell())
    other = make_bundle(tmp_path / "other", matrix(duration_s=9.0), lambda _: Cell())
    assert run([*REPORT, str(one), str(other)]).returncode == 2
    assert sorted(path.name for path in tmp_path.iterdir()) == ["one", "other"]
