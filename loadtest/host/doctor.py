"""python -m loadtest doctor: check the machine for limits that would spoil a measurement."""

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
"""For 10,000 connections at either end, and as many to spare."""

PORTS_MIN = 28_232
"""The Linux default: 32768 to 60999."""

BACKLOG_MIN = 2048
"""The servers' backlog; the kernel cuts it to its own limit without an error."""

PROCESSES_MIN = 20_000
"""For 10,000 connections with a process each, and as many to spare."""

MEMORY_MIN_BYTES = 2 << 30
"""For 10,000 connections of a model with a thread for each (24 KB, `make bench`), as much for the
generator's own, and four times that to spare. Processes take 0.9 MB each."""

_SYS = Path("/sys/devices/system/cpu")
_COMPOSED = "SHOWCASE_COMMIT" in os.environ
"""Whether this is an image of this project, where limits come from the file .env."""


class Check(NamedTuple):
    """The result of one check.

    Attributes:
        fix: The command that solves the problem; "" if there is none, or no command does.
    """

    name: str
    value: str
    ok: bool
    fix: str = ""


def doctor() -> int:
    """Print all checks; return the exit status: 0, or 1 if one has failed."""
    checks = list(examine())
    tables.print_tables(terminal.console(), table_of(checks))
    return 0 if all(check.ok for check in checks) else 1


def table_of(checks: Iterable[Check]) -> Table:
    """Return the checks as a table."""
    table = Table("check", "value", "", "fix")
    for check in checks:
        table.add_row(check.name, check.value, "ok" if check.ok else "PROBLEM", check.fix)
    return table


def examine() -> Iterator[Check]:
    """Yield all checks."""
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


def _descriptors() -> Check:
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    descriptors = raise_descriptor_limit()
    wanted = int(os.environ.get("DESCRIPTORS") or DESCRIPTORS_MIN) if _COMPOSED else DESCRIPTORS_MIN
    ok = descriptors >= wanted
    raised = f" (raised from {soft:,})" if descriptors > soft else ""
    return Check(
        "descriptors per process",
        f"{descriptors:,}{raised}: {connections_max():,} connections",
        ok,
        _fix(
            ok,
            f"ulimit -Hn {DESCRIPTORS_MIN}, as root or in /etc/security/limits.conf",
            f"DESCRIPTORS={descriptors}",
        ),
    )


def _ports() -> Check:
    what = "source ports per address"
    limits = _read("/proc/sys/net/ipv4/ip_local_port_range", "").split()
    if len(limits) != 2:
        return _hidden(what)
    ports = int(limits[1]) - int(limits[0]) + 1
    ok = ports >= PORTS_MIN
    return Check(
        what,
        f"{ports:,}; uses further loopback addresses automatically",
        ok,
        _fix(
            ok,
            'sysctl net.ipv4.ip_local_port_range="32768 60999"',
            "SOURCE_PORTS=10240 65535",
        ),
    )


def _at_least(what: str, sysctl: str, least: int, fix: str) -> Check:
    limit = _read(f"/proc/sys/{sysctl}", "")
    if not limit:
        return _hidden(what)
    value = int(limit)
    ok = value >= least
    return Check(what, f"{value:,}", ok, _fix(ok, fix, "BACKLOG_MAX=4096"))


def _hidden(what: str) -> Check:
    """Return a check whose value is hidden: /proc may show only processes (proc(5), subset=pid)."""
    return Check(what, "not visible: /proc/sys is hidden", True)


def _fix(ok: bool, command: str, knob: str) -> str:
    """Return the fix: a command, or in an image a setting in .env, which needs a restart."""
    if ok:
        return ""
    return f"{knob} in .env" if _COMPOSED else command


def _processes() -> Check:
    """Check the tightest of four limits. A container may see a pid_max of its own."""
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
    fix = min(limits, key=lambda command: limits[command])
    ok = limits[fix] >= PROCESSES_MIN
    return Check("processes and threads", f"{limits[fix]:,}", ok, "" if ok else fix)


