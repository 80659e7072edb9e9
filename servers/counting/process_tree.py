"""What the server's processes have used, summed over the whole tree, from /proc (proc(5)).

Two short files a process, read with plain system calls: a process costs 33 microseconds, where
psutil takes 150; with 10,000 children that is the difference between a third of a second and
one and a half.
"""

import errno
import os
import resource
import time
from collections.abc import Sequence
from typing import NamedTuple

from servers.counting.counters import Used

_PAGE_BYTES = os.sysconf("SC_PAGE_SIZE")
_TICKS_PER_S = os.sysconf("SC_CLK_TCK")


class NoDescriptorError(Exception):
    """No descriptor is left to look with: no figure is better than one that lacks most of it."""


class Usage(NamedTuple):
    """Sums over a process and its children; the dead ones' CPU time and switches included.

    No processes: /proc is hidden, so that memory and threads are not known.
    """

    user_s: float
    system_s: float
    rss_bytes: int
    processes: int
    threads: int
    context_switches: int


def tree_of(root: int, generations: int) -> list[int]:
    """Return a process, its children, and their children, so many generations below it."""
    tree = newest = [root]
    for _ in range(generations):
        newest = [child for pid in newest for child in children_of(pid)]
        tree = tree + newest
    return tree


def usage_of_tree(tree: Sequence[int], dead: Used) -> Usage | None:
    """Return what these processes have used, and those that are dead; None if that is hidden.

    Args:
        tree: Pids.
        dead: Of children waited for, which only their parent can ask for.
    """
    user_s, system_s, switches = dead
    user_ticks = system_ticks = cpu_ns = 0
    rss_pages = processes = threads = 0
    own_pid = os.getpid()
    if own_pid in tree:  # exact, with all its threads, those that have ended included
        own = resource.getrusage(resource.RUSAGE_SELF)
        user_s += own.ru_utime
        system_s += own.ru_stime
        switches += own.ru_nvcsw + own.ru_nivcsw
    for pid in tree:
        try:
            stat = _read(f"/proc/{pid}/stat")
        except OSError:  # it has ended since it was listed, or there is no /proc
            continue
        fields = stat[stat.rindex(b")") + 2 :].split()
        processes += 1
        threads += int(fields[17])
        rss_pages += int(fields[21])
        if pid != own_pid:
            user_ticks += int(fields[11])
            system_ticks += int(fields[12])
            cpu_ns += _cpu_ns_of(pid, int(fields[11]) + int(fields[12]))
            switches += _switches_of(pid, int(fields[17]))
    if not processes and own_pid not in tree:
        return None
    # Of another process the split comes in ticks of 10 ms, too coarse to add up over thousands;
    # the sum comes in nanoseconds. So the sum is added up, and split as all the ticks are.
    user_share = user_ticks / max(user_ticks + system_ticks, 1)
    return Usage(
        user_s=user_s + cpu_ns / 1e9 * user_share,
        system_s=system_s + cpu_ns / 1e9 * (1 - user_share),
        rss_bytes=rss_pages * _PAGE_BYTES,
        processes=processes,
        threads=threads,
        context_switches=switches,
    )


def pss_bytes_of_tree(tree: Sequence[int]) -> int | None:
    """Return the proportional set size: 0.1 to 0.3 ms a process, so only when asked for.

    None where the kernel does not say (before Linux 4.14, or it is hidden).
    """
    total = None
    for pid in tree:
        try:
            rollup = _read(f"/proc/{pid}/smaps_rollup")
        except OSError:  # it has ended since it was listed, or somebody forbids to look
            continue
        total = (total or 0) + int(rollup.partition(b"\nPss:")[2].split(maxsplit=1)[0]) * 1024
    return total


def children_of(pid: int) -> list[int]:
    """Return the pids of the children of a process's main thread; none once it has ended.

    Nor where the kernel does not list them (CONFIG_PROC_CHILDREN): then only dead ones are counted.
    """
    try:
        return [int(child) for child in _read(f"/proc/{pid}/task/{pid}/children").split()]
    except OSError:  # it has ended, or they are hidden
        return []


def _cpu_ns_of(pid: int, ticks: int) -> int:
    """Return the CPU time of another process; from its ticks, where it has no clock to be read."""
    try:
        return time.clock_gettime_ns(_cpu_clock_of(pid))
    except OSError:  # it has ended just now, or the kernel does not have such clocks
        return ticks * 10**9 // _TICKS_PER_S


def _cpu_clock_of(pid: int) -> int:
    """Return the clock that counts the CPU time of all a process's threads, dead ones included.

    What clock_getcpuclockid(3) returns, for which Python has no function.
    """
    return (~pid << 3) | 2


def _switches_of(pid: int, threads: int) -> int:
    """Return how often another process's threads were switched to; of those alive only."""
    try:
        tasks = os.listdir(f"/proc/{pid}/task") if threads > 1 else [pid]  # noqa: PTH208 - only names
        return sum(int(_read(f"/proc/{pid}/task/{task}/schedstat").split()[2]) for task in tasks)
    except OSError:  # it has ended just now, or the kernel does not count them (SCHEDSTATS)
        return 0


def _read(path: str) -> bytes:
    try:
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except OSError as error:  # of the machine: it says nothing about what is to be read
        if error.errno in (errno.EMFILE, errno.ENFILE):
            raise NoDescriptorError from error
        raise
    try:
        parts = []
        while part := os.read(fd, 65536):
            parts.append(part)
        return b"".join(parts)
    finally:
        os.close(fd)
