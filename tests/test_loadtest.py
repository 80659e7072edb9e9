"""The comparison and the locustfile, run as a user runs them: real servers, a real Locust."""

import json
import math
import os
import re
import signal
import socket
import subprocess
import sys
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from loadtest.cell import Cell, Measurement
from loadtest.result import Result, quantile, result_of
from servers.process_tree import children_of
from servers.registry import MODELS
from tests.running import DEADLINE_S, Server, process_is_gone, wait_until

ROOT = Path(__file__).parent.parent
DEMO = [sys.executable, "-m", "loadtest", "demo"]
LOCUST = [sys.executable, "-m", "locust", "-f", "loadtest/locustfile.py"]
DEMO_LIMIT_S = 120


def run(argv: list[str], **env: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        argv,
        cwd=ROOT,
        env={**os.environ, "COLUMNS": "200", **env},
        capture_output=True,
        text=True,
        timeout=DEMO_LIMIT_S,
        check=False,
    )


@contextmanager
def started(argv: list[str]) -> Iterator[subprocess.Popen[str]]:
    process = subprocess.Popen(
        argv, cwd=ROOT, text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    with process:
        try:
            yield process
        finally:
            process.kill()


def folder_of(output: str) -> Path:
    match = re.search(r"^raw results: (.+)$", output, re.MULTILINE)
    assert match is not None, output
    return Path(match[1])


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
    for *_, rate, p50, p99, errors, cpu, _memory, _note in rows:
        assert float(rate.split("/")[0].replace(",", "")) > 0
        assert 0 < float(p50) <= float(p99)
        assert errors == "0"
        assert float(cpu.replace(",", "")) > 0


def test_progress_is_shown_while_it_runs(demo: subprocess.CompletedProcess[str]) -> None:
    assert "20/20" in demo.stderr
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
    assert len(cells) == 20
    for path in cells:
        shown = json.loads(path.read_text())
        raw = shown.pop("raw")
        times_ms = json.loads((path.parent / "service_times_ms.json").read_text())
        cell = Cell(shown["model"], shown["scenario"], shown["connections"])
        again = result_of(cell, Measurement(service_times_ms=times_ms, **raw))
        assert again == Result(**shown)
        assert path.parent.name == cell.name
        # The server's own count bears the generator out, the scrape aside: nothing is made up.
        start, end = raw["metrics"]["start"], raw["metrics"]["end"]
        protocol = "echo" if cell.scenario == "echo" else "http"
        name = (
            "server_received_bytes_total{echo}"
            if protocol == "echo"
            else "server_requests_total{http}"
        )
        served = (end[name] - start[name]) / (128 if protocol == "echo" else 1)
        assert abs(served - shown["requests"]) <= 2 * cell.connections + 0.1 * shown["requests"]


def test_wait_takes_as_long_as_the_back_end_it_pretends_to_ask(
    demo: subprocess.CompletedProcess[str],
) -> None:
    for path in folder_of(demo.stdout).glob("wait-*/service_times_ms.json"):
        # libuv counts time in whole milliseconds, so a timer of uvloop may be one early.
        assert min(json.loads(path.read_text())) >= (49 if "uvloop" in path.parent.name else 50)


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
        wait_until(lambda: bool([*tmp_path.glob("*/*forking/cell.json")]), "a finished cell")
        wait_until(lambda: len(children_of(process.pid)) == 2, "the next server and generator")
        pids = children_of(process.pid)
        process.send_signal(signum)
        output, errors = process.communicate(timeout=DEADLINE_S)
    assert process.returncode == 130, errors
    assert "Traceback" not in errors
    assert "forking" in output and "asyncio" not in output
    assert [path.parent.name for path in folder_of(output).glob("*/cell.json")] == [
        "hello-50-forking"
    ]
    assert all(map(process_is_gone, pids))


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
    ],
)
def test_a_mistake_gets_one_line_and_status_2(arguments: list[str], expected: str) -> None:
    ended = run([sys.executable, "-m", "loadtest", *arguments])
    assert ended.returncode == 2
    assert ended.stdout == ""
    assert ended.stderr.count("\n") == 1 and expected in ended.stderr


