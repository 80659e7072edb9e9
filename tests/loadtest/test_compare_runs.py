"""python -m loadtest compare on small matrices: shares, targets, failures, Ctrl-C, resuming."""

import json
import signal
import sys
from pathlib import Path

import pytest

from loadtest.bundle.alive import HEARTBEAT
from loadtest.bundle.plan import CellPlan
from loadtest.bundle.read import read_bundle
from loadtest.bundle.state import INTERRUPTED, RUNNING
from loadtest.compare.shares import capacity_hz
from loadtest.report.style import looks
from servers.counting.process_tree import children_of
from tests.support.bundles import Cell, make_bundle, matrix
from tests.support.commands import LIMIT_S, folder_of, run, started
from tests.support.running import DEADLINE_S, Server, process_is_gone, wait_until

COMPARE = [sys.executable, "-m", "loadtest", "compare"]
QUICK = ["--repeats", "1", "--duration", "0.5", "--warmup", "0.2"]


def test_shares_are_of_the_capacity_in_the_first_round(tmp_path: Path) -> None:
    argv = [*COMPARE, "--models", "asyncio", "--scenarios", "wait", "--connections", "4"]
    ended = run([*argv, *QUICK, "--shares", "50", "--out", str(tmp_path)])
    assert ended.returncode == 0, ended.stderr
    bundle = read_bundle(folder_of(ended.stdout))
    results = {cell.name: result for cell, result in bundle.cells.items()}
    (share,) = (cell for cell in bundle.cells if cell.load == "share-50")
    capacity = capacity_hz(share, results)
    assert results[share.name].rate_wanted_hz == pytest.approx(capacity / 2, rel=0.01)


def test_a_model_is_compared_with_itself_in_several_processes(tmp_path: Path) -> None:
    argv = [*COMPARE, "--models", "asyncio", "--workers", "1,3x", "--server-cores", "0"]
    argv += ["--load-cores", "1", "--scenarios", "wait", "--connections", "4", "--loads", "rate"]
    ended = run([*argv, *QUICK, "--out", str(tmp_path)], WEB_CONCURRENCY="7")
    assert ended.returncode == 0, ended.stderr
    folder = folder_of(ended.stdout)
    processes = {
        cell.contender: {sample["server"]["processes"] for sample in observed(folder, cell.name)}
        for cell in read_bundle(folder).cells
    }
    assert processes == {"asyncio": {1}, "asyncio.x3": {1 + 3}}
    look, other = looks(processes).values()
    assert look != other


def observed(folder: Path, name: str) -> list[dict[str, dict[str, float]]]:
    """Return the samples of a cell."""
    samples: list[dict[str, dict[str, float]]]
    samples = json.loads((folder / name / "observation.json").read_text("utf-8"))["samples"]
    return samples


@pytest.mark.parametrize(("server_busy", "capacity"), [(0.97, 120.0), (0.2, 2000 / 0.4)])
def test_a_capacity_is_a_ceiling_of_the_server_or_projected(
    tmp_path: Path, server_busy: float, capacity: float
) -> None:
    # Flat out 120 a second; at a held rate of 2,000 a second 40 % of a core were used.
    def cell_of(cell: CellPlan) -> Cell:
        if cell.load == "flat-out":
            return Cell(rate_hz=120.0, server_busy=server_busy)
        return Cell(server_busy=0.4)

    wanted = matrix(loads=["rate", "flat-out"], flat_out_all=True, connections=[10])
    cells = read_bundle(make_bundle(tmp_path / "run", wanted, cell_of)).cells
    results = {cell.name: result for cell, result in cells.items()}
    share = CellPlan("hello", 10, "share-50", "uvloop", 1)
    assert capacity_hz(share, results) == pytest.approx(capacity, rel=0.01)


def test_running_servers_are_compared_by_their_names(tmp_path: Path, any_server: Server) -> None:
    assert any_server.http is not None
    url = f"http://{any_server.http[0]}:{any_server.http[1]}"
    argv = [*COMPARE, "--target", f"left={url}", "--target", f"right={url}", "--scenarios", "get"]
    ended = run([*argv, "--connections", "5", "--rate", "50", *QUICK, "--out", str(tmp_path)])
    assert ended.returncode == 0, ended.stderr
    cells = read_bundle(folder_of(ended.stdout)).cells
    assert {cell.contender for cell in cells} == {"left", "right"}
    assert {result.target for result in cells.values()} == {"left", "right"}
    assert all(result.rate_wanted_hz == 50 for result in cells.values())