def _quota() -> Check:
    cores = cgroup.cores_max()
    return Check(
        "CPU quota",
        "none" if cores is None else f"{cores:g} cores; then all wait for the next period",
        cores is None,
        ""
        if cores is None
        else "no cpus: in docker-compose.yml, no CPUQuota=; pin to cores instead",
    )


def _memory() -> Check:
    limit, available_bytes = cgroup.memory_max_bytes(), memory_bytes()
    limited = limit == available_bytes
    ok = available_bytes >= MEMORY_MIN_BYTES
    fix = "MemoryMax= of the systemd unit, or mem_limit: of the container"
    return Check(
        "memory",
        f"{available_bytes / 2**30:.1f} GiB{', limited by a control group' if limited else ''}",
        ok,
        "" if ok else fix if limited else "use a machine with more",
    )


def _tracking() -> Check:
    limit = _read("/proc/sys/net/netfilter/nf_conntrack_max", "")
    if not limit and not Path("/proc/sys").exists():
        return _hidden("connection tracking")
    if not limit:
        return Check("connection tracking", "off", True)
    ok = int(limit) >= 2 * DESCRIPTORS_MIN
    return Check(
        "connection tracking",
        f"on, up to {int(limit):,} connections",
        ok,
        "" if ok else f"sysctl net.netfilter.nf_conntrack_max={8 * DESCRIPTORS_MIN}",
    )


def _cores() -> Check:
    cores = len(os.sched_getaffinity(0))
    return Check(
        "cores",
        f"{cores}: server and generator share one" if cores == 1 else f"{cores}",
        cores > 1,
        "" if cores > 1 else "run the generator on another machine: locust --master, --worker",
    )


def _siblings() -> Check:
    """Check whether server and generator would share a physical core (SMT siblings)."""
    shared = {
        lists
        for core in os.sched_getaffinity(0)
        if "," in (lists := _read(f"{_SYS}/cpu{core}/topology/thread_siblings_list", ""))
        or "-" in lists
    }
    if not shared:
        return Check("SMT siblings", "none: each core is a physical one", True)
    ok = len(shared) > 1
    return Check(
        "SMT siblings",
        "; ".join(sorted(shared)),
        ok,
        "" if ok else "echo off > /sys/devices/system/cpu/smt/control",
    )


def _governor() -> Check:
    core = min(os.sched_getaffinity(0))
    governor = _read(f"{_SYS}/cpu{core}/cpufreq/scaling_governor", "")
    ok = governor in ("", "performance")
    return Check(
        "CPU governor",
        governor or "not visible: the host of a virtual machine decides",
        ok,
        "" if ok else "cpupower frequency-set --governor performance",
    )


def _watcher() -> Check:
    """Check for DAMON, which locks each page and visits every process that shares it."""
    switches = [
        *Path("/sys/kernel/mm/damon/admin/kdamonds").glob("*/state"),
        *Path("/sys/module").glob("damon_*/parameters/enabled"),
    ]
    on = [switch for switch in map(str, switches) if _read(switch, "off") in ("on", "Y")]
    return Check(
        "memory monitoring (DAMON)",
        "on: forks slow down as children accumulate" if on else "off",
        not on,
        "; ".join(f"echo {'off' if switch.endswith('state') else 'N'} > {switch}" for switch in on),
    )


def _proxies() -> Check:
    if _COMPOSED:
        return Check("container proxies", "not visible from inside a container", True)
    proxies = [p.pid for p in psutil.process_iter(["name"]) if p.info["name"] == "docker-proxy"]
    return Check(
        "container proxies",
        f"{len(proxies)}: a load through a published port measures them" if proxies else "none",
        not proxies,
        "run the load inside the containers' network" if proxies else "",
    )


def _idle() -> Check:
    try:
        busy = psutil.cpu_percent(interval=1.0)
    except OSError:  # /proc/stat is hidden (subset=pid)
        return Check("other load on the machine", "not visible: /proc is hidden", True)
    ok = busy < 10
    return Check(
        "other load on the machine",
        f"{busy:.0f} % of all cores in the last second",
        ok,
        "" if ok else "stop it; top shows which processes",
    )


def _read(path: str, default: str) -> str:
    try:
        return Path(path).read_text(encoding="ascii").strip()
    except OSError:  # this kernel or machine does not have it
        return default
