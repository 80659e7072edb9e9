"""Groups of repeats: one contender in one scenario, and how groups compare."""

import math
from collections import defaultdict
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from functools import cached_property
from itertools import chain, combinations
from typing import NamedTuple

from loadtest.analysis.estimates import Estimate, estimate, noise_floor, ratio
from loadtest.analysis.metrics import METRICS, Metric, failed, ranked
from loadtest.bundle.plan import CellPlan
from loadtest.bundle.read import Bundle
from loadtest.measure.result import Result

OWN_PAIRS_MIN = 6
"""With this many pairs a block, or a scenario, has its own noise floor; else all share one."""


class Key(NamedTuple):
    """Identifies a group."""

    run: str
    scenario: str
    connections: int
    load: str
    contender: str

    @property
    def cell(self) -> CellPlan:
        """The plan of its first cell."""
        return CellPlan(self.scenario, self.connections, self.load, self.contender, 1)


@dataclass
class Group:
    """The repeats of one cell.

    Attributes:
        results: Repeat -> result.
        twins: Repeat -> result of its twin, the same cell run again in the same round.
        unmeasured: Repeat -> why it ran and left no result.
    """

    key: Key
    results: dict[int, Result] = field(default_factory=dict)
    twins: dict[int, Result] = field(default_factory=dict)
    unmeasured: dict[int, str] = field(default_factory=dict)

    @property
    def is_rankable(self) -> bool:
        """Whether more repeats are ranked than failed: one lucky repeat is no result."""
        results = self.results.values()
        return sum(map(ranked, results)) > sum(map(failed, results))

    @property
    def has_failed(self) -> bool:
        """Whether the contender did not carry the load: a result as well, but not ranked."""
        return any(map(failed, self.results.values())) and not self.is_rankable

    @property
    def share(self) -> str:
        """How many of the repeats are ranked, such as "2 of 3 repeats"; "" if all."""
        count = sum(map(ranked, self.results.values()))
        total = len(self.results) + len(self.unmeasured)
        return "" if count == total else f"{count} of {total} repeats"

    @property
    def why(self) -> str:
        """Why it is not ranked: a failure before a lost measurement; "" if it is."""
        lost = [result for _, result in sorted(self.results.items()) if not ranked(result)]
        if lost:
            worst = max(lost, key=failed)  # the first of several
            return f"{worst.verdict.name}: {worst.verdict.why}"
        return next((f"could not be run: {why}" for why in self.unmeasured.values()), "")

    def values(self, metric: Metric, twins: bool = False) -> dict[int, float]:
        """Return repeat -> number above 0, for the repeats that are ranked.

        A number of 0 or less is too small to measure, such as the memory of few connections.
        """
        if not metric.applies_to(self.key.load) or not (twins or self.is_rankable):
            return {}
        numbers = {
            repeat: metric.value_of(result)
            for repeat, result in (self.twins if twins else self.results).items()
            if ranked(result)
        }
        return {n: value for n, value in numbers.items() if value is not None and value > 0}

    def estimate(self, metric: Metric) -> Estimate | None:
        """Return the median of the ranked repeats; None if there is none."""
        return estimate([*self.values(metric).values()])

    def unranked_median(self, metric: Metric) -> float | None:
        """Return the median of all repeats if none is ranked; else None."""
        if not metric.applies_to(self.key.load) or self.values(metric):
            return None
        numbers = [metric.value_of(result) for result in self.results.values()]
        median = estimate([number for number in numbers if number is not None])
        return None if median is None else median.median

    @property
    def verdicts(self) -> dict[str, list[Result]]:
        """Return the results by the names of their verdicts."""
        by_name: dict[str, list[Result]] = defaultdict(list)
        for _, result in sorted(self.results.items()):
            by_name[result.verdict.name].append(result)
        return by_name


