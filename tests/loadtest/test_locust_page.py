"""Locust's own page, with our users: tests started, changed, followed by others, and stopped."""

import json
import re
import signal
import subprocess
import urllib.error
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from loadtest.catalogue import SCENARIOS
from tests.loadtest.test_locust import LOCUST, hosts
from tests.support.commands import ROOT, free_port, started
from tests.support.locust_page import LocustPage
from tests.support.running import DEADLINE_S, Server, wait_until


@dataclass
class Locust:
    """A Locust with a page.

    Attributes:
        folder: Of its results.
    """

    page: LocustPage
    process: "subprocess.Popen[str]"
    folder: Path

    def log(self) -> str:
        return (self.folder / "locust.log").read_text("utf-8")

    def cell(self) -> dict[str, Any]:
        """Return the result of the test that has ended, and make room for the next one."""
        path = self.folder / "cell.json"
        wait_until(path.exists, "a result")
        cell: dict[str, Any] = json.loads(path.read_text("utf-8"))
        path.unlink()
        return cell

    def interrupt(self) -> None:
        """Press Ctrl-C: an end like any other."""
        self.process.send_signal(signal.SIGINT)
        _, errors = self.process.communicate(timeout=DEADLINE_S)
        assert self.process.returncode == 0
        assert "KeyboardInterrupt" not in errors


@contextmanager
def locust(server: Server, folder: Path, *argv: str) -> Iterator[Locust]:
    port = free_port()
    page = LocustPage(f"http://127.0.0.1:{port}")
    flags = ["--web-host=127.0.0.1", f"--web-port={port}", *hosts(server), f"--cell={folder}"]
    if any(flag.startswith("--processes") for flag in argv):  # else two tests share port 5557
        master_port = free_port()
        flags += [f"--master-bind-port={master_port}", f"--master-port={master_port}"]
    with started([*LOCUST, *flags, f"--logfile={folder / 'locust.log'}", *argv]) as process:

        def answers() -> bool:
            try:
                return "locust" in page.ask("/").lower()
            except urllib.error.URLError:  # not listening yet
                assert process.poll() is None, process.communicate()
                return False

        wait_until(answers, "Locust's page")
        yield Locust(page, process, folder)


def test_locusts_own_page_starts_and_watches_a_test(any_server: Server, tmp_path: Path) -> None:
    with locust(any_server, tmp_path, "Hello", "Echo") as ours:
        ours.page.start(4, rate=0, warmup=0)

        def both_protocols() -> bool:
            statistics = ours.page.statistics()["stats"]
            return {"GET", "ECHO"} <= {entry["method"] for entry in statistics}

        wait_until(both_protocols, "requests of both kinds")
        statistics = ours.page.statistics()
        assert statistics["fail_ratio"] == 0
        # Locust as it comes has whole milliseconds only.
        assert any(
            entry["response_time_percentile_0.95"] % 1 or entry["median_response_time"] % 1
            for entry in statistics["stats"]
        )
        wait_until(lambda: "stage: window" in ours.log(), "a window")
        ours.page.stop()
        cell = ours.cell()
        assert {name for name, seen in cell["classes"].items() if seen["requests"] > 0} == {
            "Hello",
            "Echo",
        }
        assert cell["verdict"]["name"] != "invalid", cell["verdict"]
        ours.interrupt()


README_COMMAND = re.search(
    r"^locust (-f \S+) --host \S+ (.+)$", (ROOT / "README.md").read_text("utf-8"), re.MULTILINE
)
ALONE_OR_NOT = pytest.mark.parametrize(
    "processes", [[], ["--processes=2"]], ids=["alone", "with workers"]
)


@ALONE_OR_NOT
def test_readmes_command_begins_with_one_scenario_and_the_logs_tab_has_the_verdict(
    any_server: Server, tmp_path: Path, processes: list[str]
) -> None:
    assert README_COMMAND is not None and README_COMMAND[1] == " ".join(LOCUST[-2:])
    with locust(any_server, tmp_path, *README_COMMAND[2].split(), *processes) as ours:
        if processes:
            wait_until(lambda: len(ours.page.statistics()["workers"]) == 2, "two workers")
        there, ticked = ours.page.classes()
        assert ticked == ["Hello"]
        assert there == [name for entry in SCENARIOS.values() for name in entry.users]
        # As it was, with none ticked, with another one; then that is ticked.
        for fields, name in (
            ({"user_classes": ticked}, "Hello"),
            ({}, "Hello"),
            ({"user_classes": ["Wait"]}, "Wait"),
        ):
            ours.page.start(2, rate=20, warmup=0, window=0.5, **fields)
            cell = ours.cell()
            assert [*cell["classes"]] == [name] and cell["scenario"] == name.lower()
            verdict = "verdict: {name}: {why}".format(**cell["verdict"])
            # As an open page does: it reads the log until the test has ended.
            wait_until(lambda verdict=verdict: verdict in ours.page.logs(), "the verdict")  # type: ignore[misc]
            wait_until(lambda: ours.page.logs() != "" and ours.page.state() == "stopped", "an end")
        assert ours.page.classes()[1] == ["Wait"]


