"""python -m loadtest doctor: what of this machine would spoil a measurement, and what mends it."""

import os
import resource
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import NamedTuple

import psutil
from rich.table import Table

from loadtest.host import cgroup, tables, terminal
from loadtest.host.descriptors import connections_max, raise_descriptor_limit
from loadtest.host.machine import memory_bytes

DESCRIPTORS_MIN = 20_000
"""For 10,000 connections at either end with as much to spare."""

PORTS_MIN = 28_232
"""As Linux comes: 32768 to 60999."""

BACKLOG_MIN = 2048
"""What the servers ask for; the kernel silently cuts it to its own limit."""

PROCESSES_MIN = 20_000
"""For a process per connection of 10,000."""

MEMORY_MIN_BYTES = 2 << 30
"""For 10,000 connections of a model with a thread for each (24 KB, `make bench`), as much for the
generator's own, and four times that to spare. Processes take 0.9 MB each."""

_SYS = Path("/sys/devices/system/cpu")
_COMPOSED = "SHOWCASE_COMMIT" in os.environ
"""Whether this is one of our images, where limits come from the file .env."""


class Finding(NamedTuple):
    """Something looked at.

    Attributes:
        mend: The command that mends it; "" if it is fine, or nothing does.
    """

    what: str
    found: str
    fine: bool
    mend: str = ""


def doctor() -> int:
    """Print what was found; return the exit status: 0, or 1 when something is not fine."""
    findings = list(examine())
    tables.print_tables(terminal.console(), table_of(findings))
    return 0 if all(finding.fine for finding in findings) else 1


def table_of(findings: Iterable[Finding]) -> Table:
    """Return what was found as a table."""
    table = Table("what", "found", "", "what mends it")
    for finding in findings:
        table.add_row(
            finding.what, finding.found, "fine" if finding.fine else "NOT FINE", finding.mend
        )
    return table


def examine() -> Iterator[Finding]:
    """Look at all there is."""
    yield _descriptors()
    yield _ports()
    yield _at_least(
        "accept queue", "net/core/somaxconn", BACKLOG_MIN, "sysctl net.core.somaxconn=4096"
    )
    yield _at_least(
        "handshakes in progress", "net/ipv4/tcp_max_syn_backlog", BACKLOG_MIN,
        "sysctl net.ipv4.tcp_max_syn_backlog=4096",
    )  # fmt: skip
    yield _processes()
    yield _tracking()
    yield _cores()
    yield _quota()
    yield _memory()
    yield _siblings()
    yield _governor()
    yield _watcher()
    yield _proxies()
    yield _idle()


def _descriptors() -> Finding:
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    descriptors = raise_descriptor_limit()
    wanted = int(os.environ.get("DESCRIPTORS") or DESCRIPTORS_MIN) if _COMPOSED else DESCRIPTORS_MIN
    fine = descriptors >= wanted
    return Finding(
        "descriptors a process",
        f"{descriptors:,} (raised from {soft:,}): {connections_max():,} connections",
        fine,
        _mend(
            fine,
            f"ulimit -Hn {DESCRIPTORS_MIN}, as root or in /etc/security/limits.conf",
            f"DESCRIPTORS={descriptors}",
        ),
    )


def _ports() -> Finding:
    what = "ports of one source address"
    limits = _read("/proc/sys/net/ipv4/ip_local_port_range", "").split()
    if len(limits) != 2:
        return _hidden(what)
    ports = int(limits[1]) - int(limits[0]) + 1
    fine = ports >= PORTS_MIN
    return Finding(
        what,
        f"{ports:,}; on loopback further addresses are used by themselves",
        fine,
        _mend(
            fine,
            'sysctl net.ipv4.ip_local_port_range="32768 60999"',
            "SOURCE_PORTS=10240 65535",
        ),
    )


def _at_least(what: str, sysctl: str, least: int, mend: str) -> Finding:
    limit = _read(f"/proc/sys/{sysctl}", "")
    if not limit:
        return _hidden(what)
    value = int(limit)
    fine = value >= least
    return Finding(what, f"{value:,}", fine, _mend(fine, mend, "BACKLOG_MAX=4096"))


def _hidden(what: str) -> Finding:
    """Find that it cannot be found: /proc may show processes only (proc(5), subset=pid)."""
    return Finding(what, "not ours to see: /proc/sys is hidden", True)


def _mend(fine: bool, command: str, knob: str) -> str:
    """Return what mends it: a command, or in our images a knob and a restart."""
    if fine:
        return ""
    return f"{knob} in .env" if _COMPOSED else command


