"""A description of the run and its machine, for run.json; and folders for results."""

import json
import os
import platform
import resource
import subprocess
import sys
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from loadtest.host import cgroup
from loadtest.host.command_line import hidden_in
from loadtest.host.descriptors import raise_descriptor_limit
from loadtest.host.files import write_whole

_SYSCTLS = (
    "kernel/pid_max",
    "net/core/somaxconn",
    "net/ipv4/ip_local_port_range",
    "net/ipv4/tcp_tw_reuse",
)


def new_folder(out: Path, suffix: str = "") -> Path:
    """Make the folder of a new run, named by the time in UTC, and return it.

    A further run in the same second gets a number: ``2026-11-23T12-00-00Z-2``.
    """
    out.mkdir(parents=True, exist_ok=True)
    begun = datetime.now(UTC).strftime("%Y-%m-%dT%H-%M-%SZ")
    folder, number = out / f"{begun}{suffix}", 1
    while True:
        try:
            folder.mkdir()
        except FileExistsError:  # another run began in the same second
            number += 1
            folder = out / f"{begun}-{number}{suffix}"
        else:
            return folder


def host_path(path: Path) -> Path:
    """Return a path as the user sees it: outside a container, results lie elsewhere."""
    outside, inside = os.environ.get("SHOWCASE_RESULTS"), Path("results").absolute()
    if outside is None or not path.absolute().is_relative_to(inside):
        return path
    return Path(outside) / path.absolute().relative_to(inside)


def write_json(path: Path, content: object) -> None:
    """Write JSON, whole or not at all."""
    indent = None if isinstance(content, list) else 2
    write_whole(path, json.dumps(content, indent=indent) + "\n")


def describe_run(
    module: str, options: Mapping[str, Any], packages: Iterable[str]
) -> dict[str, Any]:
    """Return the command, its options, versions, and the machine with its limits."""
    groups = {"processes of the group": cgroup.processes_max(), "cores' time": cgroup.cores_max()}
    return {
        # JSON cannot hold an argument that is not UTF-8 (PEP 383).
        "command": ["python", "-m", module, *map(_as_utf8, hidden_in(sys.argv[1:]))],
        "options": dict(options),
        "started": datetime.now(UTC).isoformat(timespec="seconds"),
        "commit": _commit(),
        "versions": {"python": platform.python_version()}
        | {package: _version(package) for package in packages},
        "kernel": platform.release(),
        "cpu": _cpu_model(),
        "cores": sorted(os.sched_getaffinity(0)),
        "memory_bytes": memory_bytes(),
        "limits": {
            "descriptors": (
                raise_descriptor_limit(),
                resource.getrlimit(resource.RLIMIT_NOFILE)[1],
            ),
            "processes": resource.getrlimit(resource.RLIMIT_NPROC),
        }
        | {name: limit for name, limit in groups.items() if limit is not None}
        | {name: _sysctl(name) for name in _SYSCTLS},
    }


def memory_bytes() -> int:
    """Return the memory for this process: the machine's, or the limit of its control groups."""
    machines = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    return min(machines, cgroup.memory_max_bytes() or machines)


def _as_utf8(argument: str) -> str:
    """Return an argument with escapes for bytes that are not UTF-8 (PEP 383)."""
    return os.fsencode(argument).decode("utf-8", "backslashreplace")


def _commit() -> str | None:
    if "SHOWCASE_COMMIT" in os.environ:  # an image of this project has no git
        commit = os.environ["SHOWCASE_COMMIT"]
        file = Path(__file__).parent.parent.parent / "COMMIT"
        built = file.read_text(encoding="ascii").strip() if file.exists() else ""
        return built if commit == "unknown" else commit
    return first_output_line("git", "describe", "--always", "--dirty", "--abbrev=40", "--exclude=*")


def first_output_line(*command: str) -> str | None:
    """Return the first line that a program prints; None if it is missing or prints nothing."""
    try:
        done = subprocess.run(  # noqa: S603  # the user's git or wrk
            command, cwd=Path(__file__).parent, stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL, text=True, check=False,
        )  # fmt: skip
    except OSError:  # not installed
        return None
    return done.stdout.partition("\n")[0] or None


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:  # not needed for this run
        return None


def _sysctl(name: str) -> list[str]:
    try:
        return Path("/proc/sys", name).read_text(encoding="ascii").split()
    except OSError:  # hidden (subset=pid), or not in this kernel
        return []


def _cpu_model() -> str:
    try:
        text = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace")
    except OSError:  # hidden (subset=pid)
        text = ""
    return next(
        (
            line.partition(":")[2].strip()
            for line in text.splitlines()
            if line.startswith("model name")
        ),
        platform.machine(),
    )
