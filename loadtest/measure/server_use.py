"""What the server has used of the machine in the window: from samples taken at its two ends."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

CONNECTIONS_MIN = 100
"""With fewer, memory per connection is lost in what the process takes and frees anyway."""

Marks = Mapping[str, Mapping[str, Any]]
"""Moment -> sample: "idle", "open", "close", "loaded"."""


@dataclass(frozen=True)
class ServerUse:
    """Used in each second of the window, dead children included.

    Attributes:
        user: CPU time in user mode, in cores.
        system: CPU time in the kernel, in cores.
        context_switches: A second, voluntary and not.
        processes: When the window closed.
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
        """Return what each request used: CPU time in seconds."""
        return ServerUse(
            self.user / rate_hz,
            self.system / rate_hz,
            self.context_switches / rate_hz,
            self.processes,
        )


def server_use(marks: Marks) -> ServerUse | None:
    """Return what was used between the samples at the window's ends; None if there are not two."""
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
        # Of our servers they come in one number, of any other from the kernel in two.
        context_switches=a_second(
            "context_switches", "context_switches_voluntary", "context_switches_involuntary"
        ),
        processes=after["server"]["processes"],
    )


def memory_bytes_per_connection(marks: Marks) -> float | None:
    """Return the slope from no connection to all; None if unknown, or with too few to tell."""
    idle, loaded = (marks.get(name, {}).get("server") or {} for name in ("idle", "loaded"))
    if "proportional_bytes" not in idle or "proportional_bytes" not in loaded:
        return None
    connections = sum(loaded[name] - idle[name] for name in ("open_http", "open_echo"))
    if connections < CONNECTIONS_MIN:
        return None
    return float((loaded["proportional_bytes"] - idle["proportional_bytes"]) / connections)
