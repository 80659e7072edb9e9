"""The meter of CPU time: of a process tree, with ended threads and children, in nanoseconds."""

import ast
import os
import statistics
import sys
from pathlib import Path

import psutil

from loadtest.measure.process_usage import cpu_of, cpu_s_of_tree, tree_of, usage_of_tree
from loadtest.running.processes import running
from tests.support.commands import ROOT
from tests.support.running import DEADLINE_S, process_is_gone, wait_until


def test_cpu_time_includes_ended_threads_and_processes(tmp_path: Path) -> None:
    burn = "import time\ndef burn():\n while time.thread_time() < 0.2: pass\n"
    script = (
        "import os, sys, threading\n"
        f"{burn}"
        "thread = threading.Thread(target=burn); thread.start(); thread.join()\n"
        "if os.fork() == 0: burn(); os._exit(0)\n"
        "os.wait()\n"
        "if os.fork() == 0: burn(); print('done', flush=True)\n"
        "sys.stdin.read()\n"
    )
    cores = sorted(os.sched_getaffinity(0))
    with running([sys.executable, "-c", script], cores, tmp_path / "log") as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "done\n"
        tree = tree_of(process.pid)
        pids = [one.pid for one in tree]
        assert len(pids) == 2
        # A fork's child begins with a clock of its own at nought.
        assert 0.58 <= cpu_s_of_tree(process.pid) < 1.5
        usage = usage_of_tree(process.pid)
        assert usage is not None and usage["processes"] == 2
        assert 0.58 <= usage["cpu_user_s"] + usage["cpu_system_s"] < 1.5
    wait_until(lambda: all(map(process_is_gone, pids)), "the end of the group")


def test_cpu_time_is_read_in_less_than_a_tick() -> None:
    tick_s = 1 / os.sysconf("SC_CLK_TCK")
    own = [psutil.Process()]
    steps, last_s = list[float](), sum(cpu_of(own))
    while sum(steps) < 2 * tick_s:
        now_s = sum(cpu_of(own))
        steps.append(now_s - last_s)
        last_s = now_s
    assert all(step_s >= 0 for step_s in steps)
    assert statistics.median(steps) < tick_s / 2


def test_a_process_runs_on_its_cores(tmp_path: Path) -> None:
    core = max(os.sched_getaffinity(0))
    command = [sys.executable, "-c", "import os; print(os.sched_getaffinity(0))"]
    with running(command, [core], tmp_path / "log") as process:
        assert process.communicate(timeout=DEADLINE_S)[0] == f"{{{core}}}\n"


METERS = {
    "clock_gettime",
    "clock_gettime_ns",
    "cpu_percent",
    "cpu_times",
    "getrusage",
    "num_ctx_switches",
}
"""What reads the CPU time of a process, in ``time``, ``resource`` and ``psutil.Process``."""


def _meters_in(path: Path) -> set[str]:
    names = set()
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if isinstance(node, ast.ImportFrom):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.Attribute) and ast.unparse(node.value) != "psutil":
            names.add(node.attr)  # psutil.cpu_times() is of the machine
    return names & METERS


def test_loadtest_has_one_meter_of_processes() -> None:
    meters = [path for path in (ROOT / "loadtest").rglob("*.py") if _meters_in(path)]
    assert meters == [ROOT / "loadtest" / "measure" / "process_usage.py"]


def test_loadtest_has_one_reader_of_the_ready_line() -> None:
    sources = (ROOT / "loadtest").rglob("*.py")
    assert sum(path.read_text("utf-8").count('"listening model=') for path in sources) == 1
