"""Processes that the benchmark starts, and what they have used of the machine."""

import ctypes
import os
import time
from contextlib import suppress
from pathlib import Path

_TICKS_PER_S = os.sysconf("SC_CLK_TCK")
_PR_SET_CHILD_SUBREAPER = 36
_CPU_CLOCK_OF_PROCESS = 2


class BenchError(Exception):
    """Something could not be measured; says why."""


def adopt_orphans() -> None:
    """Become the parent of every descendant whose own has ended (prctl(2)).

    When a group has been killed, each of its processes can then be waited for: the next
    measurement does not share the machine with 10,000 that are still ending.
    """
    ctypes.CDLL(None).prctl(_PR_SET_CHILD_SUBREAPER, ctypes.c_ulong(1))


def tree_of(root: int) -> list[int]:
    """Return a process and all its descendants."""
    pids = [root]
    for pid in pids:  # it grows meanwhile
        for children in Path(f"/proc/{pid}/task").glob("*/children"):
            with suppress(FileNotFoundError, ProcessLookupError):  # ended since it was listed
                pids += map(int, children.read_text(encoding="ascii").split())
    return pids


def cpu_s_of(root: int) -> float:
    """Return the CPU time of a process tree, of threads and children that have ended, too.

    A living process is asked for its CPU clock, which counts nanoseconds; of children that have
    ended the kernel tells ticks of 10 ms.
    """
    total_s = 0.0
    for pid in tree_of(root):
        clock = (~pid << 3) | _CPU_CLOCK_OF_PROCESS  # as clock_getcpuclockid(3) makes it
        try:
            total_s += time.clock_gettime(clock)
            stat = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace")
        except OSError:  # it has ended since it was listed: its parent's sums have it
            continue
        ended_user, ended_system = stat.rpartition(")")[2].split()[13:15]
        total_s += (int(ended_user) + int(ended_system)) / _TICKS_PER_S
    return total_s


def cpu_s_of_machine() -> float:
    """Return the CPU time of all processes of the machine (proc(5), stat: user, nice, system)."""
    with Path("/proc/stat").open(encoding="ascii") as stat:
        return sum(map(int, stat.readline().split()[1:4])) / _TICKS_PER_S


def received_bytes_of(pid: int) -> int:
    """Return what a process has read so far, from sockets above all; it may have just ended."""
    for line in Path(f"/proc/{pid}/io").read_text(encoding="ascii").splitlines():
        name, _, value = line.partition(": ")
        if name == "rchar":
            return int(value)
    raise BenchError(f"expected rchar in /proc/{pid}/io, got none: this kernel does not count it")
