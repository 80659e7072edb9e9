"""Locust's own page, flags, masters and workers, with our users: run as a user runs them."""

import json
import re
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.support.commands import LIMIT_S, free_port, run, started
from tests.support.running import DEADLINE_S, Server

LOCUST = [sys.executable, "-m", "locust", "-f", "loadtest/locustfile.py"]


def hosts(server: Server) -> list[str]:
    assert server.http is not None and server.echo is not None
    return [
        f"--host=http://{server.http[0]}:{server.http[1]}",
        f"--echo-host={server.echo[0]}:{server.echo[1]}",
    ]


def test_locust_drives_scenarios_with_its_own_flags(any_server: Server, tmp_path: Path) -> None:
    before = any_server.metrics()
    flags = ["--headless", "-u", "8", "-r", "8", "-t", "3s", "--json", "--only-summary"]
    flags += [f"--cell={tmp_path}", "Hello", "Wait", "Echo", "Connect"]
    ended = run([*LOCUST, *flags, *hosts(any_server)])
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
        any_server.metrics()["server_received_bytes_total{echo}"]
        - before["server_received_bytes_total{echo}"]
    )
    assert received >= 128 * echoed["num_requests"]


def test_locust_counts_wrong_replies_as_failures(any_server: Server, tmp_path: Path) -> None:
    # The HTTP port does not speak echo: every reply is a 400.
    assert any_server.http is not None
    wrong = f"--echo-host={any_server.http[0]}:{any_server.http[1]}"
    flags = ["--headless", "-u", "1", "-t", "3s", "--json", "--only-summary"]
    ended = run([*LOCUST, *flags, f"--cell={tmp_path}", hosts(any_server)[0], wrong, "Echo"])
    assert ended.returncode == 1
    (entry,) = json.loads(ended.stdout)
    assert entry["num_failures"] == entry["num_requests"] > 0


def test_a_wrong_flag_is_refused_before_any_load() -> None:
    ended = run([*LOCUST, "--headless", "--echo-bytes", "0"])
    assert ended.returncode == 2
    assert "expected a whole number from 1 to 1048576, got '0'" in ended.stderr


def test_classes_that_make_no_sense_together_are_refused_before_any_load() -> None:
    ended = run([*LOCUST, "--headless", "--users=10", "Hello", "Heavy"])
    assert ended.returncode == 2
    assert "Convoy and Heavy are one scenario, convoy" in ended.stderr
    ended = run([*LOCUST, "--headless", "Hello", "Wait"])
    assert ended.returncode == 2
    assert "expected 2 users or more" in ended.stderr and "got 1\n" in ended.stderr


def cell_in(folder: Path) -> dict[str, Any]:
    cell: dict[str, Any] = json.loads((folder / "cell.json").read_text())
    return cell


WINDOW = ["--headless", "--only-summary", "--users=10", "--spawn-rate=10", "--rate=100"]
WINDOW += ["--warmup=0.2", "--window=1"]


def test_a_users_own_scenario_is_a_class_with_a_path_and_a_reply(
    tmp_path: Path, any_server: Server
) -> None:
    (tmp_path / "mine.py").write_text(
        "from loadtest import plugin\n"
        "from loadtest.scenarios import HTTPScenario\n"
        "class Json(HTTPScenario):\n"
        "    path = request_name = '/json'\n"
        '    expected = b\'{"message": "Hello, World!"}\'\n'
    )
    argv = [sys.executable, "-m", "locust", "-f", str(tmp_path / "mine.py"), *WINDOW]
    ended = run([*argv, hosts(any_server)[0], f"--cell={tmp_path}"])
    assert ended.returncode == 0, ended.stderr
    cell = cell_in(tmp_path)
    assert cell["scenario"] == "Json"
    assert cell["classes"]["Json"]["requests"] > 0 and cell["classes"]["Json"]["errors"] == {}


FORMER = """\
from loadtest.client.load_spec import LoadSpec
from loadtest.scenarios import ECHO_BYTES, ECHO_BYTES_MAX, Echo, Get
class Mine(Get):
    @classmethod
    def check(cls, host, options):
        super().check(host, options=options)
for scenario in (Mine, Echo):
    scenario.check("http://a", LoadSpec())
    scenario.check("http://a", options=LoadSpec())
Get.check("http://a/path", spec=LoadSpec())
print(ECHO_BYTES, ECHO_BYTES_MAX)
"""


def test_former_names_in_scenarios_work_for_one_more_release() -> None:
    ended = run([sys.executable, "-c", FORMER])
    assert (ended.stdout, ended.returncode) == ("128 1048576\n", 0), ended.stderr


def test_without_a_named_scenario_locust_runs_the_first_and_logs_it(
    tmp_path: Path, any_server: Server
) -> None:
    ended = run([*LOCUST, *WINDOW, *hosts(any_server), f"--cell={tmp_path}"])
    assert ended.returncode == 0, ended.stderr
    assert "scenario: Hello, since none is named" in ended.stderr
    cell = cell_in(tmp_path)
    assert cell["scenario"] == "hello" and [*cell["classes"]] == ["Hello"]
    assert f"verdict: {cell['verdict']['name']}: " in ended.stderr


