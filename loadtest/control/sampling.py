"""Samples of the server and of the kernel, once a second, on the clock of the load."""

import math
import time
from pathlib import Path
from typing import Any

from prometheus_client.parser import text_string_to_metric_families
from prometheus_client.samples import Sample

from loadtest.client.address import Address
from loadtest.client.clients import HTTPClient
from loadtest.limits import SCRAPE_LIMIT_S
from loadtest.measure.clock import now_s
from loadtest.measure.errors import ReplyError
from loadtest.measure.process_usage import usage_of_tree

_SERVER = {
    "server_cpu_seconds_total{user}": "cpu_user_s",
    "server_cpu_seconds_total{system}": "cpu_system_s",
    "server_resident_bytes": "resident_bytes",
    "server_proportional_bytes": "proportional_bytes",
    "server_threads": "threads",
    "server_processes": "processes",
    "server_context_switches_total": "context_switches",
    "server_open_connections{http}": "open_http",
    "server_open_connections{echo}": "open_echo",
    "server_requests_total{http}": "requests_http",
    "server_received_bytes_total{echo}": "received_bytes_echo",
}
"""Name in our servers' /metrics -> name in a sample."""

_KERNEL = {
    "netstat": ("ListenOverflows", "ListenDrops", "TCPTimeouts", "TCPSynRetrans"),
    "snmp": ("RetransSegs",),
}
"""Counters of /proc/net, for the whole network namespace (kernel: snmp_counter.rst). A connection
that finds the accept queue full counts as ListenOverflows."""


class Sampler:
    """Takes samples of one server.

    Args:
        address: Of its HTTP; None if it has none.
        pid: Measure this process tree instead of reading /metrics; None: read them.

    Attributes:
        samples: All so far.
        cpu_s: CPU time that parsing took.
        conditions: Limits and socket options under which the server serves, from /metrics.
        servers: Models named in /metrics: more than one if another server took over the address.
    """

    def __init__(self, address: Address | None, pid: int | None) -> None:
        self._address, self._pid = address, pid
        self.samples: list[dict[str, Any]] = []
        self.cpu_s = 0.0
        self.conditions: dict[str, float] = {}
        self.servers: list[str] = []
        self.says = pid is None and address is not None and self._scrape() is not None

    def sample(self, proportional: bool = False) -> dict[str, Any]:
        """Take and keep a sample of the kernel and, if possible, of the server.

        Args:
            proportional: With proportional memory, which costs 0.3 ms a process.
        """
        sample: dict[str, Any] = {"time_s": now_s(), "kernel": kernel_counters()}
        if self._pid is not None:
            sample["server"] = usage_of_tree(self._pid)
        elif self.says:
            sample["server"] = self._scrape("?memory=pss" if proportional else "")
        else:
            sample["server"] = None
        self.samples.append(sample)
        return sample

    def _scrape(self, query: str = "") -> dict[str, float] | None:
        """Return a sample from the server's /metrics; None without our metrics."""
        assert self._address is not None
        try:
            with HTTPClient(self._address, SCRAPE_LIMIT_S) as client:
                text = client.get("/metrics" + query, expected=None)
        except ReplyError:  # no /metrics, or no reply in time
            return None
        begin_s = time.process_time()
        values = parsed(text)
        self.cpu_s += time.process_time() - begin_s
        if not values:
            return None
        self.conditions = self.conditions or conditions(text)
        self.servers += [model for model in models(text) if model not in self.servers]
        return values


def parsed(text: bytes) -> dict[str, float]:
    """Return a sample from a Prometheus text of ours; an empty one from any other text.

    Another server may use one of our names: the text is ours if it has all that a cost needs.
    """
    values = {}
    for sample in _samples(text, _PREFIXES):
        labels = ",".join(sample.labels.values())
        name = _SERVER.get(f"{sample.name}{{{labels}}}" if labels else sample.name)
        if name is not None:
            values[name] = sample.value
    return values if values.keys() >= _NEEDED else {}


def conditions(text: bytes) -> dict[str, float]:
    """Return limits and socket options from a Prometheus text of ours."""
    return {
        " ".join(sample.labels.values()): sample.value for sample in _samples(text, _CONDITIONS)
    }


def models(text: bytes) -> list[str]:
    """Return the models that a Prometheus text of ours names; none from any other text."""
    return [
        sample.labels["model"]
        for sample in _samples(text, ("server_info{",))
        if "model" in sample.labels
    ]


def _samples(text: bytes, prefixes: tuple[str, ...]) -> list[Sample]:
    """Return the samples of lines with these prefixes; none if one of them is no Prometheus text.

    The target may be any server, and its text anything.
    """
    lines = text.decode("utf-8", "replace").splitlines()
    wanted = "\n".join(line for line in lines if line.startswith(prefixes))
    try:
        families = [*text_string_to_metric_families(wanted)]
    except Exception:  # the parser documents none: ValueError, IndexError and others were met
        return []
    samples = [sample for family in families for sample in family.samples]
    return samples if all(math.isfinite(sample.value) for sample in samples) else []


_CONDITIONS = ('server_limit{name="descriptors"}', "server_socket_option{")
"""Values that the server read back from the kernel; all other limits are constants of ours."""

_NEEDED = {"cpu_user_s", "cpu_system_s", "processes", "open_http", "open_echo"}
"""A cost needs all of these."""

_PREFIXES = tuple({name.partition("{")[0] for name in _SERVER})


def kernel_counters() -> dict[str, int]:
    """Return the counters of TCP's losses and retransmissions."""
    counters: dict[str, int] = {}
    for file, names in _KERNEL.items():
        try:
            lines = Path("/proc/net", file).read_text(encoding="ascii").splitlines()
        except OSError:  # hidden: mount -t proc -o subset=pid
            continue
        for heads, values in zip(lines[::2], lines[1::2], strict=True):
            row = dict(zip(heads.split(), values.split(), strict=True))
            counters |= {name: int(row[name]) for name in names if name in row}
    return counters
