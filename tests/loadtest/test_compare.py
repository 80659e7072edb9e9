"""python -m loadtest compare, run as a user runs it: real servers, a real Locust."""

import json
import os
import subprocess
import sys
from dataclasses import asdict

import pytest

from loadtest.bundle.read import read_bundle
from loadtest.bundle.state import FINISHED
from loadtest.measure import observation
from loadtest.measure.result import result_of
from servers.registry import MODELS
from tests.support.commands import COMPARISON_LIMIT_S, folder_of, run

COMPARE = [sys.executable, "-m", "loadtest", "compare", "--repeats", "1"]
QUICK = ["--duration", "0.5", "--warmup", "0.2"]
CELLS = 4 * (len(MODELS) + 1)
"""In each of the four scenarios every model once, and one of them twice."""

pytestmark = [
    pytest.mark.whole_machine,
    pytest.mark.xdist_group("compare"),  # one comparison serves all its tests
]


@pytest.fixture(scope="module")
def compared(tmp_path_factory: pytest.TempPathFactory) -> subprocess.CompletedProcess[str]:
    """Return a finished run: every model, in four scenarios, few clients, short windows."""
    out = tmp_path_factory.mktemp("results")
    argv = [*COMPARE, "--scenarios", "hello,echo,wait,connect", "--connections", "10"]
    argv += [*QUICK, "--loads", "rate", "--out", str(out)]
    return run(argv, constants={}, limit_s=COMPARISON_LIMIT_S)


def test_every_model_is_run_in_every_scenario(compared: subprocess.CompletedProcess[str]) -> None:
    assert compared.returncode == 0, compared.stderr
    assert "Traceback" not in compared.stderr
    bundle = read_bundle(folder_of(compared.stdout))
    assert bundle.broken == {}
    assert bundle.state.state == FINISHED and bundle.state.failed == {}
    blocks = {(cell.scenario, cell.contender) for cell in bundle.cells if not cell.twin}
    assert len(blocks) == 4 * len(MODELS)
    assert len([cell for cell in bundle.cells if cell.twin]) == 4
    for result in bundle.cells.values():
        assert result.main is not None and result.main.requests > 0
        assert result.main.errors == {}
        latency = result.main.times["latency"]
        assert 0 < (latency.p50_ms or 0) <= (latency.p99_ms or 0)
        assert (result.cpu_us_per_request or 0) > 0


def test_it_prints_the_expected_time_first_and_progress_while_it_runs(
    compared: subprocess.CompletedProcess[str],
) -> None:
    assert compared.stderr.startswith(f"{CELLS} cells, about ")
    assert "server on cores" in compared.stderr.splitlines()[0]
    assert "100%" in compared.stderr
    for model in MODELS:
        assert f"wait-10-rate-{model}-1" in compared.stderr
    assert f"{CELLS} of {CELLS} cells in" in compared.stderr


def test_it_ends_with_a_report_and_prints_its_path(
    compared: subprocess.CompletedProcess[str],
) -> None:
    folder = folder_of(compared.stdout)
    assert f"report: {folder / 'report.html'}" in compared.stdout
    assert (folder / "report.html").stat().st_size > 1_000_000  # Plotly is in it
    assert "# Comparison" in (folder / "report.md").read_text("utf-8")
    assert "significant?" in compared.stdout


def test_a_bundle_says_what_was_run_on_what(compared: subprocess.CompletedProcess[str]) -> None:
    described = json.loads((folder_of(compared.stdout) / "run.json").read_text())
    assert described["command"][:4] == ["python", "-m", "loadtest", "compare"]
    assert described["versions"]["locust"]
    assert described["kernel"] == os.uname().release
    assert described["limits"]["descriptors"][1] > 0
    assert not set(described["cores"]["server"]) & set(described["cores"]["generator"]) or (
        len(os.sched_getaffinity(0)) == 1
    )


def test_every_contender_serves_under_the_same_limits(
    compared: subprocess.CompletedProcess[str],
) -> None:
    cells = read_bundle(folder_of(compared.stdout)).cells.values()
    conditions = [result.conditions for result in cells]
    assert conditions[0]["descriptors"] > 1000 and conditions[0]["backlog http"] > 0
    assert all(one == conditions[0] for one in conditions)


def test_every_number_can_be_computed_again_from_the_bundle(
    compared: subprocess.CompletedProcess[str],
) -> None:
    cells = sorted(folder_of(compared.stdout).glob("*-10-*/cell.json"))
    assert len(cells) == CELLS
    for path in cells:
        again = json.loads(json.dumps(asdict(result_of(observation.read(path.parent)))))
        assert again == json.loads(path.read_text())


def test_the_server_counts_as_many_requests_as_the_generator(
    compared: subprocess.CompletedProcess[str],
) -> None:
    for path in folder_of(compared.stdout).glob("*-10-*/observation.json"):
        cell = observation.read(path.parent)
        idle, loaded = (cell.marks[name]["server"] for name in ("idle", "loaded"))
        counted = sum(r["inside"]["requests"] + r["outside"]["requests"] for r in cell.records)
        assert sum(sum(r["inside"]["errors"].values()) for r in cell.records) == 0
        if cell.plan.scenario == "echo":
            assert loaded["received_bytes_echo"] - idle["received_bytes_echo"] == 128 * counted
        else:  # and the samples, one a second and at every mark
            others = loaded["requests_http"] - idle["requests_http"] - counted
            assert 0 <= others <= len(cell.samples) + 2


def test_wait_takes_as_long_as_its_simulated_back_end(
    compared: subprocess.CompletedProcess[str],
) -> None:
    for path in folder_of(compared.stdout).glob("wait-*/cell.json"):
        times = json.loads(path.read_text())["classes"]["Wait"]["times"]["service_time"]
        # libuv counts time in whole milliseconds, so a timer of uvloop may be one early.
        assert times["p50_ms"] >= (49 if "uvloop" in path.parent.name else 50)


def test_user_and_system_time_make_up_the_cost(compared: subprocess.CompletedProcess[str]) -> None:
    for result in read_bundle(folder_of(compared.stdout)).cells.values():
        parts = (result.cpu_user_us_per_request, result.cpu_system_us_per_request)
        assert sum(part or 0 for part in parts) == pytest.approx(result.cpu_us_per_request)
        assert (result.context_switches_per_request or 0) > 0
