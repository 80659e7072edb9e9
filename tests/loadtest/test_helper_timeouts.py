"""Helper processes that stop responding: each wait for one is limited, and ends with a reason."""

import os
import signal
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import pytest

from loadtest.running import calibration, fork_server
from loadtest.running.fork_server import locust_fork_server
from loadtest.running.target import CellError
from tests.support.running import DEADLINE_S

CORES = sorted(os.sched_getaffinity(0))
LIMIT_S = 0.5

Within = Callable[[float], object]


@pytest.fixture
def within() -> Iterator[Within]:
    """Return a function that limits a test's time, by TimeoutError."""

    def late(*_: object) -> None:
        raise TimeoutError("still waiting")

    before = signal.signal(signal.SIGALRM, late)
    yield partial(signal.setitimer, signal.ITIMER_REAL)
    signal.setitimer(signal.ITIMER_REAL, 0)
    signal.signal(signal.SIGALRM, before)


def test_a_fork_server_that_hangs_ends_the_cell_with_a_reason(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, within: Within
) -> None:
    with locust_fork_server(CORES, tmp_path / "forks.log") as locust:
        os.kill(locust._process.pid, signal.SIGSTOP)
        monkeypatch.setattr(fork_server, "IMPORT_LIMIT_S", LIMIT_S)
        within(DEADLINE_S)
        with (
            pytest.raises(CellError, match=r"forks Locust has not answered for 0\.5 s"),
            locust.running(["locust", "--version"], tmp_path / "first.log"),
        ):
            pass
        # A late answer must not be taken for the next cell's.
        with (
            pytest.raises(CellError, match="forks Locust has ended"),
            locust.running(["locust", "--version"], tmp_path / "second.log"),
        ):
            pass


def test_a_proof_server_that_does_not_end_fails_the_cell(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(calibration, "STOP_S", LIMIT_S)
    with (
        pytest.raises(CellError, match=r"the proof server had not ended after 0\.5 s"),
        calibration.proof_server("plain", CORES, tmp_path) as served,
    ):
        os.kill(served.process.pid, signal.SIGSTOP)
