"""Whether a run that claims to be running is: by its process and by its heartbeat."""

import os
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import pytest

from loadtest.bundle import alive
from loadtest.bundle.alive import HEARTBEAT, HEARTBEAT_AGE_MAX_S, Runner, this_process
from loadtest.bundle.read import read_about, read_bundle
from loadtest.bundle.state import FINISHED, INTERRUPTED, RUNNING, State
from loadtest.host.machine import write_json
from tests.support.bundles import make_bundle, matrix
from tests.support.running import wait_until

HERE = this_process()
ELSEWHERE = replace(HERE, pid=1 << 22, where="another boot")
OLDER_VERSION = Runner()


def state_of(folder: Path, by: Runner, age_s: float, heart: bool = True) -> str:
    """Return the state of a run that claims to be running, in the name of a process."""
    make_bundle(folder, matrix(), lambda cell: None, state=RUNNING)
    content = {"state": RUNNING, "cell": "a", "done": 1, "total": 3, "left_s": 9.0}
    write_json(folder / "state.json", content | ({"by": vars(by)} if by.pid else {}))
    if not heart:
        (folder / HEARTBEAT).unlink()
    for name in ("state.json", HEARTBEAT):
        if (folder / name).exists():
            os.utime(folder / name, (time.time() - age_s,) * 2)
    state, _ = read_about(folder)
    assert read_bundle(folder).state == state
    return state.state


@pytest.mark.parametrize("by", [HERE, ELSEWHERE, OLDER_VERSION], ids=["here", "elsewhere", "older"])
@pytest.mark.parametrize("heart", [True, False])
def test_an_old_heartbeat_means_interrupted(tmp_path: Path, by: Runner, heart: bool) -> None:
    assert state_of(tmp_path / "a", by, 0.0, heart) == RUNNING
    assert state_of(tmp_path / "b", by, HEARTBEAT_AGE_MAX_S + 1, heart) == INTERRUPTED


def test_a_reused_pid_means_interrupted(tmp_path: Path) -> None:
    reused = replace(HERE, begun_ticks=HERE.begun_ticks - 1)
    assert state_of(tmp_path / "a", reused, 0.0) == INTERRUPTED


def test_a_process_that_ended_means_interrupted_even_as_a_zombie(
    tmp_path: Path,
) -> None:
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as process:
        stat = Path(f"/proc/{process.pid}/stat")
        ticks = int(stat.read_text().rpartition(")")[2].split()[19])
        by = Runner(process.pid, ticks, HERE.where)
        assert state_of(tmp_path / "a", by, 0.0) == RUNNING
        process.kill()
        wait_until(lambda: " Z " in stat.read_text(), "a zombie")
        assert state_of(tmp_path / "b", by, 0.0) == INTERRUPTED
    assert state_of(tmp_path / "c", by, 0.0) == INTERRUPTED


def test_a_finished_run_stays_finished(tmp_path: Path) -> None:
    make_bundle(tmp_path / "a", matrix(), lambda cell: None)
    os.utime(tmp_path / "a" / HEARTBEAT, (0, 0))
    assert read_bundle(tmp_path / "a").state.state == FINISHED


def test_the_heartbeat_continues_during_a_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(alive, "HEARTBEAT_INTERVAL_S", 0.01)
    State().write(tmp_path)
    with alive.beating(tmp_path):
        for _ in range(2):
            os.utime(tmp_path / HEARTBEAT, (0, 0))
            wait_until(lambda: (tmp_path / HEARTBEAT).stat().st_mtime > 0, "a heartbeat")


def test_where_proc_is_hidden_only_the_heartbeat_tells(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(alive, "_BOOT_ID", tmp_path / "none")
    by = this_process()
    assert by.where == ""
    assert state_of(tmp_path / "a", replace(by, pid=1 << 22), 0.0) == RUNNING
    assert state_of(tmp_path / "b", by, HEARTBEAT_AGE_MAX_S + 1) == INTERRUPTED


@pytest.mark.parametrize("pid", [-1, 1 << 40, 1 << 22])
def test_an_impossible_pid_does_no_harm(tmp_path: Path, pid: int) -> None:
    assert state_of(tmp_path / "a", replace(HERE, pid=pid), 0.0) in (RUNNING, INTERRUPTED)
