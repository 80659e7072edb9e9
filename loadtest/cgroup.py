"""What the control group of this process, such as a container's, allows it (cgroups(7))."""

from collections.abc import Iterator
from pathlib import Path

_ROOT = Path("/sys/fs/cgroup")
_UNLIMITED = ("max", "-1")


def processes_max() -> int | None:
    """Return the most processes and threads; None: no limit of the group's own."""
    value = _read("pids", "pids.max", "pids.max")
    return None if value in _UNLIMITED else int(value)


def cores_max() -> float | None:
    """Return how many cores' time it may take, whichever cores; None: no limit."""
    quota = _read("cpu", "cpu.max", "cpu.cfs_quota_us").split()[0]
    if quota in _UNLIMITED:
        return None
    period = (_read("cpu", "cpu.max", "cpu.cfs_period_us").split() or ["100000"])[-1]
    return int(quota) / int(period)


def _read(controller: str, name: str, name_in_version_1: str) -> str:
    """Return the content of the group's file; "max" where there is none."""
    for path in _files(controller, name, name_in_version_1):
        try:
            return path.read_text(encoding="ascii").strip()
        except OSError:  # the root group has no limits; a container may see its own as the root
            continue
    return "max"


def _files(controller: str, name: str, name_in_version_1: str) -> Iterator[Path]:
    try:
        lines = Path("/proc/self/cgroup").read_text(encoding="utf-8").splitlines()
    except OSError:  # a kernel without
        return
    for line in lines:
        _, controllers, group = line.split(":", 2)
        below = group.lstrip("/")
        if not controllers:
            yield _ROOT / below / name
            yield _ROOT / name
        elif controller in controllers.split(","):
            yield _ROOT / controller / below / name_in_version_1
            yield _ROOT / controller / name_in_version_1
