"""The comparison and the locustfile, run as a user runs them: real servers, a real Locust."""

import json
import os
import signal
import subprocess
import sys
from dataclasses import asdict
from pathlib import Path

import pytest

from loadtest import observation
from loadtest.result import result_of
from servers.process_tree import children_of
from servers.registry import MODELS
from tests.commands import folder_of, run, started
from tests.running import DEADLINE_S, process_is_gone, wait_until

DEMO = [sys.executable, "-m", "loadtest", "demo"]
pytestmark = pytest.mark.xdist_group("demo")  # one demonstration serves all its tests
VERDICTS = ("ok", "generator-bound", "rate-not-held", "server-bound")  # all that noise can make


# -- python -m loadtest demo -----------------------------------------------------------------


@pytest.fixture(scope="module")
def demo(tmp_path_factory: pytest.TempPathFactory) -> subprocess.CompletedProcess[str]:
    """Return a finished run: every model and scenario, few clients, short windows."""
    out = tmp_path_factory.mktemp("results")
    return run([*DEMO, "--connections", "10", "--duration", "0.5", "--out", str(out)])


def test_every_model_is_compared_in_every_scenario(demo: subprocess.CompletedProcess[str]) -> None:
    assert demo.returncode == 0, demo.stderr
    assert "Traceback" not in demo.stderr
    rows = [
        [column.strip() for column in line.strip("│").split("│")]
        for line in demo.stdout.splitlines()
        if line.startswith("│")
    ]
    assert [row[2] for row in rows] == list(MODELS) * 4
    assert [row[0] for row in rows if row[0]] == ["hello", "echo", "wait", "connect"]
    for *_, rate, p50, p99, errors, cpu, _memory, verdict in rows:
        assert verdict in VERDICTS
        assert float(rate.split("/")[0].replace(",", "")) > 0
        assert 0 < float(p50) <= float(p99)
        assert errors == "0"
        assert float(cpu.replace(",", "")) > 0


def test_progress_is_shown_while_it_runs(demo: subprocess.CompletedProcess[str]) -> None:
    assert "21/21" in demo.stderr
    for model in MODELS:
        assert f"wait-10-{model}" in demo.stderr


def test_a_bundle_says_what_was_run_on_what(demo: subprocess.CompletedProcess[str]) -> None:
    described = json.loads((folder_of(demo.stdout) / "run.json").read_text())
    assert described["command"][:4] == ["python", "-m", "loadtest", "demo"]
    assert described["versions"]["locust"]
    assert described["kernel"] == os.uname().release
    assert described["limits"]["descriptors"][1] > 0
    assert not set(described["cores"]["server"]) & set(described["cores"]["generator"]) or (
        len(os.sched_getaffinity(0)) == 1
    )


def test_every_number_can_be_computed_again_from_the_bundle(
    demo: subprocess.CompletedProcess[str],
) -> None:
    cells = sorted(folder_of(demo.stdout).glob("*/cell.json"))
    assert len([path for path in cells if path.parent.parent.name != "calibration"]) == 20
    for path in cells:
        again = json.loads(json.dumps(asdict(result_of(observation.read(path.parent)))))
        assert again == json.loads(path.read_text())


def test_the_servers_own_count_bears_the_generator_out(
    demo: subprocess.CompletedProcess[str],
) -> None:
    for path in folder_of(demo.stdout).glob("*-10-*/observation.json"):
        seen = observation.read(path.parent)
        idle, loaded = (seen.marks[name]["server"] for name in ("idle", "loaded"))
        counted = sum(r["inside"]["requests"] + r["outside"]["requests"] for r in seen.records)
        assert sum(sum(r["inside"]["errors"].values()) for r in seen.records) == 0
        if seen.plan.scenario == "echo":
            assert loaded["received_bytes_echo"] - idle["received_bytes_echo"] == 128 * counted
        else:  # and the samples, one a second and at every mark
            others = loaded["requests_http"] - idle["requests_http"] - counted
            assert 0 <= others <= len(seen.samples) + 2


def test_wait_takes_as_long_as_the_back_end_it_pretends_to_ask(
    demo: subprocess.CompletedProcess[str],
) -> None:
    for path in folder_of(demo.stdout).glob("wait-*/cell.json"):
        times = json.loads(path.read_text())["classes"]["Wait"]["times"]["service_time"]
        # libuv counts time in whole milliseconds, so a timer of uvloop may be one early.
        assert times["p50_ms"] >= (49 if "uvloop" in path.parent.name else 50)


