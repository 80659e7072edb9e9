"""Which cells there are, and in which order they are run."""

import random
import re
from collections.abc import Iterator
from dataclasses import dataclass, field

from loadtest.catalogue import SCENARIOS
from servers.registry import unit_of

RATE, FLAT_OUT, SHARE = "rate", "flat-out", "share-"
"""How a cell is loaded: at a rate that all hold, as fast as it goes, or at a share (in per cent) of
what the contender can do itself."""

OVERHEAD_S = 1.4
"""To start server and generator and to end them, beside the load."""

WORKER_S = 0.4
"""To start each of several workers, one after the other where there is one core."""

DISTANT_S = 6.0
"""For workers elsewhere to start again and find the next master: Locust's tries every 5 s."""

CONNECT_S = {"process": 0.013, "thread": 0.0006}
CONNECT_DEFAULT_S = 0.0002
"""To set up each connection, by the unit that serves it: a fork, a thread, or next to nothing."""


_WORKERS = re.compile(r"(.+)\.x(\d+)")


def contender(model: str, workers: int) -> str:
    """Return what a model is called that is served by so many workers: gevent, or gevent.x4."""
    return model if workers == 1 else f"{model}.x{workers}"


def model_and_workers(name: str) -> tuple[str, int]:
    """Return what ``contender`` was made of."""
    match = _WORKERS.fullmatch(name)
    return (match[1], int(match[2])) if match else (name, 1)


@dataclass(frozen=True, order=True)
class CellPlan:
    """One cell of the matrix.

    Attributes:
        contender: A model, with its workers as ``contender`` names them; or a target's name.
        load: RATE, FLAT_OUT, or SHARE and per cent.
        repeat: From 1.
        twin: Whether it only repeats the contender's cell of the same round: two like that tell
            how much two measurements of one and the same thing differ (A/A).
    """

    scenario: str
    connections: int
    load: str
    contender: str
    repeat: int
    twin: bool = False

    @property
    def name(self) -> str:
        """What its folder is called."""
        twin = "-twin" if self.twin else ""
        return (
            f"{self.scenario}-{self.connections}-{self.load}-{self.contender}{twin}-{self.repeat}"
        )

    @property
    def share(self) -> float | None:
        """Which part of its own capacity the contender is asked for; None if of no matter."""
        return float(self.load.removeprefix(SHARE)) / 100 if self.load.startswith(SHARE) else None


@dataclass(frozen=True)
class Matrix:
    """What is to be compared.

    Attributes:
        models: Of ours.
        workers: How many each model is served by, each number in turn.
        targets: Name -> URL of servers that run somewhere.
        loads: RATE, FLAT_OUT or both.
        shares: In per cent of each contender's own capacity, with the most connections only.
        rate_hz: In place of each scenario's own; None: that.
        flat_out_all: Whether even scenarios in which the generator has more to do than the server
            are run flat out.
        path: What the scenario ``get`` asks a target for whose URL has no path.
        headers: Of every request over HTTP, ``Name: value``.
        processes: That make the load.
        distant: Whether these are Locust workers elsewhere, which call us on ``locust_port``.
        seed: Of the order.
    """

    models: list[str]
    scenarios: list[str]
    connections: list[int]
    repeats: int
    duration_s: float
    warmup_s: float
    workers: list[int] = field(default_factory=lambda: [1])
    targets: dict[str, str] = field(default_factory=dict)
    loads: list[str] = field(default_factory=lambda: [RATE, FLAT_OUT])
    shares: list[int] = field(default_factory=list)
    rate_hz: float | None = None
    flat_out_all: bool = False
    path: str = "/"
    headers: list[str] = field(default_factory=list)
    processes: int = 1
    distant: bool = False
    locust_port: int = 0
    seed: int = 1

    @property
    def contenders(self) -> list[str]:
        """All names."""
        models = [contender(model, count) for model in self.models for count in self.workers]
        return [*models, *self.targets]

    def rate_for(self, scenario: str, connections: int) -> float:
        """Return the rate in requests a second that all are to hold."""
        return self.rate_hz or SCENARIOS[scenario].rate_for(connections)

    def cells(self) -> list[CellPlan]:
        """Return all cells, in the order in which they are run.

        In each round of repeats the scenarios come in a random order; of each, the contenders
        take turns, in a random order too: what drifts with time hits all of them alike. In each
        block one of them, another every time, comes once more as its own twin.
        """
        rng = random.Random(self.seed)
        twins = self._twins(rng)
        cells = []
        for repeat in range(1, self.repeats + 1):
            blocks = [
                (scenario, connections)
                for scenario in self.scenarios
                for connections in self.connections
                if SCENARIOS[scenario].takes(connections)
            ]
            rng.shuffle(blocks)
            for scenario, connections in blocks:
                for load in self._loads_of(scenario, connections):
                    block = [
                        CellPlan(scenario, connections, load, name, repeat)
                        for name in self.contenders
                    ]
                    if not load.startswith(SHARE):
                        twin = next(twins)
                        block.append(CellPlan(scenario, connections, load, twin, repeat, twin=True))
                    rng.shuffle(block)
                    cells += block
        return cells

    def skipped(self) -> list[str]:
        """Return the combinations that have no cells, as sentences."""
        return [
            f"{scenario} is not run with {connections:,} connections, but with"
            f" {entry.connections_min:,} to {entry.connections_max:,}"
            for scenario in self.scenarios
            for connections in self.connections
            if not (entry := SCENARIOS[scenario]).takes(connections)
        ]

    def _twins(self, rng: random.Random) -> Iterator[str]:
        while True:
            names = self.contenders
            rng.shuffle(names)
            yield from names

    def _loads_of(self, scenario: str, connections: int) -> Iterator[str]:
        """Yield the common rate, flat out, then shares: what these are of must be known first."""
        if RATE in self.loads:
            yield RATE
        if FLAT_OUT in self.loads and (self.flat_out_all or SCENARIOS[scenario].works):
            yield FLAT_OUT
        if connections == max(c for c in self.connections if SCENARIOS[scenario].takes(c)):
            yield from (f"{SHARE}{percent}" for percent in self.shares)

    def expected_s(self, cell: CellPlan) -> float:
        """Return how long a cell takes, roughly."""
        model, workers = model_and_workers(cell.contender)
        connect_s = CONNECT_S.get(unit_of(model), CONNECT_DEFAULT_S) * cell.connections
        overhead_s = OVERHEAD_S + (DISTANT_S if self.distant else 0.0)
        overhead_s += WORKER_S * workers if workers > 1 else 0.0
        return overhead_s + connect_s + self.warmup_s + self.duration_s
