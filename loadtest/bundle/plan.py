"""The cells of a run, and their order."""

import random
import re
from collections.abc import Iterator
from dataclasses import dataclass, field

from loadtest.catalogue import SCENARIOS
from loadtest.measure.wording import counted
from servers.registry import unit_of

RATE, FLAT_OUT, SHARE = "rate", "flat-out", "share-"
"""Kinds of load: a rate common to all contenders, as fast as possible, or a share (in per cent) of
the contender's own capacity."""

OVERHEAD_S = 1.4
"""To start and end server and generator, beside the load."""

WORKER_S = 0.4
"""To start each of several workers; with one core they start one after the other."""

DISTANT_S = 6.0
"""For distant workers to restart and find the next master: Locust retries every 5 s."""

CONNECT_S = {"process": 0.013, "thread": 0.0006}
CONNECT_DEFAULT_S = 0.0002
"""To set up each connection, by the unit that serves it: a fork, a thread, or next to nothing."""


_WORKERS = re.compile(r"(.+)\.x(\d+)")


def contender(model: str, workers: int) -> str:
    """Return the name of a model with a number of workers, such as gevent or gevent.x4."""
    return model if workers == 1 else f"{model}.x{workers}"


def model_and_workers(name: str) -> tuple[str, int]:
    """Return the model and the number of workers in a contender's name."""
    match = _WORKERS.fullmatch(name)
    return (match[1], int(match[2])) if match else (name, 1)


@dataclass(frozen=True, order=True)
class CellPlan:
    """One cell of the matrix.

    Attributes:
        contender: As ``contender`` returns it, or the name of a target.
        load: RATE, FLAT_OUT, or SHARE and per cent.
        repeat: From 1.
        twin: Whether it repeats the contender's cell in the same round: the two show how far
            measurements of the same server differ (A/A).
    """

    scenario: str
    connections: int
    load: str
    contender: str
    repeat: int
    twin: bool = False

    @property
    def name(self) -> str:
        """The name of its folder."""
        twin = "-twin" if self.twin else ""
        return (
            f"{self.scenario}-{self.connections}-{self.load}-{self.contender}{twin}-{self.repeat}"
        )

    @property
    def share(self) -> float | None:
        """The share of the contender's own capacity that is offered; None for other loads."""
        return float(self.load.removeprefix(SHARE)) / 100 if self.load.startswith(SHARE) else None


@dataclass(frozen=True)
class Matrix:
    """The options of a comparison.

    Attributes:
        models: Models of this project.
        workers: Numbers of workers; every model is compared with each.
        targets: Name -> URL of servers that are already running.
        loads: RATE, FLAT_OUT or both.
        shares: Per cent of each contender's own capacity, with the most connections only.
        rate_hz: Replaces the scenarios' own rates; None: it does not.
        flat_out_all: Whether scenarios in which the generator works more than the server run flat
            out, too.
        path: The path that scenario ``get`` requests if a target's URL has none.
        headers: Sent with every HTTP request, as ``Name: value``.
        processes: Processes that generate the load.
        distant: Whether these are Locust workers on other hosts, connecting to ``locust_port``.
        seed: Seed of the order.
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
        """The names of all contenders."""
        models = [contender(model, count) for model in self.models for count in self.workers]
        return [*models, *self.targets]

    def rate_for(self, scenario: str, connections: int) -> float:
        """Return the rate, in requests a second, that all contenders have to hold."""
        return self.rate_hz or SCENARIOS[scenario].rate_for(connections)

    def cells(self) -> list[CellPlan]:
        """Return all cells, in the order in which they run.

        Each round of repeats takes the scenarios in a random order, and the contenders of each in
        a random order, too, so that drift affects all alike. In each block one contender, a
        different one every time, runs once more as its own twin.
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
            f"{scenario} is not run with {counted(connections, 'connection')}, but with"
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
        """Yield the common rate, flat out, then shares of the capacity that flat out measures."""
        if RATE in self.loads:
            yield RATE
        if FLAT_OUT in self.loads and (self.flat_out_all or SCENARIOS[scenario].works):
            yield FLAT_OUT
        if connections == max(c for c in self.connections if SCENARIOS[scenario].takes(c)):
            yield from (f"{SHARE}{percent}" for percent in self.shares)

    def expected_s(self, cell: CellPlan) -> float:
        """Return roughly how long a cell takes."""
        model, workers = model_and_workers(cell.contender)
        connect_s = CONNECT_S.get(unit_of(model), CONNECT_DEFAULT_S) * cell.connections
        overhead_s = OVERHEAD_S + (DISTANT_S if self.distant else 0.0)
        overhead_s += WORKER_S * workers if workers > 1 else 0.0
        return overhead_s + connect_s + self.warmup_s + self.duration_s
