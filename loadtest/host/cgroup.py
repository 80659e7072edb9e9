"""The limits of the control groups of this process, such as a container's (cgroups(7)).

A group gets no more than each group around it, so the tightest limit counts. The groups above a
container's namespace are not visible from inside.
"""

import re
from collections.abc import Callable, Iterator
from pathlib import Path

_PROCESS = Path("/proc/self")
_MEMORY_UNLIMITED_BYTES = 1 << 60
"""Version 1 shows the largest number of whole pages if there is no limit."""

_ESCAPED = re.compile(r"\\([0-7]{3})")

_Limits = Callable[[Path, int], list[float | None]]
"""Takes a group's folder and the version of cgroups; returns its limits, None for none."""


def processes_max(process: Path = _PROCESS) -> int | None:
    """Return the most processes and threads together; None: no limit.

    Args:
        process: The process's folder in ``/proc``.
    """
    limit = _tightest(process, "pids", lambda group, _: [_number(group / "pids.max")])
    return None if limit is None else int(limit)


def memory_max_bytes(process: Path = _PROCESS) -> int | None:
    """Return the most memory; beyond it, allocations fail or are throttled. None: no limit."""

    def limits(group: Path, version: int) -> list[float | None]:
        names = ("memory.max", "memory.high") if version == 2 else ("memory.limit_in_bytes",)
        return [_number(group / name) for name in names]

    limit = _tightest(process, "memory", limits)
    return None if limit is None or limit >= _MEMORY_UNLIMITED_BYTES else int(limit)


def cores_max(process: Path = _PROCESS) -> float | None:
    """Return the CPU quota, in cores, on whichever cores; None: no limit."""

    def limits(group: Path, version: int) -> list[float | None]:
        if version == 2:
            quota, _, period = _read(group / "cpu.max").partition(" ")
        else:
            quota, period = (_read(group / f"cpu.cfs_{name}_us") for name in ("quota", "period"))
        known = quota.isdecimal() and period.isdecimal()  # else "max", -1, or no such file
        return [int(quota) / int(period) if known else None]

    return _tightest(process, "cpu", limits)


def _tightest(process: Path, controller: str, limits: _Limits) -> float | None:
    every = (
        limit for group, version in _groups(process, controller) for limit in limits(group, version)
    )
    return min((limit for limit in every if limit is not None), default=None)


def _groups(process: Path, controller: str) -> Iterator[tuple[Path, int]]:
    """Yield the folders of the groups the process is in, innermost first, with the version."""
    groups = dict[str, str]()  # controller -> group; "" is version 2
    for line in _read(process / "cgroup").splitlines():
        _, controllers, group = line.split(":", 2)
        groups |= dict.fromkeys(controllers.split(","), group)
    for line in _read(process / "mountinfo").splitlines():
        before, _, after = line.partition(" - ")  # proc_pid_mountinfo(5)
        kind, _, options = after.split(" ", 2)
        if kind == "cgroup2" and "" in groups:
            group, version = groups[""], 2
        elif kind == "cgroup" and controller in options.split(",") and controller in groups:
            group, version = groups[controller], 1
        else:
            continue
        root, mounted = (_unescaped(part) for part in before.split(" ")[3:5])
        # A bind mount shows a part of the tree; of a group outside it, only the root is visible.
        inside = f"{group}/".startswith(f"{root.rstrip('/')}/") and ".." not in group.split("/")
        folder = top = Path(mounted)
        if inside:
            folder = top / group.removeprefix(root.rstrip("/")).lstrip("/")
        while True:
            yield folder, version
            if folder == top:
                break
            folder = folder.parent


def _unescaped(part: str) -> str:
    return _ESCAPED.sub(lambda match: chr(int(match[1], 8)), part)


def _number(path: Path) -> int | None:
    text = _read(path)
    return int(text) if text.isdecimal() else None  # else "max", -1, or no such file


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8", errors="surrogateescape").strip()
    except OSError:  # not in this kernel or version, or in the root group
        return ""
