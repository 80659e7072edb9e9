"""Locust's process reports stages over a pipe and computes a cell's numbers; its parent reads."""

import os
from dataclasses import asdict
from pathlib import Path

import pytest

from loadtest.bundle.read import decoded
from loadtest.control.stages import NO_PARENT, Stage, StageReader, StageWriter
from loadtest.host.cores import Cores
from loadtest.measure import observation, result
from loadtest.running.calibration import load
from loadtest.running.cell import run_target
from loadtest.running.fork_server import locust_fork_server
from loadtest.running.target import CellError, Target
from tests.support.running import Server

IN_ORDER = [Stage.CONNECT, Stage.WARM_UP, Stage.WINDOW, Stage.LAST_REPLIES]


def test_the_parent_reads_stages_and_failures_as_they_were_reported() -> None:
    with StageReader() as reader:
        writer = StageWriter(reader.writing_fd)
        for stage in IN_ORDER:
            writer.enter(stage)
        assert reader.wait(1) == IN_ORDER
        for reason in ("OSError: full", "OSError: full", "stage: window\n"):
            writer.fail(reason)
        assert reader.wait(1) == [] and reader.failures == ["OSError: full", "stage: window\n"]


def test_a_report_cut_by_a_read_is_put_together_again() -> None:
    with StageReader() as reader:
        os.write(reader.writing_fd, b'{"stage": "win')
        assert reader.wait(1) == []
        os.write(reader.writing_fd, b'dow"}\n')
        assert reader.wait(1) == [Stage.WINDOW]


def test_reports_of_one_process_are_not_taken_for_the_next_ones() -> None:
    with StageReader() as reader:
        StageWriter(reader.writing_fd).fail("an old reason")
        os.write(reader.writing_fd, b'{"stage": "win')  # killed in the middle of a line
        reader.begin()
        StageWriter(reader.writing_fd).enter(Stage.CONNECT)
        assert reader.wait(1) == [Stage.CONNECT] and reader.failures == []


def test_a_parent_that_has_ended_or_never_was_stops_no_report() -> None:
    reader, writer = os.pipe()
    os.close(reader)
    StageWriter(writer).enter(Stage.WINDOW)
    os.close(writer)
    StageWriter(NO_PARENT).fail("no process reads this")


@pytest.fixture
def target(any_server: Server) -> Target:
    assert any_server.http is not None
    return Target("x", f"http://{any_server.http[0]}:{any_server.http[1]}")


def test_started_and_forked_locusts_report_every_stage(target: Target, tmp_path: Path) -> None:
    cores, quick = Cores.halves(), load(20.0, 0.3, 2)
    with locust_fork_server(cores.generator, tmp_path / "warm.log") as warm:
        for name, forker in (("started", None), ("forked", warm), ("forked again", warm)):
            folder, stages = tmp_path / name, list[Stage]()
            folder.mkdir()
            run_target(target, quick, cores, folder, stages.append, forker)
            assert stages == IN_ORDER, name


def test_only_locusts_process_computes_the_numbers_of_a_cell(
    target: Target, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def computed_here(*_: object) -> None:
        raise AssertionError("computed a second time")

    monkeypatch.setattr(observation, "read", computed_here)
    monkeypatch.setattr(result, "times_of", computed_here)
    numbers = run_target(target, load(20.0, 0.3, 2), Cores.halves(), tmp_path, lambda _: None)
    assert numbers == decoded(tmp_path / "cell.json", result.Result)
    assert asdict(numbers)["classes"]["Hello"]["requests"] > 0


def test_a_failure_is_reported_where_the_log_ends_with_other_lines(
    target: Target, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "locustfile.py").write_text(
        "import atexit, sys\n"
        "from loadtest import plugin\n"
        "from loadtest.control.test_run import TestRun\n"
        "from loadtest.control.phase_controller import PhaseController\n"
        "from loadtest.scenarios import Hello\n"
        "def boom(*_): raise RuntimeError('boom')\n"
        "PhaseController.open = PhaseController.observation = boom\n"
        "atexit.register(lambda: print('last words', file=sys.stderr))\n"
    )
    monkeypatch.setattr("loadtest.running.cell._LOCUSTFILE", tmp_path / "locustfile.py")
    with pytest.raises(CellError, match=r"^the generator failed: RuntimeError: boom$"):
        run_target(target, load(20.0, 0.3, 2), Cores.halves(), tmp_path, lambda _: None)
