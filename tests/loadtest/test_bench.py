"""The benchmark in short: real servers, real wrk, few connections."""

import json
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("rich", reason="needs the extra 'bench'")

from loadtest.bench import benchmark, generators
from loadtest.bench import hold as hold_module
from loadtest.bench.__main__ import main
from loadtest.bench.contestants import COMPARISONS, PEERS, Comparison, missing_peers, order
from loadtest.bench.cost import Run, Spread, ratio, requests_in
from loadtest.bench.generators import Sent
from loadtest.bench.hold import hold
from loadtest.bench.holding import Holding
from loadtest.bench.report import verdict
from loadtest.running.target import CellError
from servers.registry import MODELS
from tests.support.running import DEADLINE_S, wait_until

needs_wrk_and_uvicorn = pytest.mark.skipif(
    shutil.which("wrk") is None or bool(missing_peers(["uvicorn"])),
    reason="needs wrk, and uvicorn with httptools and uvloop",
)

ONLY_PEERS = ("--hold=0", "--generator=0")


class Bench:
    """The benchmark in a process of its own; all its descendants carry a mark."""

    def __init__(self, out: Path, *flags: str) -> None:
        self.out = out
        self.mark = f"BENCH_TEST_MARK={out}"
        self.process = subprocess.Popen(
            [sys.executable, "-m", "loadtest.bench", f"--out={out}", *flags],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env={**os.environ, "BENCH_TEST_MARK": str(out)},
            cwd=Path(__file__).parent.parent.parent,
        )

    def ended(self) -> tuple[int, str, str]:
        """Return the exit status and the output; no process may be left."""
        try:
            stdout, stderr = self.process.communicate(timeout=DEADLINE_S)
        finally:
            self.process.kill()
        assert self.marked() == []
        return self.process.returncode, stdout, stderr

    def marked(self) -> list[int]:
        """Return the processes that carry the mark, itself included, without zombies."""
        pids = []
        for process in Path("/proc").glob("[0-9]*"):
            try:
                environment = (process / "environ").read_bytes().split(b"\0")
            except OSError:  # it has ended, or is a zombie
                continue
            if self.mark.encode() in environment:
                pids.append(int(process.name))
        return pids

    def results(self) -> dict[str, Any]:
        """Return bench.json; an empty one before it exists."""
        for path in self.out.glob("*-bench/bench.json"):
            content: dict[str, Any] = json.loads(path.read_text())
            return content
        return {}


@needs_wrk_and_uvicorn
def test_a_round_compares_a_model_with_its_peer(tmp_path: Path) -> None:
    bench = Bench(
        tmp_path, "--models=asyncio", "--rounds=1", "--duration=0.3", "--hold=0", "--generator=0"
    )
    status, stdout, stderr = bench.ended()
    assert status == 0, stdout + stderr
    asyncio, uvicorn = bench.results()["runs"]
    assert (asyncio["name"], uvicorn["name"]) == ("asyncio", "uvicorn")
    for run in (asyncio, uvicorn):
        assert run["requests"] > 10
        assert 0.3 <= run["window_s"] < DEADLINE_S
        assert 0 < run["cpu_s"] <= run["window_s"] * 1.1  # of one core
    [comparison] = bench.results()["ratios"]
    cost = asyncio["cpu_s"] / asyncio["requests"] * uvicorn["requests"] / uvicorn["cpu_s"]
    assert comparison["ratio"]["median"] == pytest.approx(cost)
    assert f"{cost:.3f}" in stdout
    [folder] = tmp_path.iterdir()
    assert json.loads((folder / "run.json").read_text())["options"]["models"] == ["asyncio"]


@needs_wrk_and_uvicorn
def test_ctrl_c_keeps_finished_measurements_and_leaves_no_process(tmp_path: Path) -> None:
    bench = Bench(
        tmp_path, "--models=asyncio", "--rounds=9", "--duration=0.3", "--hold=0", "--generator=0"
    )
    wait_until(lambda: bool(bench.results()), "a first run")
    wait_until(lambda: len(bench.marked()) >= 3, "the next server and its wrk")
    bench.process.send_signal(signal.SIGINT)
    status, stdout, _ = bench.ended()
    assert status == 130
    assert "asyncio" in stdout
    assert "raw results" in stdout
    assert bench.results()["runs"]


def test_ctrl_c_while_forking_holds_leaves_no_process(tmp_path: Path) -> None:
    bench = Bench(tmp_path, "--models=forking", "--rounds=0", "--hold=500", "--generator=0")
    wait_until(lambda: len(bench.marked()) > 50, "children")
    bench.process.send_signal(signal.SIGTERM)
    assert bench.ended()[0] == 130