def test_a_cell_that_cannot_run_is_printed_and_makes_the_exit_status_1(tmp_path: Path) -> None:
    argv = [*COMPARE, "--models", "asyncio", "--scenarios", "hello,echo", "--connections", "1"]
    # An address of the block for documentation (RFC 5737): no machine has it.
    ended = run([*argv, *QUICK, "--out", str(tmp_path)], SERVERS_BIND="192.0.2.1")
    assert ended.returncode == 1
    assert ended.stderr.count("cannot listen on 192.0.2.1") == 4  # each, and its twin
    assert "\necho-1-rate-asyncio-1 not run: the server is not ready: " in ended.stderr
    assert (folder_of(ended.stdout) / "run.json").exists()


def test_sigterm_keeps_finished_cells_and_leaves_no_process(tmp_path: Path) -> None:
    interrupt(tmp_path, signal.SIGTERM)


def test_ctrl_c_keeps_finished_cells_leaves_no_process_and_can_be_resumed(
    tmp_path: Path,
) -> None:
    folder = interrupt(tmp_path, signal.SIGINT)
    first = next(folder.glob("hello-*/cell.json"))
    before = first.stat().st_mtime_ns
    ended = run([*COMPARE, "--resume", str(folder)])
    assert ended.returncode == 0, ended.stderr
    assert ended.stderr.startswith("2 cells, about ")
    assert first.stat().st_mtime_ns == before
    assert len(read_bundle(folder).cells) == 3


def interrupt(tmp_path: Path, signum: signal.Signals) -> Path:
    """Return the folder of a run that was interrupted in its second cell."""
    argv = [*COMPARE, "--models", "forking,asyncio", "--scenarios", "hello", *QUICK]
    with started([*argv, "--connections", "50", "--out", str(tmp_path)]) as process:
        wait_until(lambda: len([*tmp_path.glob("*/hello-*")]) == 2, "the second cell", LIMIT_S)
        pids = children_of(process.pid)
        process.send_signal(signum)
        output, errors = process.communicate(timeout=DEADLINE_S)
    assert process.returncode == 130, errors
    assert "Traceback" not in errors
    wait_until(lambda: all(map(process_is_gone, pids)), "an end of all processes")
    folder = folder_of(output)
    bundle = read_bundle(folder)
    assert bundle.state.state == INTERRUPTED
    assert len(bundle.cells) == 1
    return folder


def test_after_sigkill_the_run_counts_as_interrupted_and_no_process_is_left(tmp_path: Path) -> None:
    argv = [*COMPARE, "--models", "asyncio", "--scenarios", "hello", *QUICK]
    with started([*argv, "--connections", "5", "--out", str(tmp_path)]) as process:
        wait_until(lambda: len([*tmp_path.glob("*/hello-*")]) == 2, "the second cell", LIMIT_S)
        (folder,) = tmp_path.iterdir()
        assert read_bundle(folder).state.state == RUNNING
        pids = children_of(process.pid)
        process.kill()  # a zombie now: nothing has waited for it
        wait_until(lambda: read_bundle(folder).state.state == INTERRUPTED, "an end of the run")
        wait_until(lambda: all(map(process_is_gone, pids)), "an end of all processes")
    assert len(read_bundle(folder).cells) == 1
    assert (folder / HEARTBEAT).exists()


def test_a_run_of_other_versions_cannot_be_resumed(tmp_path: Path) -> None:
    folder = make_bundle(tmp_path / "run", matrix(), lambda cell: None, state=INTERRUPTED)
    ended = run([*COMPARE, "--resume", str(folder)])
    assert ended.returncode == 2
    assert ended.stderr.count("\n") == 1 and "begin a new run" in ended.stderr


def test_only_a_comparison_can_be_resumed(tmp_path: Path) -> None:
    for folder in (tmp_path, tmp_path / "none"):
        ended = run([*COMPARE, "--resume", str(folder)])
        assert ended.returncode == 2
        why = f"expected the folder of a comparison, got {folder}: no run.json (No such file or"
        assert f"compare: {why}" in ended.stderr
