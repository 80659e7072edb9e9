"""Every question is answered with the load that was asked for, even where contenders fail."""

from collections.abc import Callable, Mapping
from dataclasses import asdict, replace
from pathlib import Path

import pytest

from loadtest.analysis.findings import Finding
from loadtest.analysis.metrics import failed
from loadtest.bundle.plan import CellPlan
from loadtest.bundle.read import read_bundle
from loadtest.bundle.state import FINISHED, State
from loadtest.bundle.write import write_cell
from loadtest.measure.verdict import Verdict
from loadtest.report import words
from loadtest.report.command import show
from loadtest.report.markdown import headline
from loadtest.report.overview import overview_chart
from loadtest.report.page import Page
from loadtest.report.svg import drawn
from tests.support.bundles import Cell, make_bundle, matrix, observation
from tests.support.costs import COSTS, SMALL_CPU, SMALL_P99, bundle_of

MODELS = [*COSTS]
Behaviour = Callable[[CellPlan], Cell | None]


def page_of(folder: Path, cell_of: Behaviour, failed: Mapping[str, str] | None = None) -> Page:
    wanted = matrix(models=MODELS)
    read = read_bundle(make_bundle(folder, wanted, cell_of))
    total = len(wanted.cells())
    State(FINISHED, done=total, total=total, failed=dict(failed or {})).write(folder)
    return Page({"run": read_bundle(read.folder)})


def cpu_findings(page: Page) -> list[Finding]:
    return [finding for finding in page.findings if finding.question.title == SMALL_CPU]


def cannot(connections: int, *models: str, repeats: tuple[int, ...] = (1, 2, 3)) -> Behaviour:
    """Return cells in which some models do not hold the rate with a number of connections."""

    def cell_of(cell: CellPlan) -> Cell:
        own = COSTS[cell.contender]
        late = cell.contender in models and cell.repeat in repeats and not cell.twin
        return replace(own, rate_hz=500.0) if late and cell.connections == connections else own

    return cell_of


def names(finding: Finding) -> tuple[list[str], list[str]]:
    return (
        [row.group.key.contender for row in finding.ranked],
        [row.group.key.contender for row in finding.unranked],
    )


@pytest.mark.parametrize("repeats", [(1, 2, 3), (1, 3)])
def test_a_model_that_fails_with_most_connections_is_listed_with_the_reason(
    tmp_path: Path, repeats: tuple[int, ...], capsys: pytest.CaptureFixture[str]
) -> None:
    page = page_of(tmp_path / "run", cannot(1000, "uvloop", repeats=repeats))
    (finding,) = cpu_findings(page)
    assert finding.connections == 1000
    assert names(finding) == (["asyncio", "forking"], ["uvloop"])
    why = "rate-not-held: 25.00% of the due requests had a reply in time"
    (row,) = (line for line in headline(page) if SMALL_CPU in line)
    assert "1,000 connections" in row and f"~~uvloop 60 µs~~ {why}" in row
    assert f"<s>uvloop 60 µs</s> <small>{why}" in page.served
    show(page)
    assert "not ranked: uvloop 60 µs" in capsys.readouterr().out


def test_one_late_cell_of_two_does_not_move_the_question_to_fewer_connections(
    tmp_path: Path,
) -> None:
    def cell_of(cell: CellPlan) -> Cell:
        late = cell.name == "hello-1000-rate-uvloop-2"
        return replace(COSTS[cell.contender], generator_busy=0.95 if late else 0.3)

    folder = make_bundle(tmp_path / "run", matrix(models=MODELS, repeats=2), cell_of)
    (finding,) = cpu_findings(Page({"run": read_bundle(folder)}))
    assert finding.connections == 1000
    assert names(finding) == (["uvloop", "asyncio", "forking"], [])


def silent_with_1000(folder: Path, models: list[str]) -> Page:
    """Return a run in which some models send no reply on 1,000 connections."""
    wanted = matrix(models=MODELS)
    make_bundle(folder, wanted, lambda cell: COSTS[cell.contender])
    for cell in wanted.cells():
        if cell.contender in models and cell.connections == 1000:
            observed = observation(wanted, cell, COSTS["uvloop"])
            silent = replace(observed, trouble="0 of 1000 had a reply", window_s=0.0, records=[])
            write_cell(folder / cell.name, silent)
    return Page({"run": read_bundle(folder)})


def test_a_silent_model_does_not_win_with_fewer_connections(tmp_path: Path) -> None:
    (finding,) = cpu_findings(silent_with_1000(tmp_path / "run", ["uvloop"]))
    assert finding.connections == 1000
    assert names(finding) == (["asyncio", "forking"], ["uvloop"])
    assert "0 of 1000 had a reply" in finding.unranked[0].why


def test_a_question_without_any_answer_is_followed_by_fewer_connections(tmp_path: Path) -> None:
    first, second = cpu_findings(silent_with_1000(tmp_path / "run", MODELS))
    assert first.connections == 1000 and names(first) == ([], MODELS)
    assert second.connections == 10 and names(second) == (["uvloop", "asyncio", "forking"], [])


def test_the_best_with_few_connections_does_not_win_where_it_fails(tmp_path: Path) -> None:
    page = page_of(tmp_path / "run", cannot(1000, "uvloop"))
    for finding in page.findings:
        assert finding.connections == 1000
        assert "uvloop" not in {row.group.key.contender for row in finding.winners}


def test_the_only_model_that_carries_the_load_wins(tmp_path: Path) -> None:
    page = page_of(tmp_path / "run", cannot(1000, "forking", "asyncio"))
    (finding,) = cpu_findings(page)
    assert finding.connections == 1000
    assert names(finding) == (["uvloop"], ["forking", "asyncio"])
    (row,) = (line for line in headline(page) if SMALL_CPU in line)
    assert "| no other contender carried the load |" in row


