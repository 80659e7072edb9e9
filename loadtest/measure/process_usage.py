"""What a process has used of the machine: the generator's own, or the tree of any server."""

import os
import resource
from pathlib import Path

import psutil

_PAGE_BYTES = os.sysconf("SC_PAGE_SIZE")


def usage_of_self() -> dict[str, float]:
    """Return what this process has used so far.

    ``waiting_s`` is the time its main thread was ready to run while the core was another's: what
    a generator on a crowded core lacks, and no CPU time shows (proc(5), schedstat). It is 0 where
    the kernel does not count it (gVisor, CONFIG_SCHED_INFO=n).
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


def usage_of_tree(pid: int) -> dict[str, float] | None:
    """Return what a process and its descendants have used so far; None if it has gone.

    CPU time of descendants that have ended is in their parents' sums.
    """
    total: dict[str, float] = dict.fromkeys(usage_of_self(), 0.0)
    try:
        root = psutil.Process(pid)
        tree = [root, *root.children(recursive=True)]
    except (psutil.Error, OSError):  # it has ended, or what psutil reads is hidden (subset=pid)
        return None
    for process in tree:
        try:
            with process.oneshot():
                cpu, switches = process.cpu_times(), process.num_ctx_switches()
                total["cpu_user_s"] += cpu.user + cpu.children_user
                total["cpu_system_s"] += cpu.system + cpu.children_system
                total["resident_bytes"] += process.memory_info().rss
                total["threads"] += process.num_threads()
                total["processes"] += 1
                total["context_switches_voluntary"] += switches.voluntary
                total["context_switches_involuntary"] += switches.involuntary
        except psutil.NoSuchProcess:  # it has ended since it was listed: its parent's sum has it
            continue
    del total["waiting_s"]
    return total
