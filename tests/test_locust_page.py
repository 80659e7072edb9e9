"""Locust's own page, with our users: tests started, changed, followed by others, and stopped."""

import json
import signal
import subprocess
import urllib.error
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.commands import free_port, started
from tests.locust_page import LocustPage
from tests.running import DEADLINE_S, Server, wait_until
from tests.test_locust import LOCUST, hosts


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
        # A rate that the page lets through, which knows no bounds: flat out it is.
        ours.page.start(4, rate=-5, warmup=0)

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
    assert "--rate: expected a number from 0 to 1e+06, got '-5.0'" in ours.log()


@pytest.mark.parametrize("processes", [[], ["--processes=2"]], ids=["alone", "with workers"])
def test_on_the_page_one_test_follows_the_other_and_a_change_of_users_is_told(
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
            wait_until(lambda: ours.page.statistics()["state"] == "stopped", "its end")

        def windows() -> int:
            return ours.log().count("stage: window")

        for number, users in enumerate((2, 6, 4), start=windows() + 1):
            ours.page.start(users, rate=100, warmup=0, window=0)
            wait_until(lambda number=number: windows() == number, "a new window")  # type: ignore[misc]
        ours.page.stop()
        cell = ours.cell()
        assert cell["verdict"]["name"] == "invalid"
        assert "users were added, ended or moved during the test" in cell["verdict"]["why"]
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
