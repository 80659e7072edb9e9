"""The generator's own limits: descriptors, raised before use, and control groups."""

import json
import re
import resource
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from loadtest.host import cgroup
from tests.loadtest.test_locust import LOCUST, hosts
from tests.support.commands import folder_of, run, started
from tests.support.running import Server

HARD = 400
LIMITED = ["prlimit", f"--nofile=150:{HARD}"]
LOADTEST = [sys.executable, "-m", "loadtest"]


def test_the_generator_holds_as_many_connections_as_its_hard_limit_allows(
    tmp_path: Path, any_server: Server
) -> None:
    assert any_server.http is not None
    target = f"http://{any_server.http[0]}:{any_server.http[1]}"
    argv = [*LIMITED, *LOADTEST, "run", "--target", target, "--scenario", "hello", "--rate", "300"]
    argv += ["--duration", "0.5", "--out", str(tmp_path)]
    refused = run([*argv, "--connections", "100000"])
    allowed = re.search(r"expected --connections up to (\d+) ", refused.stderr)
    assert refused.returncode == 2 and allowed is not None, refused.stderr
    ended = run([*argv, "--connections", allowed[1]])
    assert ended.returncode == 0, ended.stderr
    (path,) = folder_of(ended.stdout).glob("hello-*/cell.json")
    cell = json.loads(path.read_text())
    assert cell["classes"]["Hello"]["connections"] == int(allowed[1]) > 150
    assert cell["classes"]["Hello"]["errors"] == {}
    described = json.loads((path.parent.parent / "run.json").read_text())
    assert described["limits"]["descriptors"] == [HARD, HARD]


def test_doctor_and_run_name_the_same_number_of_connections() -> None:
    output = run([*LIMITED, *LOADTEST, "doctor"]).stdout
    refused = run([*LIMITED, *LOADTEST, "run", "uvloop", "--connections", "100000"]).stderr
    allowed = re.search(r"expected --connections up to (\d+) ", refused)
    assert allowed is not None, refused
    row = next(line for line in output.splitlines() if "descriptors" in line)
    assert f"{HARD} (raised from 150): {allowed[1]} connections" in row


def test_locust_gets_the_hard_limit_instead_of_its_own_ten_thousand(
    any_server: Server, tmp_path: Path
) -> None:
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    flags = ["--headless", "-u", "1", "-t", "60s", f"--cell={tmp_path}", "Hello"]
    argv = ["prlimit", "--nofile=1024:", *LOCUST, *flags, *hosts(any_server)]
    with started(argv) as locust:
        assert locust.stderr is not None
        assert any("stage: connect" in line for line in locust.stderr)
        lines = Path(f"/proc/{locust.pid}/limits").read_text().splitlines()
        (limits,) = (line for line in lines if line.startswith("Max open files"))
        assert limits.split()[3:5] == [str(hard), str(hard)]


# -- control groups --------------------------------------------------------------------------------


class Kernel:
    """A simulated kernel: a folder like ``/proc/self``, and the files of control groups."""

    def __init__(self, folder: Path, memberships: str, mounts: str) -> None:
        self.folder = folder
        self.process = folder / "process"
        self.process.mkdir()
        (self.process / "cgroup").write_text(memberships)
        (self.process / "mountinfo").write_text(mounts.replace("@", str(folder)))

    def write(self, path: str, content: str) -> None:
        """Write a file of a group."""
        file = self.folder / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(content + "\n")


def version_2(folder: Path) -> Kernel:
    return Kernel(folder, "0::/slice/unit/own\n", "30 23 0:26 / @/cg rw - cgroup2 cgroup2 rw\n")


