"""The server's use of the machine in the window, from the samples at its two ends."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

CONNECTIONS_MIN = 100
"""With fewer, memory per connection drowns in what a process allocates and frees anyway."""

Marks = Mapping[str, Mapping[str, Any]]
"""Moment -> sample: "idle", "open", "close", "loaded"."""


@dataclass(frozen=True)
class ServerUse:
    """Use in each second of the window, including children that have ended.

    Attributes:
        user: CPU time in user mode, in cores.
        system: CPU time in the kernel, in cores.
        context_switches: A second, voluntary and not.
        processes: Their number when the window closed.
    """

    user: float
    system: float
    context_switches: float
    processes: float

    @property
    def cpu(self) -> float:
        """CPU time in cores."""
        return self.user + self.system

    def per_request(self, rate_hz: float) -> "ServerUse":
        """Return the use of each request: CPU time in seconds."""
        return ServerUse(
            self.user / rate_hz,
            self.system / rate_hz,
            self.context_switches / rate_hz,
            self.processes,
        )


def server_use(marks: Marks) -> ServerUse | None:
    """Return the use between the samples at the window's ends; None if one is missing."""
    if not {"open", "close"} <= marks.keys():
        return None
    before, after = marks["open"], marks["close"]
    if not before["server"] or not after["server"]:
        return None
    elapsed_s = after["time_s"] - before["time_s"]

    def a_second(*names: str) -> float:
        return float(
            sum(after["server"].get(name, 0.0) - before["server"].get(name, 0.0) for name in names)
            / elapsed_s
        )

    return ServerUse(
        user=a_second("cpu_user_s"),
        system=a_second("cpu_system_s"),
        # Our servers report one number, the kernel two.
        context_switches=a_second(
            "context_switches", "context_switches_voluntary", "context_switches_involuntary"
        ),
        processes=after["server"]["processes"],
    )


def memory_bytes_per_connection(marks: Marks) -> float | None:
    """Return the slope from no connection to all; None if unknown, or with too few of them."""
    idle, loaded = (marks.get(name, {}).get("server") or {} for name in ("idle", "loaded"))
    if "proportional_bytes" not in idle or "proportional_bytes" not in loaded:
        return None
    connections = sum(loaded[name] - idle[name] for name in ("open_http", "open_echo"))
    if connections < CONNECTIONS_MIN:
        return None
    return float((loaded["proportional_bytes"] - idle["proportional_bytes"]) / connections)