def test_the_generators_floor_and_ceiling_go_into_the_bundle(
    demo: subprocess.CompletedProcess[str],
) -> None:
    said = json.loads((folder_of(demo.stdout) / "run.json").read_text())["generator"]
    assert 0 < said["floor_p50_us"] <= said["floor_p99_us"]
    assert said["ceiling_hz"] > 0


def test_a_cell_that_cannot_be_run_is_said_and_the_exit_status_tells(tmp_path: Path) -> None:
    argv = [*DEMO, "--models", "asyncio", "--scenarios", "hello,echo", "--connections", "1"]
    # An address of the block for documentation (RFC 5737): no machine has it.
    ended = run([*argv, "--duration", "0.1", "--out", str(tmp_path)], SERVERS_BIND="192.0.2.1")
    assert ended.returncode == 1
    assert ended.stdout.count("cannot listen on 192.0.2.1") == 2
    assert "\necho-1-asyncio not run: the server is not ready: " in ended.stdout
    assert (folder_of(ended.stdout) / "run.json").exists()


@pytest.mark.parametrize("signum", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupted_run_keeps_finished_cells_and_leaves_no_process(
    tmp_path: Path, signum: signal.Signals
) -> None:
    argv = [*DEMO, "--models", "forking,asyncio", "--scenarios", "hello", "--connections", "50"]
    with started([*argv, "--duration", "1", "--out", str(tmp_path)]) as process:
        wait_until(lambda: bool([*tmp_path.glob("*/*asyncio")]), "a finished cell")
        wait_until(lambda: len(children_of(process.pid)) == 2, "the next server and generator")
        pids = children_of(process.pid)
        process.send_signal(signum)
        output, errors = process.communicate(timeout=DEADLINE_S)
    assert process.returncode == 130, errors
    assert "Traceback" not in errors
    assert "forking" in output and "asyncio" not in output
    assert (folder_of(output) / "hello-50-forking" / "cell.json").exists()
    wait_until(lambda: all(map(process_is_gone, pids)), "an end of all processes")


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        ([], "the following arguments are required: COMMAND"),
        (["demo", "--models", "fork"], "expected models out of forking,threaded,"),
        (["demo", "--scenarios", "hello,bye"], "got 'bye'"),
        (["demo", "--connections", "0"], "got '0'"),
        (["demo", "--connections", "10,many"], "got 'many'"),
        (["demo", "--connections", "1000000"], "(the descriptor limit)"),
        (["demo", "--duration", "-1"], "expected seconds from 0.1 to 60"),
        (["demo", "--duration", "nan"], "got 'nan'"),
        (["demo", "--out", "/dev/null"], "expected a folder to write to"),
        (["run"], "expected a MODEL or a --target, and not both"),
        (["run", "uvloop", "--target", "http://127.0.0.1:1"], "and not both"),
        (["run", "fork"], "invalid choice: 'fork'"),
        (["run", "uvloop", "--rate", "0"], "expected a number from 0.01 to"),
        (["run", "uvloop", "--rate", "fast"], "got 'fast'"),
        (["run", "uvloop", "--scenario", "bye"], "expected one of hello,echo,"),
        (["run", "uvloop", "--connections", "0"], "expected a whole number from 1"),
        (["run", "uvloop", "--connections", "900000"], "(the descriptor limit), got 900000"),
        (["run", "uvloop", "--scenario", "idle"], "expected --connections 101 or more"),
        (["run", "uvloop", "--find-capacity", "p42=1s"], "expected such as p99=50ms"),
        (["run", "uvloop", "--rate", "5", "--find-capacity", "p99=1s"], "and not both"),
        (["run", "--target", "https://a"], "expected http://HOST:PORT or tcp://HOST:PORT"),
        (["run", "--target", "http://127.0.0.1:1"], "Connection refused; start it first"),
        (["run", "--target", "http://name.invalid"], "expected a server at http://name.invalid"),
    ],
)
def test_a_mistake_gets_one_line_and_status_2(arguments: list[str], expected: str) -> None:
    ended = run([sys.executable, "-m", "loadtest", *arguments])
    assert ended.returncode == 2
    assert ended.stdout == ""
    assert ended.stderr.count("\n") == 1 and expected in ended.stderr
