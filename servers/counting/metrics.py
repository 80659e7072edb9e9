"""GET /metrics: counts, use of the machine, and conditions, written by prometheus_client."""

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
from servers.counting import counters
from servers.counting.process_tree import pss_bytes_of_tree, tree_of, usage_of_tree
from servers.protocol import connection
from servers.sockets.listeners import Socks, read_back

_COUNTS = {
    "accepted_connections": (counters.ACCEPTED, "Connections accepted"),
    "refused_connections": (counters.REFUSED, "Connections sent away: no room, process or thread"),
    "accept_errors": (counters.ACCEPT_ERRORS, "Calls of accept() that failed"),
    "reset_connections": (connection.RESETS, "Connections reset by their peer"),
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
    """What ``Counters`` tells of one process that accepts, and ``Tables`` of several."""

    @property
    def dead(self) -> counters.Used: ...  # noqa: D102
    def read(self) -> counters.Sums: ...  # noqa: D102
    def never_less(self, used: counters.Used) -> counters.Used: ...  # noqa: D102


class Metrics:
    """Collects everything anew for each scrape.

    Args:
        model: The model's name.
        root: Pid of the process that was started, parent to all others.
        generations: How many there are below it: 1, or 2 where workers may have children.
        table: The counts of all processes.
        socks: Those that listen; the first of each protocol is read back once, here, since a forked
            child has closed it, and all have the same options.
        options: What the operator can set, by name, in seconds, bytes or a count.
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
        """Return the Prometheus text; with the proportional set size if asked for.

        What it takes is freed at once. Were it to set the garbage collector going, whoever looks
        would stop a server of 10,000 connections for 20 to 80 ms.
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
            "server_open_connections", "Connections open now", labels=["protocol"]
        )
        for protocol, by_column in sums.items():
            open_now.add_metric([protocol], by_column[counters.OPEN])
        yield open_now
        for name, (column, text) in _COUNTS.items():
            family = CounterMetricFamily(f"server_{name}", text, labels=["protocol"])
            for protocol, by_column in sums.items():
                family.add_metric([protocol], by_column[column])
            yield family

    def _usage(self, with_pss: bool) -> Iterator[Metric]:
        tree = tree_of(self._root, self._generations)
        used = usage_of_tree(tree, self._table.dead)
        if used is None:  # better no figure than one that lacks most of it
            return
        shown = self._table.never_less(
            counters.Used(used.user_s, used.system_s, used.context_switches)
        )
        cpu = CounterMetricFamily(
            "server_cpu_seconds",
            "CPU time of the process tree, dead ones included",
            labels=["mode"],
        )
        cpu.add_metric(["user"], shown.user_s)
        cpu.add_metric(["system"], shown.system_s)
        yield cpu
        yield CounterMetricFamily(
            "server_context_switches",
            "Context switches of the tree; of other workers' threads, those that are alive",
            shown.context_switches,
        )
        if not used.processes:
            return
        yield GaugeMetricFamily("server_processes", "Processes of the tree", used.processes)
        yield GaugeMetricFamily("server_threads", "Threads of the tree", used.threads)
        yield GaugeMetricFamily(
            "server_resident_bytes",
            "Resident memory added up over the tree: shared pages count once per process",
            used.rss_bytes,
        )
        if with_pss and (pss_bytes := pss_bytes_of_tree(tree)) is not None:
            yield GaugeMetricFamily(
                "server_proportional_bytes",
                "Proportional memory of the tree: shared pages are divided",
                pss_bytes,
            )

    def _state(self) -> Iterator[Metric]:
        info = InfoMetricFamily("server", "What serves")
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
            "What the kernel says of the listener; accepted sockets inherit it",
            labels=["protocol", "option"],
        )
        for protocol, values in self._sockets.items():
            for name, value in values.items():
                options.add_metric([protocol, name], value)
        yield options
        bounds = GaugeMetricFamily("server_limit", "Limits and time-outs", labels=["name"])
        for name, limit in sorted(self._limits.items()):
            bounds.add_metric([name], limit)
        yield bounds


class _Collected(Collector):
    """Families that have been collected already, as prometheus_client wants them."""

    def __init__(self, families: Sequence[Metric]) -> None:
        self._families = families

    def collect(self) -> Iterable[Metric]:
        return self._families