def _processes() -> Finding:
    """Find the tightest of four limits. A container may be shown a pid_max of its own."""
    allowed = resource.getrlimit(resource.RLIMIT_NPROC)[1]
    group = cgroup.processes_max()
    limits = {}
    for name in ("pid_max", "threads-max"):
        if limit := _read(f"/proc/sys/kernel/{name}", ""):
            limits[f"sysctl kernel.{name}=131072"] = int(limit)
    if allowed != resource.RLIM_INFINITY:
        limits[f"ulimit -Hu {PROCESSES_MIN}"] = allowed
    if group is not None:
        limits["TasksMax= of the systemd unit, or pids_limit: of the container"] = group
    if not limits:
        return _hidden("processes and threads")
    mend = min(limits, key=lambda way: limits[way])
    fine = limits[mend] >= PROCESSES_MIN
    return Finding("processes and threads", f"{limits[mend]:,}", fine, "" if fine else mend)


def _quota() -> Finding:
    cores = cgroup.cores_max()
    return Finding(
        "time on the cores",
        "all of it" if cores is None else f"of {cores:g} cores, then all wait for the next period",
        cores is None,
        "" if cores is None else "no cpus: in docker-compose.yml, no CPUQuota=; name cores instead",
    )


def _memory() -> Finding:
    limit, found_bytes = cgroup.memory_max_bytes(), memory_bytes()
    limited = limit == found_bytes
    fine = found_bytes >= MEMORY_MIN_BYTES
    mend = "MemoryMax= of the systemd unit, or mem_limit: of the container"
    return Finding(
        "memory",
        f"{found_bytes / 2**30:.1f} GiB{', by the limit of a control group' if limited else ''}",
        fine,
        "" if fine else mend if limited else "a machine with more",
    )


def _tracking() -> Finding:
    limit = _read("/proc/sys/net/netfilter/nf_conntrack_max", "")
    if not limit and not Path("/proc/sys").exists():
        return _hidden("connection tracking")
    if not limit:
        return Finding("connection tracking", "off", True)
    fine = int(limit) >= 2 * DESCRIPTORS_MIN
    return Finding(
        "connection tracking",
        f"on, {int(limit):,} connections at most",
        fine,
        "" if fine else f"sysctl net.netfilter.nf_conntrack_max={8 * DESCRIPTORS_MIN}",
    )


def _cores() -> Finding:
    cores = len(os.sched_getaffinity(0))
    return Finding(
        "cores",
        f"{cores}: server and generator share one" if cores == 1 else f"{cores}",
        cores > 1,
        "" if cores > 1 else "run the generator on another machine: locust --master, --worker",
    )


def _siblings() -> Finding:
    """Look whether a core of the server's and one of the generator's are halves of the same."""
    shared = {
        lists
        for core in os.sched_getaffinity(0)
        if "," in (lists := _read(f"{_SYS}/cpu{core}/topology/thread_siblings_list", ""))
        or "-" in lists
    }
    if not shared:
        return Finding("halves of one core", "none: each is a core of its own", True)
    fine = len(shared) > 1
    return Finding(
        "halves of one core",
        "; ".join(sorted(shared)),
        fine,
        "" if fine else "echo off > /sys/devices/system/cpu/smt/control",
    )


def _governor() -> Finding:
    core = min(os.sched_getaffinity(0))
    governor = _read(f"{_SYS}/cpu{core}/cpufreq/scaling_governor", "")
    fine = governor in ("", "performance")
    return Finding(
        "clock of the cores",
        governor or "not ours to see: a virtual machine's host decides",
        fine,
        "" if fine else "cpupower frequency-set --governor performance",
    )


def _watcher() -> Finding:
    """Look for DAMON: it visits all processes that share a page, for each page, and locks it."""
    switches = [
        *Path("/sys/kernel/mm/damon/admin/kdamonds").glob("*/state"),
        *Path("/sys/module").glob("damon_*/parameters/enabled"),
    ]
    on = [switch for switch in map(str, switches) if _read(switch, "off") in ("on", "Y")]
    return Finding(
        "memory watched by the kernel",
        "yes (kdamond): forks take longer the more children there are" if on else "no",
        not on,
        "; ".join(f"echo {'off' if switch.endswith('state') else 'N'} > {switch}" for switch in on),
    )


def _proxies() -> Finding:
    if _COMPOSED:
        return Finding("proxies of containers", "not ours to see from inside of one", True)
    proxies = [p.pid for p in psutil.process_iter(["name"]) if p.info["name"] == "docker-proxy"]
    return Finding(
        "proxies of containers",
        f"{len(proxies)}: what is loaded through a published port is theirs" if proxies else "none",
        not proxies,
        "run the load inside the container's network" if proxies else "",
    )


def _idle() -> Finding:
    try:
        busy = psutil.cpu_percent(interval=1.0)
    except OSError:  # /proc/stat is hidden, too
        return Finding("other work on the machine", "not ours to see: /proc is hidden", True)
    fine = busy < 10
    return Finding(
        "other work on the machine",
        f"{busy:.0f} % of all cores in the last second",
        fine,
        "" if fine else "end it: top shows what it is",
    )


def _read(path: str, default: str) -> str:
    try:
        return Path(path).read_text(encoding="ascii").strip()
    except OSError:  # this kernel, or this machine, does not have it
        return default