def test_a_load_that_no_model_carries_is_followed_by_fewer_connections(
    tmp_path: Path,
) -> None:
    page = page_of(tmp_path / "run", cannot(1000, *MODELS))
    first, second = cpu_findings(page)
    assert first.connections == 1000 and names(first) == ([], MODELS)
    assert second.connections == 10 and names(second) == (["uvloop", "asyncio", "forking"], [])
    rows = [line for line in headline(page) if SMALL_CPU in line]
    assert "| no contender could be ranked |" in rows[0]
    assert "No contender could be ranked" in page.served


def test_a_model_whose_cells_could_not_be_run_is_listed_with_the_reason(tmp_path: Path) -> None:
    lost = [
        c
        for c in matrix(models=MODELS).cells()
        if (c.contender, c.connections) == ("forking", 1000)
    ]
    page = page_of(
        tmp_path / "run",
        lambda cell: None if cell in lost else COSTS[cell.contender],
        {cell.name: "the server is not ready: no memory" for cell in lost},
    )
    (finding,) = cpu_findings(page)
    assert finding.connections == 1000
    assert names(finding) == (["uvloop", "asyncio"], ["forking"])
    (row,) = (line for line in headline(page) if SMALL_CPU in line)
    assert "~~forking~~ could not be run: the server is not ready: no memory" in row


def test_a_cell_still_to_be_run_is_no_failure(tmp_path: Path) -> None:
    page = page_of(
        tmp_path / "run",
        lambda cell: None if cell.contender == "forking" else COSTS[cell.contender],
    )
    (finding,) = cpu_findings(page)
    assert names(finding) == (["uvloop", "asyncio"], [])


def test_a_generator_bound_contender_leaves_the_winner_open(tmp_path: Path) -> None:
    def cell_of(cell: CellPlan) -> Cell:
        busy = 0.95 if cell.contender == "uvloop" else 0.3
        return replace(COSTS[cell.contender], generator_busy=busy)

    page = page_of(tmp_path / "run", cell_of)
    (row,) = (line for line in headline(page) if SMALL_CPU in line)
    assert "| yes, among ranked contenders (noise " in row


def test_the_chart_has_a_cross_for_each_unranked_contender(tmp_path: Path) -> None:
    page = page_of(tmp_path / "run", cannot(1000, "uvloop", "forking"))
    chart = overview_chart(page.builder, page.findings)
    crosses = [trace for trace in chart.traces if trace["marker"]["symbol"] == "x"]
    assert {trace["meta"]["contender"] for trace in crosses} == {"uvloop", "forking"}
    rightmost = max(x for t in chart.traces if t not in crosses for x in t["x"])
    assert all(x > rightmost for trace in crosses for x in trace["x"])
    assert "uvloop: rate-not-held" in drawn(chart)


def test_the_svg_has_every_mark_and_every_question(tmp_path: Path) -> None:
    page = page_of(tmp_path / "run", cannot(1000, "uvloop"))
    chart = overview_chart(page.builder, page.findings)
    assert asdict(chart)["layout"]["yaxis"]["categoryarray"]
    svg = drawn(chart)
    assert svg == drawn(chart)
    marks = sum(len(trace["x"]) for trace in chart.traces)
    legend = len({trace["name"] for trace in chart.traces if trace.get("showlegend", True)}) + 1
    assert svg.count("<title>") == 1 + marks + legend
    for finding in page.findings:
        assert f">{finding.question.title}</text>" in svg


@pytest.mark.parametrize(
    ("name", "fails"),
    [
        ("rate-not-held", True), ("errors", True), ("some-new-name", True), ("ok", False),
        ("generator-bound", False), ("invalid", False),
    ],
)  # fmt: skip
def test_an_unranked_verdict_that_is_not_the_meters_is_a_failure(
    tmp_path: Path, name: str, fails: bool
) -> None:
    wanted = matrix(models=["uvloop"], connections=[10], repeats=1)
    bundle = read_bundle(make_bundle(tmp_path / "run", wanted, lambda cell: Cell()))
    for result in bundle.cells.values():
        assert failed(replace(result, verdict=Verdict(name, ""))) == fails


def test_every_contender_of_a_tie_has_its_own_figure(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    page = Page({"run": bundle_of(tmp_path / "run")})
    (finding,) = (one for one in page.findings if one.question.title == SMALL_P99)
    tied = words.best(page.builder, finding)
    assert {one.name for one in tied} == {"asyncio", "uvloop"}
    assert len({one.figure for one in tied}) == 2
    (row,) = (line for line in headline(page) if SMALL_P99 in line)
    assert "<br>".join(f"{name} {figure}" for name, figure in tied) in row
    assert "next differs; first two tied (noise ±" in row
    for name, figure in tied:
        assert f"<b>{name}</b> {figure}</span>" in page.served
    monkeypatch.setenv("COLUMNS", "200")  # no cell wraps
    show(page)
    printed = capsys.readouterr().out
    for name, figure in tied:
        assert f"{name} {figure}" in printed


@pytest.mark.parametrize(("floor", "text"), [(1.23, "(noise ±23%)"), (3.48, "(noise up to 3.48×)")])
def test_noise_above_100_percent_is_printed_as_a_factor(
    tmp_path: Path, floor: float, text: str
) -> None:
    (finding,) = cpu_findings(page_of(tmp_path / "run", lambda cell: COSTS[cell.contender]))
    rows = [replace(row, noise=floor) for row in finding.rows]
    assert words.significance(replace(finding, rows=rows)).endswith(text)
