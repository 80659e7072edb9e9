"""What the server and the kernel say of themselves, once a second, on the clock of the load."""

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
"""A sample of our servers' /metrics -> its name here."""

_KERNEL = {
    "netstat": ("ListenOverflows", "ListenDrops", "TCPTimeouts", "TCPSynRetrans"),
    "snmp": ("RetransSegs",),
}
"""Counters of /proc/net, which are the whole network namespace's (kernel: snmp_counter.rst).
A connection that finds the accept queue full counts as ListenOverflows."""


class Sampler:
    """Takes samples of one server.

    Args:
        address: Where it speaks HTTP; None where it does not.
        pid: Of any server, instead of what it says of itself; None where not known.

    Attributes:
        conditions: Limits and socket options that it has said it serves under.
        servers: The models that it has said it is: more than one if another took its address.
    """

    def __init__(self, address: Address | None, pid: int | None) -> None:
        self._address, self._pid = address, pid
        self.samples: list[dict[str, Any]] = []
        self.cpu_s = 0.0
        self.conditions: dict[str, float] = {}
        self.servers: list[str] = []
        self.says = pid is None and address is not None and self._scrape() is not None

    def sample(self, proportional: bool = False) -> dict[str, Any]:
        """Take a sample and keep it: of the kernel, and of the server or None.

        Args:
            proportional: With proportional memory, which takes 0.3 ms a process to find out.
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
        """Return what the server says of itself, if it does."""
        assert self._address is not None
        try:
            with HTTPClient(self._address, SCRAPE_LIMIT_S) as client:
                text = client.get("/metrics" + query, expected=None)
        except ReplyError:  # it has no /metrics, or no time for them: then there is no sample
            return None
        begin_s = time.process_time()
        said = parsed(text)
        self.cpu_s += time.process_time() - begin_s
        if not said:
            return None
        self.conditions = self.conditions or conditions(text)
        self.servers += [model for model in models(text) if model not in self.servers]
        return said


def parsed(text: bytes) -> dict[str, float]:
    """Return our samples of a Prometheus text, by our names; of anybody else's, none.

    What has one of our names need not be ours: it counts where all are there that a cost needs.
    """
    found = {}
    for sample in _samples(text, _PREFIXES):
        labels = ",".join(sample.labels.values())
        name = _SERVER.get(f"{sample.name}{{{labels}}}" if labels else sample.name)
        if name is not None:
            found[name] = sample.value
    return found if found.keys() >= _NEEDED else {}


def conditions(text: bytes) -> dict[str, float]:
    """Return limits and socket options out of a Prometheus text of ours."""
    return {
        " ".join(sample.labels.values()): sample.value for sample in _samples(text, _CONDITIONS)
    }


def models(text: bytes) -> list[str]:
    """Return the model that a Prometheus text of ours names; of anybody else's, none."""
    return [
        sample.labels["model"]
        for sample in _samples(text, ("server_info{",))
        if "model" in sample.labels
    ]


def _samples(text: bytes, prefixes: tuple[str, ...]) -> list[Sample]:
    """Return the samples of lines that begin so; none if one of them is no Prometheus text.

    The target is any server: what it says may be in any encoding, of any form, and no number.
    """
    lines = text.decode("utf-8", "replace").splitlines()
    wanted = "\n".join(line for line in lines if line.startswith(prefixes))
    try:
        families = [*text_string_to_metric_families(wanted)]
    except Exception:  # the parser raises what it runs into: ValueError, IndexError, and more
        return []
    samples = [sample for family in families for sample in family.samples]
    return samples if all(math.isfinite(sample.value) for sample in samples) else []


_CONDITIONS = ('server_limit{name="descriptors"}', "server_socket_option{")
"""What the kernel was asked back; all other limits are constants of this project."""

_NEEDED = {"cpu_user_s", "cpu_system_s", "processes", "open_http", "open_echo"}
"""Without these nothing can be computed from a sample."""

_PREFIXES = tuple({name.partition("{")[0] for name in _SERVER})


def kernel_counters() -> dict[str, int]:
    """Return the counters of what TCP has lost or had to repeat."""
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