@given(st.lists(st.floats(0, 1e9), min_size=1), st.floats(0, 1))
def test_a_quantile_is_the_smallest_value_that_covers_its_share(
    values: list[float], q: float
) -> None:
    ascending = sorted(values)
    found = quantile(ascending, q)
    assert found is not None and found in values
    covered = sum(value <= found for value in values)
    below = sum(value < found for value in values)
    assert covered >= math.ceil(q * len(values)) and (below < q * len(values) or below == 0)


# -- locust -f loadtest/locustfile.py -----------------------------------------------------------


def hosts(server: Server) -> list[str]:
    assert server.http is not None and server.echo is not None
    return [
        f"--host=http://{server.http[0]}:{server.http[1]}",
        f"--echo-host={server.echo[0]}:{server.echo[1]}",
    ]


def test_locust_drives_every_scenario_with_its_own_flags(server: Server) -> None:
    before = server.metrics()
    flags = ["--headless", "-u", "8", "-r", "8", "-t", "2s", "--json", "--only-summary"]
    ended = run([*LOCUST, *flags, *hosts(server)])
    assert ended.returncode == 0, ended.stderr
    statistics: list[dict[str, Any]] = json.loads(ended.stdout)
    assert {(entry["method"], entry["name"]) for entry in statistics} == {
        ("GET", "/"),
        ("GET", "/wait?ms=50"),
        ("ECHO", "bytes"),
        ("CONNECT", "/"),
    }
    assert all(entry["num_requests"] > 0 for entry in statistics)
    assert sum(entry["num_failures"] for entry in statistics) == 0
    echoed = next(entry for entry in statistics if entry["method"] == "ECHO")
    received = (
        server.metrics()["server_received_bytes_total{echo}"]
        - before["server_received_bytes_total{echo}"]
    )
    assert received >= 128 * echoed["num_requests"]


def test_locust_says_that_replies_are_wrong(server: Server) -> None:
    # The HTTP port does not speak echo: every reply is a 400.
    assert server.http is not None
    wrong = f"--echo-host={server.http[0]}:{server.http[1]}"
    flags = ["--headless", "-u", "1", "-t", "1s", "--json", "--only-summary"]
    ended = run([*LOCUST, *flags, hosts(server)[0], wrong, "Echo"])
    assert ended.returncode == 1
    (entry,) = json.loads(ended.stdout)
    assert entry["num_failures"] == entry["num_requests"] > 0


def test_locusts_own_page_starts_and_watches_a_test(server: Server) -> None:
    with socket.create_server(("127.0.0.1", 0)) as unused:
        port = unused.getsockname()[1]
    page = f"http://127.0.0.1:{port}"
    argv = [*LOCUST, "--web-host=127.0.0.1", f"--web-port={port}", *hosts(server), "Hello", "Echo"]
    with started(argv) as locust:

        def answers() -> bool:
            try:
                return b"locust" in urllib.request.urlopen(page).read().lower()
            except urllib.error.URLError:  # not listening yet
                assert locust.poll() is None, locust.communicate()
                return False

        wait_until(answers, "Locust's page")
        form = {"user_count": "4", "spawn_rate": "4", "host": hosts(server)[0].partition("=")[2]}
        swarm = urllib.request.Request(f"{page}/swarm", urllib.parse.urlencode(form).encode())
        with urllib.request.urlopen(swarm) as reply:
            assert json.load(reply)["success"]

        def statistics() -> dict[str, Any]:
            with urllib.request.urlopen(f"{page}/stats/requests") as reply:
                return json.load(reply)  # type: ignore[no-any-return]

        def both_protocols() -> bool:
            return {"GET", "ECHO"} <= {entry["method"] for entry in statistics()["stats"]}

        wait_until(both_protocols, "requests of both kinds")
        assert statistics()["fail_ratio"] == 0
        locust.send_signal(signal.SIGINT)
        locust.communicate(timeout=DEADLINE_S)


def test_a_wrong_flag_of_ours_is_told_before_any_load() -> None:
    ended = run([*LOCUST, "--headless", "--echo-bytes", "5"])
    assert ended.returncode == 2
    assert "expected 64 to 1024 bytes, got '5'" in ended.stderr