def version_1(folder: Path) -> Kernel:
    return Kernel(
        folder,
        "9:name=systemd:/slice\n3:pids:/slice/unit/own\n2:cpu,cpuacct:/slice/unit/own\n"
        "1:memory:/slice/unit/own\n0::/elsewhere\n",
        "32 31 0:29 / @/cg/cpu\\040time rw - cgroup cgroup rw,cpu,cpuacct\n"
        "35 31 0:32 / @/cg/memory rw - cgroup cgroup rw,memory\n"
        "39 31 0:36 / @/cg/pids rw - cgroup cgroup rw,pids\n"
        "41 31 0:38 / @/cg/unified rw - cgroup2 cgroup2 rw\n",
    )


def test_the_tightest_of_all_groups_around_a_process_counts_in_version_2(tmp_path: Path) -> None:
    kernel = version_2(tmp_path)
    kernel.write("cg/slice/unit/own/pids.max", "max")
    kernel.write("cg/slice/unit/pids.max", "900")
    kernel.write("cg/slice/pids.max", "5000")
    kernel.write("cg/slice/unit/own/memory.max", "8589934592")
    kernel.write("cg/slice/unit/memory.max", "max")
    kernel.write("cg/slice/unit/memory.high", "1073741824")
    kernel.write("cg/slice/unit/own/cpu.max", "max 100000")
    kernel.write("cg/slice/cpu.max", "150000 100000")
    assert cgroup.processes_max(kernel.process) == 900
    assert cgroup.memory_max_bytes(kernel.process) == 1 << 30
    assert cgroup.cores_max(kernel.process) == 1.5


def test_the_tightest_of_all_groups_around_a_process_counts_in_version_1(tmp_path: Path) -> None:
    kernel = version_1(tmp_path)
    kernel.write("cg/pids/slice/unit/own/pids.max", "max")
    kernel.write("cg/pids/slice/pids.max", "700")
    kernel.write("cg/memory/slice/unit/own/memory.limit_in_bytes", "9223372036854771712")
    kernel.write("cg/memory/slice/unit/memory.limit_in_bytes", "268435456")
    kernel.write("cg/cpu time/slice/unit/own/cpu.cfs_quota_us", "-1")
    kernel.write("cg/cpu time/slice/unit/own/cpu.cfs_period_us", "100000")
    kernel.write("cg/cpu time/slice/cpu.cfs_quota_us", "50000")
    kernel.write("cg/cpu time/slice/cpu.cfs_period_us", "100000")
    assert cgroup.processes_max(kernel.process) == 700
    assert cgroup.memory_max_bytes(kernel.process) == 256 << 20
    assert cgroup.cores_max(kernel.process) == 0.5


@pytest.mark.parametrize("version", [version_1, version_2])
def test_groups_without_limits_limit_nothing(
    tmp_path: Path, version: Callable[[Path], Kernel]
) -> None:
    kernel = version(tmp_path)
    kernel.write("cg/memory/slice/unit/own/memory.limit_in_bytes", "9223372036854771712")
    assert cgroup.processes_max(kernel.process) is None
    assert cgroup.memory_max_bytes(kernel.process) is None
    assert cgroup.cores_max(kernel.process) is None


@pytest.mark.parametrize(
    ("membership", "root"),
    [("/docker/4711", "/docker/4711"), ("/", "/"), ("/../../host", "/"), ("/init", "/docker/4711")],
)
def test_a_group_mounted_as_the_root_of_a_container_counts(
    tmp_path: Path, membership: str, root: str
) -> None:
    mount = f"30 23 0:26 {root} @/cg ro - cgroup2 cgroup2 rw\n"
    kernel = Kernel(tmp_path, f"0::{membership}\n", mount)
    kernel.write("cg/pids.max", "300")
    kernel.write("pids.max", "1")  # no group: it lies outside
    assert cgroup.processes_max(kernel.process) == 300


def test_a_kernel_without_groups_limits_nothing(tmp_path: Path) -> None:
    assert cgroup.processes_max(tmp_path) is None
    assert cgroup.memory_max_bytes(tmp_path) is None
    assert cgroup.cores_max(tmp_path) is None
