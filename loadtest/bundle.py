"""The folder of a run: enough to compute every number again, and to say what it was run on."""

import json
import os
import platform
import resource
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import asdict
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

from loadtest.cell import Cores, Measurement
from loadtest.result import Result

_PACKAGES = ["locust", "gevent", "greenlet", "uvloop", "httptools", "prometheus-client"]
_SYSCTLS = ["net/core/somaxconn", "net/ipv4/ip_local_port_range", "net/ipv4/tcp_tw_reuse"]


def create(out: Path) -> Path:
    """Make the folder of a new run, named by the time in UTC, and return it."""
    folder = out / datetime.now(UTC).strftime("%Y-%m-%dT%H-%M-%SZ")
    folder.mkdir(parents=True)
    return folder


def write_run(folder: Path, options: Mapping[str, Any], cores: Cores) -> None:
    """Write down the command and the machine, as the kernel describes it."""
    _write(
        folder / "run.json",
        {
            "command": ["python", "-m", "loadtest", *sys.argv[1:]],
            "options": dict(options),
            "started": datetime.now(UTC).isoformat(timespec="seconds"),
            "commit": _commit(),
            "versions": {"python": platform.python_version()}
            | {package: version(package) for package in _PACKAGES},
            "kernel": platform.release(),
            "cpu": _cpu_model(),
            "memory_bytes": os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE"),
            "cores": asdict(cores),
            "limits": {
                "descriptors": resource.getrlimit(resource.RLIMIT_NOFILE),
                "processes": resource.getrlimit(resource.RLIMIT_NPROC),
            }
            | {
                name: Path("/proc/sys", name).read_text(encoding="ascii").split()
                for name in _SYSCTLS
            },
        },
    )


def write_cell(folder: Path, result: Result, measured: Measurement) -> None:
    """Write a cell's numbers and, apart, the raw values they were computed from."""
    raw = asdict(measured)
    _write(folder / "service_times_ms.json", raw.pop("service_times_ms"))
    _write(folder / "cell.json", asdict(result) | {"raw": raw})


def _write(path: Path, content: object) -> None:
    indent = None if isinstance(content, list) else 2
    path.write_text(json.dumps(content, indent=indent) + "\n", encoding="utf-8")


def _commit() -> str | None:
    """Return the commit, marked where files differ from it; None outside a repository."""
    try:
        git = subprocess.run(
            # Whichever git the user has.
            ["git", "describe", "--always", "--dirty", "--abbrev=40", "--exclude=*"],  # noqa: S607
            cwd=Path(__file__).parent, capture_output=True, text=True, check=True,
        )  # fmt: skip
    except (OSError, subprocess.CalledProcessError):  # no git, or installed from a wheel
        return None
    return git.stdout.strip()


def _cpu_model() -> str:
    with Path("/proc/cpuinfo").open(encoding="utf-8") as lines:
        return next(
            (line.partition(":")[2].strip() for line in lines if line.startswith("model name")),
            platform.machine(),
        )