def test_each_model_holds_connections(
    model: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(hold_module, "SETTLE_S", 0.3)
    answers: list[int] = []
    holding = hold(model, 200, tmp_path, answers.append, idle_s=0.3)
    assert holding.failures() == []
    assert holding.answered_twice == holding.open_at_end == 200
    assert sum(answers) == 400
    assert holding.fresh.requests > 1
    assert 0 < holding.fresh.worst_s < DEADLINE_S
    assert holding.idle_share < 0.5


def test_a_server_that_does_not_start_is_a_failure_with_its_reason(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SERVERS_BACKLOG", "none")
    holding = hold("threaded", 10, tmp_path, lambda _: None)
    assert "not ready" in holding.error
    assert "'none'" in holding.failures()[0]
    assert holding.missed() == []


@pytest.mark.parametrize(
    ("output", "message"),
    [
        ("  10 requests in 1.00s, 2KB read\n  Socket errors: connect 0, read 1", "read 1"),
        ("  10 requests in 1.00s, 2KB read\n  Non-2xx or 3xx responses: 4", "responses: 4"),
        ("  0 requests in 1.00s, 0B read", "no requests"),
        ("unable to connect", "no requests"),
    ],
)
def test_a_run_with_an_error_is_not_used(output: str, message: str) -> None:
    with pytest.raises(CellError, match=message):
        requests_in(output)
    assert requests_in("  10 requests in 1.00s, 2KB read\n") == 10


def test_ratios_are_computed_within_rounds() -> None:
    def run(name: str, number: int, cpu_s: float, error: str = "") -> Run:
        return Run(name, number, window_s=1, requests=1000, cpu_s=cpu_s, error=error)

    runs = [
        run("uvloop", 1, 0.1), run("uvicorn", 1, 0.4),
        run("uvloop", 2, 0.3), run("uvicorn", 2, 0.6),
        run("uvloop", 3, 0.2), run("uvicorn", 3, 0.2, "wrk: socket errors"),
        run("uvloop", 4, 0.3), run("uvicorn", 4, 0.4),
        run("uvloop", 5, 9.0),
    ]  # fmt: skip
    assert ratio(runs, Comparison("uvloop", "uvicorn", 0.5)) == pytest.approx((0.5, 0.25, 0.75))
    assert ratio(runs, Comparison("uvloop", "granian", 0.5)) is None


def test_a_verdict_names_noise_that_may_decide_it() -> None:
    assert verdict(Spread(0.5, 0.4, 0.6), 0.7) == "reached"
    assert verdict(Spread(0.5, 0.4, 0.6), 0.55) == "reached, within noise"
    assert verdict(Spread(0.5, 0.4, 0.6), 0.45) == "missed, within noise"
    assert verdict(Spread(0.5, 0.4, 0.6), 0.3) == "missed"


def test_missed_targets_are_named() -> None:
    holding = Holding("uvloop", 100, accept_s=6, idle_s=10, idle_cpu_s=1, open_at_end=100)
    holding.memory_bytes_per_connection = 5001
    assert holding.missed() == ["time", "memory", "idle CPU"]
    assert holding.failures() == []


def test_every_model_runs_once_a_round_and_so_does_every_peer() -> None:
    names = order(list(MODELS))
    assert len(names) == len(set(names))
    assert set(names) == {*MODELS, *PEERS}
    assert {pair.model for pair in COMPARISONS} <= set(MODELS)


def test_a_model_without_a_peer_runs_by_itself() -> None:
    assert order(["peerless"]) == ["peerless"]


@pytest.mark.parametrize(
    "flags",
    [
        ["--models=forking,twisted"],
        ["--rounds=-1"],
        ["--rounds=0", "--hold=0", "--generator=0"],
        ["--duration=soon"],
        ["--duration=0"],
        ["--hold=1000000000"],
        ["--rounds=0", "--generator=0", "--out=/proc/nowhere"],
        ["--unknown"],
    ],
)
def test_usage_errors_exit_with_2_and_one_line(
    flags: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as exit_:
        main(flags)
    assert exit_.value.code == 2
    stderr = capsys.readouterr().err
    assert stderr.startswith("python -m loadtest.bench: ")
    assert stderr.count("\n") == 1
    assert "--help" in stderr


def test_without_wrk_it_names_the_package(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    assert main(["--rounds=1", "--hold=0", "--generator=0", f"--out={tmp_path}"]) == 3
    assert "apt-get install wrk" in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


def test_a_missing_peer_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None if name == "uvloop" else ...)
    assert missing_peers(order(["uvloop"])) == {"uvicorn": ["uvloop"]}


def test_a_generator_window_holds_a_whole_second_of_the_clock() -> None:
    for start_s in (100.0, 100.4, 100.999):
        counts = {str(second): 7 for second in range(90, 120)}
        output = json.dumps([{"num_reqs_per_sec": counts}])
        assert generators.rate_in(output, start_s, start_s + generators.WINDOW_MIN_S) == 7.0
    with pytest.raises(CellError, match="counted no requests"):
        generators.rate_in(json.dumps([{"num_reqs_per_sec": {}}]), 100.0, 103.0)


def test_a_failed_generator_is_printed_with_its_reason(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    monkeypatch.setattr(benchmark, "GENERATOR_ROUNDS", 1)
    monkeypatch.setattr(
        benchmark, "send", lambda name, number, *_: Sent(name, number, error="no Locust")
    )
    monkeypatch.setattr(benchmark, "adopt_orphans", lambda: None)  # of this very process
    monkeypatch.setattr(signal, "signal", lambda *_: None)
    assert main(["--rounds=0", "--hold=0", f"--out={tmp_path}"]) == 1
    assert "round 1: ours failed: no Locust" in capsys.readouterr().out