class Groups:
    """All cells of some runs, repeats together.

    Args:
        bundles: Run -> its bundle.
    """

    def __init__(self, bundles: dict[str, Bundle]) -> None:
        self.bundles = bundles
        self.by_key: dict[Key, Group] = {}
        self._pools: dict[tuple[str, bool], dict[tuple[str, int], list[float]]] = {}
        for run, bundle in bundles.items():
            unmeasured = bundle.state.failed | bundle.broken
            for cell in bundle.plan:
                self._add(run, cell, bundle.cells.get(cell), unmeasured.get(cell.name))

    def _add(self, run: str, cell: CellPlan, result: Result | None, why: str | None) -> None:
        key = Key(run, cell.scenario, cell.connections, cell.load, cell.contender)
        group = self.by_key.setdefault(key, Group(key))
        if result is not None:
            (group.twins if cell.twin else group.results)[cell.repeat] = result
        elif why is not None and not cell.twin:
            group.unmeasured[cell.repeat] = why

    def of(self, scenario: str, connections: int, load: str) -> list[Group]:
        """Return the groups of one block, contender by contender, run by run."""
        return self.by_block.get((scenario, connections, load), [])

    @cached_property
    def by_block(self) -> dict[tuple[str, int, str], list[Group]]:
        """Return the groups by scenario, connections and load: one block is compared."""
        return self._blocks(lambda group: bool(group.results))

    def most_connections(self, scenario: str, load: str) -> list[list[Group]]:
        """Return the blocks of a scenario, those with the most connections first.

        They include groups that could not be run and have no result.
        """
        blocks = self._blocks(lambda group: bool(group.results or group.unmeasured))
        by_connections = {
            n: block
            for (name, n, kind), block in blocks.items()
            if (name, kind) == (scenario, load)
        }
        return [by_connections[n] for n in sorted(by_connections, reverse=True)]

    def _blocks(self, has: Callable[[Group], bool]) -> dict[tuple[str, int, str], list[Group]]:
        blocks: dict[tuple[str, int, str], list[Group]] = defaultdict(list)
        for key, group in self.by_key.items():
            if has(group):
                blocks[key.scenario, key.connections, key.load].append(group)
        order = {name: place for place, name in enumerate(self.contenders)}
        for groups in blocks.values():
            groups.sort(key=lambda group: (order[group.key.contender], group.key.run))
        return dict(blocks)

    @cached_property
    def contenders(self) -> list[str]:
        """Return all names, in the order of the command line."""
        named = (bundle.about.options.contenders for bundle in self.bundles.values())
        return _unique([*chain.from_iterable(named), *(key.contender for key in self.by_key)])

    def scenarios(self) -> list[str]:
        """Return the scenarios that have cells, in the order of the command line."""
        present = {scenario for scenario, _, _ in self.by_block}
        named = (bundle.about.options.scenarios for bundle in self.bundles.values())
        names = _unique([*chain.from_iterable(named), *(key.scenario for key in self.by_key)])
        return [name for name in names if name in present]

    def connections(self, scenario: str, load: str) -> list[int]:
        """Return the numbers of connections that have cells."""
        return sorted({c for s, c, kind in self.by_block if s == scenario and kind == load})

    def rate_hz(self, group: Group) -> float:
        """Return the requests a second that a group had to hold, even without a result."""
        key = group.key
        rates_hz = (result.rate_wanted_hz for result in group.results.values())
        options = self.bundles[key.run].about.options
        return next(rates_hz, options.rate_for(key.scenario, key.connections))

    # -- comparison -----------------------------------------------------------------------------

    def compared(
        self, group: Group, other: Group, metric: Metric, comparisons: int = 1
    ) -> tuple[Estimate | None, float | None]:
        """Return one group's number divided by another's, and the noise of such a ratio.

        Within a run, repeats of the same round are compared. Where rounds are lost, and between
        runs, all repeats are compared with all, so drift within a run is part of the noise. A
        change from one run to the next is not: no measurement reveals it.

        Args:
            comparisons: Comparisons made at once. Of many pairs of equals some lie further apart,
                so each has to exceed a higher floor (Bonferroni).
        """
        values, others = group.values(metric), other.values(metric)
        paired = group.key.run == other.key.run and len(values.keys() & others.keys()) > 1
        quotient = ratio(values, others, paired)
        if quotient is None:
            return None, None
        for twins in (True, False) if paired else (False,):  # repeats where twins are too few
            floor = noise_floor(self._pool(group.key, metric, twins), quotient.count, comparisons)
            if floor is not None:
                return quotient, floor
        return quotient, None

    def _pool(self, key: Key, metric: Metric, twins: bool) -> list[float]:
        """Return differences of equals, from the block itself, else its scenario, else all."""
        differences = self._differences(metric.name, twins)
        everything: list[float] = []
        scenario: list[float] = []
        block: list[float] = []
        for (name, connections), logs in differences.items():
            everything += logs
            if name == key.scenario:
                scenario += logs
                if connections == key.connections:
                    block += logs
        return next((pool for pool in (block, scenario) if len(pool) >= OWN_PAIRS_MIN), everything)

    def _differences(self, metric_name: str, twins: bool) -> dict[tuple[str, int], list[float]]:
        """Return the logarithms of ratios of equals, by scenario and connections.

        Args:
            twins: Within a round; else between repeats, and so with drift.
        """
        if (metric_name, twins) not in self._pools:
            metric = METRICS[metric_name]
            pools: dict[tuple[str, int], list[float]] = defaultdict(list)
            for key, group in self.by_key.items():
                values = group.values(metric)
                if twins:
                    others = group.values(metric, twins=True)
                    pairs = [(others[repeat], values[repeat]) for repeat in others.keys() & values]
                else:
                    pairs = [*combinations(values.values(), 2)]
                pools[key.scenario, key.connections] += [math.log(a / b) for a, b in pairs]
            self._pools[metric_name, twins] = pools
        return self._pools[metric_name, twins]


def _unique(names: Iterable[str]) -> list[str]:
    return [*dict.fromkeys(names)]