def test_the_worst_class_decides_the_verdict_of_a_mixture(
    tmp_path: Path, any_server: Server
) -> None:
    # Each connection is asked 10 times a second: at 300 ms that is three times what one can do.
    (tmp_path / "mine.py").write_text(
        "from loadtest import plugin\n"
        "from loadtest.scenarios import Hello, HTTPScenario\n"
        "class Slow(HTTPScenario):\n"
        "    path = request_name = '/wait?ms=300'\n"
        "class Weighty(Hello):\n"
        "    weight = 1000\n"
    )
    argv = [sys.executable, "-m", "locust", "-f", str(tmp_path / "mine.py"), *WINDOW]
    argv += [hosts(any_server)[0], "--rate=20", f"--cell={tmp_path}"]
    ended = run([*argv, "--users=2", "Hello", "Slow"])
    assert ended.returncode == 0, ended.stderr
    cell = cell_in(tmp_path)
    assert cell["scenario"] == "Hello+Slow" and cell["held_share"] < 0.5
    assert cell["verdict"]["name"] not in ("ok", "server-bound", "invalid"), cell["verdict"]

    # Both fit, but one weighs so much that Locust gives all connections to it.
    ended = run([*argv, "--users=2", "Slow", "Weighty"])
    assert ended.returncode == 0, ended.stderr
    assert cell_in(tmp_path)["verdict"] == {
        "name": "invalid", "why": "2 users, none of them of class Slow",
    }  # fmt: skip


@pytest.mark.parametrize(
    ("classes", "users", "kinds"),
    [
        (["Convoy", "Heavy"], 10, {"Convoy", "Heavy"}),
        (["Active", "Held"], 110, {"Active", "Held"}),
        (["Cpu"], 5, {"Cpu"}),
        (["Hash"], 5, {"Hash"}),
        (["Stream"], 5, {"Stream"}),
    ],
)
def test_every_scenario_gets_right_replies_from_every_model(
    server: Server, tmp_path: Path, classes: list[str], users: int, kinds: set[str]
) -> None:
    argv = [*LOCUST, *WINDOW, f"--users={users}", f"--spawn-rate={users}", "--rate=10"]
    ended = run([*argv, *hosts(server), f"--cell={tmp_path}", *classes])
    assert ended.returncode == 0, ended.stderr
    cell = cell_in(tmp_path)
    assert cell["classes"].keys() == kinds
    assert all(seen["errors"] == {} for seen in cell["classes"].values())
    assert cell["classes"][cell["result_class"]]["requests"] > 0
    if "Held" in kinds:
        held = cell["classes"]["Held"]
        assert held["connections"] == 10 and held["requests"] == 0


@contextmanager
def master_and_workers(
    server: Server, folder: Path, expected: int, *flags: str
) -> Iterator[tuple[subprocess.Popen[str], list[subprocess.Popen[str]]]]:
    port = free_port()
    argv = [*LOCUST, *WINDOW, "--master", "--master-bind-host=127.0.0.1", *flags, *hosts(server)]
    argv += [f"--master-bind-port={port}", f"--expect-workers={expected}", f"--cell={folder}"]
    worker = [*LOCUST, "--worker", "--master-host=127.0.0.1", f"--master-port={port}", "Hello"]
    with ExitStack() as stack:
        master = stack.enter_context(started([*argv, "Hello"]))
        yield master, [stack.enter_context(started(worker)) for _ in range(expected)]


def test_the_master_merges_what_workers_measure(any_server: Server, tmp_path: Path) -> None:
    with master_and_workers(any_server, tmp_path, 2) as (master, _):
        _, errors = master.communicate(timeout=LIMIT_S)
    assert master.returncode == 0, errors
    cell = cell_in(tmp_path)
    hello = cell["classes"]["Hello"]
    assert len(cell["generators"]) == 2 and hello["connections"] == 10
    assert hello["times"]["latency"]["count"] == hello["requests"] == cell["due"]
    assert 80 <= hello["requests"] <= 120  # 100 in a window of a second, which the master opens
    logs = (tmp_path / "latency.hlog").read_text()
    assert len(set(re.findall(r"^Tag=(Hello@\S+?),", logs, re.MULTILINE))) == 2


def test_a_lost_worker_makes_the_cell_invalid(any_server: Server, tmp_path: Path) -> None:
    long = ["--window=8", "--deadline=1"]
    with master_and_workers(any_server, tmp_path, 2, *long) as (master, workers):
        assert master.stderr is not None
        for line in master.stderr:
            if "stage: window" in line:
                break
        workers[0].kill()
        master.communicate(timeout=LIMIT_S)
    verdict = cell_in(tmp_path)["verdict"]
    assert verdict["name"] == "invalid"
    assert "lost a process of the generator" in verdict["why"]


def test_a_test_stopped_before_its_window_is_invalid(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    argv = [*LOCUST, *WINDOW, f"--host=http://127.0.0.1:{port}", f"--cell={tmp_path}", "Hello"]
    with started(argv) as locust:
        assert locust.stderr is not None
        for line in locust.stderr:
            if "stage: connect" in line:
                break
        locust.send_signal(signal.SIGTERM)
        locust.communicate(timeout=DEADLINE_S)
    verdict = cell_in(tmp_path)["verdict"]
    assert verdict == {
        "name": "invalid", "why": "the test was stopped before the window, in stage: connect",
    }  # fmt: skip