@pytest.fixture(scope="module")
def with_picker(any_server: Server, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Locust]:
    with locust(any_server, tmp_path_factory.mktemp("page"), "--class-picker") as ours:
        yield ours


PAIR = "are one scenario"


@pytest.mark.parametrize(
    ("classes", "users", "why"),
    [
        (sorted(name for entry in SCENARIOS.values() for name in entry.users), 1000, PAIR),
        (["Heavy"], 10, f"Convoy and Heavy {PAIR}, convoy: expected both and no other"),
        (["Convoy", "Heavy", "Hello"], 10, f"{PAIR}, convoy: expected both and no other"),
        (["Held"], 10, f"Active and Held {PAIR}, idle: expected both and no other"),
        (["Active", "Held"], 100, "expected 101 users or more"),
        (["Convoy", "Heavy"], 2, "expected 3 users or more"),
        (["Echo", "Hello", "Wait"], 2, "expected 3 users or more"),
        (["Hello"], 0, "expected 1 user or more"),
        (["NoSuchClass"], 1, "expected a scenario, such as Hello, got none"),
    ],
)
def test_a_mixture_that_makes_no_sense_is_refused_on_the_page_and_in_its_log(
    with_picker: Locust, classes: list[str], users: int, why: str
) -> None:
    reply = with_picker.page.swarm(users or 1, user_classes=classes, user_count=users)
    assert not reply["success"] and why in reply["message"]
    assert reply["message"] in with_picker.page.logs()
    assert with_picker.page.state() == "ready"


@pytest.mark.parametrize(
    ("fields", "why"),
    [
        ({"rate": "abc"}, "rate: expected a number from 0 to 1e+06, got 'abc'"),
        ({"rate": ""}, "rate: expected a number from 0 to 1e+06, got ''"),
        ({"rate": -5}, "rate: expected a number from 0 to 1e+06, got '-5'"),
        ({"rate": "nan"}, "rate: expected a number from 0 to 1e+06, got 'nan'"),
        ({"arrivals": "never"}, "arrivals: expected one of constant,poisson, got 'never'"),
        ({"deadline": 0}, "deadline: expected a number from 0.1 to 600, got '0'"),
        ({"echo_bytes": "1.5"}, "echo-bytes: expected a whole number from 1 to 1048576"),
        ({"echo_host": "x:y"}, "echo-host: expected http://HOST:PORT or HOST:PORT, got 'x:y'"),
        ({"host": "https://x"}, "host: expected http://HOST:PORT or HOST:PORT, got 'https://x'"),
        ({"host": "http://x/y"}, "Hello: expected a host without a path to request /, got '/y'"),
    ],
)
def test_a_field_that_cannot_be_read_is_refused_with_a_sentence(
    with_picker: Locust, fields: dict[str, object], why: str
) -> None:
    reply = with_picker.page.swarm(2, **fields)
    assert not reply["success"] and why in reply["message"]
    assert reply["message"] in with_picker.page.logs()
    assert with_picker.page.state() == "ready"


@ALONE_OR_NOT
def test_the_page_runs_one_test_after_the_other_and_a_change_of_users_spoils_one(
    any_server: Server, tmp_path: Path, processes: list[str]
) -> None:
    with locust(any_server, tmp_path, *processes, "Hello") as ours:
        if processes:
            wait_until(lambda: len(ours.page.statistics()["workers"]) == 2, "two workers")
        for users in (2, 4):
            ours.page.start(users, rate=100, warmup=0, window=0.5)
            cell = ours.cell()
            assert cell["verdict"]["name"] != "invalid", cell["verdict"]
            assert cell["classes"]["Hello"]["connections"] == users
            wait_until(lambda: ours.page.state() == "stopped", "its end")

        def windows() -> int:
            return ours.log().count("stage: window")

        for number, users in enumerate((2, 6, 4), start=windows() + 1):
            ours.page.start(users, rate=100, warmup=0, window=0)
            wait_until(lambda number=number: windows() == number, "a new window")  # type: ignore[misc]
        ours.page.stop()
        cell = ours.cell()
        assert cell["verdict"]["name"] == "invalid"
        assert "users were added, removed or moved during the test" in cell["verdict"]["why"]
        ours.interrupt()


def test_a_ctrl_c_is_not_lost_in_a_finalizer(any_server: Server, tmp_path: Path) -> None:
    # Python ignores what is raised in a finalizer, and a Ctrl-C may come just then.
    (tmp_path / "finalizer.py").write_text(
        "import os, signal\n"
        "from locust import events\n"
        "class Garbage:\n"
        "    def __del__(self):\n"
        "        os.kill(os.getpid(), signal.SIGINT)\n"
        "        any(number < 0 for number in range(1000))\n"
        "@events.spawning_complete.add_listener\n"
        "def interrupt(**_):\n"
        "    Garbage()\n"
    )
    argv = [*LOCUST[:-1], f"{LOCUST[-1]},{tmp_path / 'finalizer.py'}", "--headless", "-u", "2"]
    with started([*argv, *hosts(any_server), f"--cell={tmp_path}", "Hello"]) as process:
        process.communicate(timeout=DEADLINE_S)
    assert process.returncode == 0
