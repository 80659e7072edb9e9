"""The result of holding many connections on one model, beside its targets."""

from dataclasses import dataclass, field

from loadtest.bench.fresh import Fresh
from servers.registry import unit_of

ACCEPT_MAX_S = {"process": 60.0, "thread": 10.0}
ACCEPT_MAX_DEFAULT_S = 5.0
"""For 10,000 connections, by the unit that serves one."""

MEMORY_MAX_KB = {"callback": 5, "greenlet": 14, "thread": 32, "process": 1000}
"""Per connection, by the unit that serves it; 1 KB is 1,000 bytes. No other unit has a target."""

IDLE_MAX_SHARE = 0.01
"""Of a core, with 10,000 connections."""


@dataclass
class Holding:
    """The result of one model."""

    model: str
    connections: int
    error: str = ""  # the reason if the measurement ended early
    answered_twice: int = 0
    errors: dict[str, int] = field(default_factory=dict)  # as the clients count them
    refused: int = 0  # as the server counts them
    accept_s: float = 0.0  # from the first connect() to the last first reply
    again_s: float = 0.0  # to the last second reply
    fresh: Fresh = field(default_factory=Fresh)
    memory_bytes_per_connection: float = 0.0
    idle_s: float = 0.0
    idle_cpu_s: float = 0.0
    open_at_end: int = 0

    @property
    def accept_max_s(self) -> float:
        """The target for 10,000 connections."""
        return ACCEPT_MAX_S.get(unit_of(self.model), ACCEPT_MAX_DEFAULT_S)

    @property
    def memory_max_kb(self) -> float | None:
        """The target per connection; None if the model's unit has none."""
        return MEMORY_MAX_KB.get(unit_of(self.model))

    @property
    def memory_kb(self) -> float:
        """Memory per connection."""
        return self.memory_bytes_per_connection / 1000

    @property
    def idle_share(self) -> float:
        """Share of a core that idle connections take."""
        return self.idle_cpu_s / self.idle_s if self.idle_s else 0.0

    def failures(self) -> list[str]:
        """Return the failures; none if every connection was held."""
        failures = [f"failed: {self.error}"] if self.error else []
        failures += [f"{count:,} clients: {kind}" for kind, count in self.errors.items()]
        if self.refused:
            failures.append(f"{self.refused:,} refused")
        if self.fresh.failures:
            failures.append(
                f"fresh client failed {self.fresh.failures} times: {self.fresh.failure}"
            )
        if not self.error and self.open_at_end < self.connections:
            failures.append(f"{self.open_at_end:,} open at the end")
        return failures

    def missed(self) -> list[str]:
        """Return the targets that were missed."""
        if self.error:
            return []
        missed = []
        if self.accept_s > self.accept_max_s:
            missed.append("time")
        if self.memory_kb > (self.memory_max_kb or float("inf")):
            missed.append("memory")
        if self.idle_share > IDLE_MAX_SHARE:
            missed.append("idle CPU")
        return missed
