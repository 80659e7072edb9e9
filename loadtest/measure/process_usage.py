"""CPU time, memory and threads: of this process, or of any process tree.

The servers have a cheaper meter of their own (``servers/counting/process_tree.py``), since what it
takes counts as theirs.
"""

import os
import resource
import time
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

import psutil

_PAGE_BYTES = os.sysconf("SC_PAGE_SIZE")


def usage_of_self() -> dict[str, float]:
    """Return what this process has used so far.

    ``waiting_s`` is how long its main thread was ready to run while another process had the core
    (proc(5), schedstat): a generator on a shared core loses this time, and its CPU time does not
    show it. It is 0 where the kernel does not count it (gVisor, CONFIG_SCHED_INFO=n).
    """
    used = resource.getrusage(resource.RUSAGE_SELF)
    resident = Path("/proc/self/statm").read_text(encoding="ascii").split()[1]
    try:
        waiting_ns = Path("/proc/self/schedstat").read_text(encoding="ascii").split()[1]
    except OSError:  # not counted here
        waiting_ns = "0"
    return {
        "cpu_user_s": used.ru_utime,
        "cpu_system_s": used.ru_stime,
        "waiting_s": int(waiting_ns) / 1e9,
        "resident_bytes": int(resident) * _PAGE_BYTES,
        "processes": 1,
        "threads": sum(1 for _ in Path("/proc/self/task").iterdir()),
        "context_switches_voluntary": used.ru_nvcsw,
        "context_switches_involuntary": used.ru_nivcsw,
    }


class Cpu(NamedTuple):
    """CPU time in seconds, children included that have ended."""

    user_s: float
    system_s: float


def tree_of(root: int) -> list[psutil.Process]:
    """Return a process and all its descendants.

    Raises:
        psutil.NoSuchProcess: The process has ended.
        OSError: /proc shows no other processes (subset=pid).
    """
    process = psutil.Process(root)
    return [process, *process.children(recursive=True)]


def cpu_of(processes: Iterable[psutil.Process]) -> Cpu:
    """Return the CPU time of processes, their ended threads and reaped children included.

    The CPU clock of a live process counts nanoseconds, but does not split them. The split into user
    and system time comes in ticks of 10 ms, as does the time of reaped children. So the sum of the
    clocks is split as the sum of the ticks is.
    """
    user_s = system_s = alive_s = reaped_user_s = reaped_system_s = 0.0
    for process in processes:
        try:
            ticks = process.cpu_times()
        except psutil.NoSuchProcess:  # it has ended since it was listed: its parent's sum has it
            continue
        user_s += ticks.user
        system_s += ticks.system
        reaped_user_s += ticks.children_user
        reaped_system_s += ticks.children_system
        try:
            # As clock_getcpuclockid(3) makes it, for which Python has no function.
            alive_s += time.clock_gettime((~process.pid << 3) | 2)
        except OSError:  # it has just ended, or the kernel has no such clocks (gVisor)
            alive_s += ticks.user + ticks.system
    user_share = user_s / (user_s + system_s) if user_s + system_s else 0.0
    return Cpu(
        alive_s * user_share + reaped_user_s,
        alive_s * (1 - user_share) + reaped_system_s,
    )


def cpu_s_of_tree(root: int) -> float:
    """Return the CPU time of a process and its descendants so far, in seconds.

    Raises:
        psutil.NoSuchProcess: The process has ended.
    """
    return sum(cpu_of(tree_of(root)))


def usage_of_tree(root: int) -> dict[str, float] | None:
    """Return what a process and its descendants have used so far; None if it has ended."""
    try:
        tree = tree_of(root)
    except (psutil.Error, OSError):  # it has ended, or /proc is hidden (subset=pid)
        return None
    cpu = cpu_of(tree)
    total: dict[str, float] = {
        "cpu_user_s": cpu.user_s,
        "cpu_system_s": cpu.system_s,
        "resident_bytes": 0,
        "processes": 0,
        "threads": 0,
        "context_switches_voluntary": 0,
        "context_switches_involuntary": 0,
    }
    for process in tree:
        try:
            with process.oneshot():
                switches = process.num_ctx_switches()
                total["resident_bytes"] += process.memory_info().rss
                total["threads"] += process.num_threads()
                total["processes"] += 1
                total["context_switches_voluntary"] += switches.voluntary
                total["context_switches_involuntary"] += switches.involuntary
        except psutil.NoSuchProcess:  # it has ended since it was listed
            continue
    return total
