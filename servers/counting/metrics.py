"""GET /metrics: counts, usage of the machine, and conditions, in Prometheus text."""

import gc
import platform
import resource
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Protocol

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    InfoMetricFamily,
    Metric,
)
from prometheus_client.registry import Collector

from servers import __version__, limits
from servers.counting import shared_table
from servers.counting.process_tree import pss_bytes_of_tree, tree_of, usage_of_tree
from servers.protocol import connection
from servers.sockets.listeners import Socks, read_back

_COUNTS = {
    "accepted_connections": (shared_table.ACCEPTED, "Connections accepted"),
    "refused_connections": (
        shared_table.REFUSED,
        "Connections refused: --limit-concurrency reached, or no process, thread or memory left",
    ),
    "accept_errors": (shared_table.ACCEPT_ERRORS, "Failed calls of accept()"),
    "reset_connections": (connection.RESETS, "Connections reset by the client"),
    "requests": (connection.REQUESTS, "Requests answered"),
    "request_errors": (connection.REQUEST_ERRORS, "Requests answered with 4xx or 5xx"),
    "received_bytes": (connection.RECEIVED_BYTES, "Bytes received"),
    "sent_bytes": (connection.SENT_BYTES, "Bytes sent"),
}

RENAMED_LIMITS = {
    "ask_again_first_s": "drain_repeat_first_s",
    "crowded_s": "refusal_delay_s",
    "linger_look_s": "linger_poll_s",
    "look_s": "drain_poll_s",
    "overtime_s": "forced_exit_delay_s",
    "turn_bytes": "fair_read_bytes",
    "turn_s": "yield_s",
    "turn_sent_bytes": "fair_write_bytes",
    "worker_end_s": "worker_kill_delay_s",
}
"""Old name -> new name, in ``server_limit``. The old names go with the release after 0.1."""


class Counts(Protocol):
    """What ``Counters`` knows of one serving process, and ``Tables`` of several."""

    @property
    def children_usage(self) -> shared_table.CPUUsage: ...  # noqa: D102
    def read(self) -> shared_table.Sums: ...  # noqa: D102
    def monotonic_usage(self, usage: shared_table.CPUUsage) -> shared_table.CPUUsage: ...  # noqa: D102


class Metrics:
    """Collects everything anew for each scrape.

    Args:
        model: The model's name.
        root: Pid of the launcher's process, the parent of all others.
        generations: Levels of processes below it: 1, or 2 where workers may have children.
        table: The counts of all processes.
        socks: The listening sockets. The options of each protocol's first one are read back once,
            here, since a forked child closes it; the others have the same options.
        options: The launcher's settings by name, in seconds, bytes or a count.
    """

    def __init__(
        self,
        model: str,
        root: int,
        generations: int,
        table: Counts,
        socks: Socks,
        options: Mapping[str, float],
    ) -> None:
        self._model = model
        self._root = root
        self._generations = generations
        self._table = table
        self._sockets = {protocol: read_back(first) for protocol, (first, *_) in socks.items()}
        self._limits = {
            name.lower(): value
            for name, value in vars(limits).items()
            if name.isupper() and isinstance(value, int | float)
        }
        self._limits |= {old: self._limits[new] for old, new in RENAMED_LIMITS.items()}
        self._limits |= options
        self._limits["descriptors"] = resource.getrlimit(resource.RLIMIT_NOFILE)[0]

    def text(self, with_pss: bool) -> bytes:
        """Return the Prometheus text, on request with the proportional set size.

        The garbage collector is off meanwhile: a collection would stop a server of 10,000
        connections for 20 to 80 ms at each scrape. Reference counts free all that a scrape makes.
        """
        collects = gc.isenabled()
        gc.disable()
        try:
            registry = CollectorRegistry()
            registry.register(_Collected([*self._counts(), *self._usage(with_pss), *self._state()]))
            return generate_latest(registry)
        finally:
            if collects:
                gc.enable()

    def _counts(self) -> Iterator[Metric]:
        sums = self._table.read()
        open_now = GaugeMetricFamily(
            "server_open_connections", "Connections that are open now", labels=["protocol"]
        )
        for protocol, by_column in sums.items():
            open_now.add_metric([protocol], by_column[shared_table.OPEN])
        yield open_now
        for name, (column, text) in _COUNTS.items():
            family = CounterMetricFamily(f"server_{name}", text, labels=["protocol"])
            for protocol, by_column in sums.items():
                family.add_metric([protocol], by_column[column])
            yield family

    def _usage(self, with_pss: bool) -> Iterator[Metric]:
        tree = tree_of(self._root, self._generations)
        used = usage_of_tree(tree, self._table.children_usage)
        if used is None:  # better no figure than an incomplete one
            return
        reported = self._table.monotonic_usage(
            shared_table.CPUUsage(used.user_s, used.system_s, used.context_switches)
        )
        cpu = CounterMetricFamily(
            "server_cpu_seconds",
            "CPU time of the process tree, ended processes included",
            labels=["mode"],
        )
        cpu.add_metric(["user"], reported.user_s)
        cpu.add_metric(["system"], reported.system_s)
        yield cpu
        yield CounterMetricFamily(
            "server_context_switches",
            "Context switches of the process tree; of other workers, their live threads only",
            reported.context_switches,
        )
        if not used.processes:
            return
        yield GaugeMetricFamily("server_processes", "Processes in the tree", used.processes)
        yield GaugeMetricFamily("server_threads", "Threads in the tree", used.threads)
        yield GaugeMetricFamily(
            "server_resident_bytes",
            "Resident memory, summed over the tree: a shared page counts once per process",
            used.rss_bytes,
        )
        if with_pss and (pss_bytes := pss_bytes_of_tree(tree)) is not None:
            yield GaugeMetricFamily(
                "server_proportional_bytes",
                "Proportional memory of the tree: a shared page is divided among its processes",
                pss_bytes,
            )

    def _state(self) -> Iterator[Metric]:
        info = InfoMetricFamily("server", "Model, version, Python and pid of this server")
        info.add_metric(
            [],
            {
                "model": self._model,
                "version": __version__,
                "python": platform.python_version(),
                "pid": str(self._root),
            },
        )
        yield info
        options = GaugeMetricFamily(
            "server_socket_option",
            "Listener options as the kernel reports them; accepted sockets inherit them",
            labels=["protocol", "option"],
        )
        for protocol, values in self._sockets.items():
            for name, value in values.items():
                options.add_metric([protocol, name], value)
        yield options
        bounds = GaugeMetricFamily("server_limit", "Limits and timeouts", labels=["name"])
        for name, limit in sorted(self._limits.items()):
            bounds.add_metric([name], limit)
        yield bounds


class _Collected(Collector):
    """Adapts metrics that are already collected to prometheus_client's Collector."""

    def __init__(self, families: Sequence[Metric]) -> None:
        self._families = families

    def collect(self) -> Iterable[Metric]:
        return self._families
