"""Ranking and refusing, on bundles with known numbers."""

import json
import random
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from loadtest.analysis.findings import Finding, Row, findings
from loadtest.analysis.groups import Groups
from loadtest.bundle.plan import CellPlan
from loadtest.bundle.read import Bundle, BundleError, read_bundle
from loadtest.measure.verdict import GENERATOR_BOUND
from loadtest.report.chart import ChartBuilder
from loadtest.report.words import sentence
from servers.registry import MODELS
from tests.support.bundles import Cell, make_bundle, matrix, noisy
from tests.support.costs import COSTS, SMALL_CPU, SMALL_P99, bundle_of


def finding_of(bundle: Bundle, title: str) -> Finding:
    groups = Groups({bundle.id: bundle})
    (one,) = (finding for finding in findings(groups) if finding.question.title == title)
    return one


def names(rows: list[Row]) -> list[str]:
    return [row.group.key.contender for row in rows]


# -- the matrix ----------------------------------------------------------------------------------


def test_contenders_take_turns_and_each_block_has_a_twin() -> None:
    cells = matrix(models=[*COSTS], scenarios=["hello", "wait"]).cells()
    assert len(cells) == len({cell.name for cell in cells}) == 2 * 2 * 3 * 4
    for at in range(0, len(cells), 4):
        block = cells[at : at + 4]
        assert len({(cell.scenario, cell.connections, cell.repeat) for cell in block}) == 1
        assert {cell.contender for cell in block} == {*COSTS}
        assert [cell.twin for cell in block].count(True) == 1
    assert {cell.contender for cell in cells if cell.twin} == {*COSTS}
    assert [cell.repeat for cell in cells] == sorted(cell.repeat for cell in cells)


def test_the_order_is_random_and_reproducible() -> None:
    one, again, other = (matrix(models=[*COSTS], seed=seed).cells() for seed in (1, 1, 2))
    assert one == again != other
    assert [c.contender for c in one[:4]] != [c.contender for c in one[4:8]]


def test_rate_and_flat_out_are_separate_cells() -> None:
    wanted = matrix(scenarios=["wait", "hello"], loads=["rate", "flat-out"], shares=[50])
    loads = {(cell.scenario, cell.connections, cell.load) for cell in wanted.cells()}
    assert ("wait", 10, "flat-out") in loads
    assert ("hello", 10, "flat-out") not in loads  # there the generator would be the limit
    assert {c for _, c, load in loads if load == "share-50"} == {1000}


# -- findings ------------------------------------------------------------------------------------


def test_a_finding_names_the_best_and_the_distance_of_the_next(tmp_path: Path) -> None:
    finding = finding_of(bundle_of(tmp_path / "run"), SMALL_CPU)
    assert names(finding.rows) == ["uvloop", "asyncio", "forking"]
    assert names(finding.winners) == ["uvloop"]
    assert finding.connections == 1000 and finding.rates_hz == (2000, 2000)
    behind = finding.losers[0].ratio
    assert behind is not None and behind.low is not None and behind.high is not None
    assert behind.low <= 100 / 60 * 1.02 and behind.high >= 100 / 60 * 0.98
    assert finding.noise is not None and 1 < finding.noise < 1.2


def test_contenders_within_the_noise_tie(tmp_path: Path) -> None:
    finding = finding_of(bundle_of(tmp_path / "run"), SMALL_P99)
    assert set(names(finding.winners)) == {"asyncio", "uvloop"}
    assert names(finding.losers) == ["forking"]


def test_heavy_noise_makes_all_contenders_tie(tmp_path: Path) -> None:
    finding = finding_of(bundle_of(tmp_path / "run", share=1.0), SMALL_CPU)
    assert finding.losers == []
    assert len(finding.winners) == 3


def test_one_repeat_makes_no_finding_conclusive(tmp_path: Path) -> None:
    wanted = matrix(models=[*COSTS], repeats=1)
    finding = finding_of(bundle_of(tmp_path / "run", wanted), SMALL_CPU)
    assert not finding.is_conclusive
    assert names(finding.ranked) == ["uvloop", "asyncio", "forking"]


def test_a_generator_bound_cell_is_shown_but_not_ranked(tmp_path: Path) -> None:
    def cell_of(cell: CellPlan) -> Cell:
        busy = 0.95 if cell.contender == "uvloop" else 0.3
        return replace(COSTS[cell.contender], generator_busy=busy)

    path = make_bundle(tmp_path / "run", matrix(models=[*COSTS]), cell_of)
    finding = finding_of(read_bundle(path), SMALL_CPU)
    assert names(finding.ranked) == ["asyncio", "forking"]
    last = finding.rows[-1]
    assert last.group.key.contender == "uvloop"
    assert last.verdict == GENERATOR_BOUND
    assert last.unranked_median == pytest.approx(60, rel=0.05)


def test_an_unranked_repeat_does_not_spoil_the_other_repeats(tmp_path: Path) -> None:
    def cell_of(cell: CellPlan) -> Cell:
        return replace(
            COSTS[cell.contender],
            cpu_us=1000.0 if cell.repeat == 2 else COSTS[cell.contender].cpu_us,
            generator_busy=0.95 if cell.repeat == 2 else 0.3,
        )

    path = make_bundle(tmp_path / "run", matrix(models=[*COSTS]), cell_of)
    best = finding_of(read_bundle(path), SMALL_CPU).ranked[0].estimate
    assert best is not None and best.count == 2
    assert best.median == pytest.approx(60, rel=0.05)


def slow_in(rounds: set[int]) -> Callable[[CellPlan], Cell]:
    """Return cells in which uvloop does not hold the rate in some rounds."""

    def cell_of(cell: CellPlan) -> Cell:
        own = COSTS[cell.contender]
        if cell.contender == "uvloop" and cell.repeat in rounds and not cell.twin:
            return replace(own, rate_hz=500.0)
        return own

    return cell_of


def test_one_lucky_repeat_is_no_result(tmp_path: Path) -> None:
    path = make_bundle(tmp_path / "run", matrix(models=[*COSTS]), slow_in({1, 3}))
    finding = finding_of(read_bundle(path), SMALL_CPU)
    assert names(finding.ranked) == ["asyncio", "forking"]
    assert finding.rows[-1].verdict == "rate-not-held / ok"


def test_a_failed_repeat_is_mentioned(tmp_path: Path) -> None:
    bundle = read_bundle(make_bundle(tmp_path / "run", matrix(models=[*COSTS]), slow_in({2})))
    finding = finding_of(bundle, SMALL_CPU)
    assert names(finding.winners) == ["uvloop"]
    assert finding.winners[0].group.share == "2 of 3 repeats"
    assert "2 of 3 repeats" in sentence(ChartBuilder(Groups({"run": bundle})), finding)


def test_a_value_too_small_to_measure_is_not_ranked(tmp_path: Path) -> None:
    def cell_of(cell: CellPlan) -> Cell:
        memory = -5.0 if cell.contender == "uvloop" else 3.0
        return replace(COSTS[cell.contender], memory_kib=memory)

    path = make_bundle(tmp_path / "run", matrix(models=[*COSTS]), cell_of)
    finding = finding_of(read_bundle(path), "Memory per connection")
    assert set(names(finding.ranked)) == {"asyncio", "forking"}


def test_peak_throughput_is_unknown_where_connections_were_the_limit(tmp_path: Path) -> None:
    wanted = matrix(scenarios=["wait"], connections=[10], loads=["flat-out"])
    bundle = read_bundle(
        make_bundle(tmp_path / "run", wanted, lambda cell: Cell(rate_hz=200.0, server_busy=0.1))
    )
    assert findings(Groups({"run": bundle})) == []


def test_equal_contenders_tie_also_when_there_are_many(tmp_path: Path) -> None:
    called = 0
    for seed in range(20):
        wanted = matrix(models=[*MODELS], connections=[10], seed=seed)

        def cell_of(cell: CellPlan, seed: int = seed) -> Cell:
            return noisy(Cell(), random.Random(f"{seed} {cell.name}"), 0.05)

        folder = make_bundle(tmp_path / f"{seed}", wanted, cell_of, seconds=1)
        called += bool(finding_of(read_bundle(folder), SMALL_CPU).losers)
    assert called <= 2


def test_flat_out_cells_and_held_rates_are_never_mixed(tmp_path: Path) -> None:
    wanted = matrix(scenarios=["cpu"], connections=[10], loads=["rate", "flat-out"])

    def cell_of(cell: CellPlan) -> Cell:
        if cell.load == "flat-out":
            return Cell(rate_hz=100.0 if cell.contender == "uvloop" else 90.0, server_busy=0.97)
        return Cell(cpu_us=9000.0)

    bundle = read_bundle(make_bundle(tmp_path / "run", wanted, cell_of))
    finding = finding_of(bundle, "Python in the handler: peak throughput")
    assert finding.metric.name == "rate"
    assert all(row.group.key.load == "flat-out" for row in finding.rows)
    assert [row.estimate and row.estimate.median for row in finding.rows] == [100.0, 90.0]


# -- bundles -------------------------------------------------------------------------------------


def test_an_unreadable_cell_hides_no_other_cell(tmp_path: Path) -> None:
    folder = bundle_of(tmp_path / "run").folder
    paths = sorted(folder.glob("*/cell.json"))
    paths[0].write_bytes(paths[0].read_bytes()[:100])
    paths[1].write_text('{"verdict": "mine"}')
    paths[2].unlink()
    bundle = read_bundle(folder)
    assert len(bundle.cells) == len(paths) - 3
    assert {*bundle.broken} == {path.parent.name for path in paths[:2]}
    assert all("expected" in why and "cell.json" in why for why in bundle.broken.values())


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("run.json", b'{"command": ["'),
        ("run.json", b'{"options": {}}'),
        ("cells.json", b"[1, 2]"),
        ("state.json", b"\xff\xfe"),
        ("run.json", None),
    ],
)
def test_a_broken_bundle_is_refused_by_the_broken_file(
    tmp_path: Path, name: str, content: bytes | None
) -> None:
    folder = bundle_of(tmp_path / "run").folder
    if content is None:
        (folder / name).unlink()
    else:
        (folder / name).write_bytes(content)
    with pytest.raises(BundleError, match=f"expected .*{name}"):
        read_bundle(folder)


def test_unknown_scenarios_are_refused(tmp_path: Path) -> None:
    folder = bundle_of(tmp_path / "run").folder
    about = json.loads((folder / "run.json").read_text())
    about["options"]["scenarios"] = ["hello", "teleport"]
    (folder / "run.json").write_text(json.dumps(about))
    with pytest.raises(BundleError, match=r"expected scenarios of this version .* 'teleport'"):
        read_bundle(folder)


def test_a_plan_cannot_lead_out_of_its_folder(tmp_path: Path) -> None:
    folder = bundle_of(tmp_path / "run").folder
    outside = tmp_path / "x-1-rate-a-1"
    next(folder.glob("*/cell.json")).parent.rename(outside)
    cells = json.loads((folder / "cells.json").read_text())
    cells[0] |= {"scenario": "../x", "connections": 1, "contender": "a", "repeat": 1}
    (folder / "cells.json").write_text(json.dumps(cells))
    assert all(".." not in cell.name for cell in read_bundle(folder).cells)
