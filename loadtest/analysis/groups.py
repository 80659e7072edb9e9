"""Repeats put together: what one contender did in one scenario, and how that compares."""

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
"""With as many pairs a block, or a scenario, has a noise floor of its own; else that of all."""


class Key(NamedTuple):
    """What a group is of."""

    run: str
    scenario: str
    connections: int
    load: str
    contender: str

    @property
    def cell(self) -> CellPlan:
        """The first of its cells."""
        return CellPlan(self.scenario, self.connections, self.load, self.contender, 1)


@dataclass
class Group:
    """The repeats of one thing.

    Attributes:
        results: Repeat -> result.
        twins: Repeat -> result of the same thing measured once more in the same round.
        unmeasured: Repeat -> why it has no result though its turn has come.
    """

    key: Key
    results: dict[int, Result] = field(default_factory=dict)
    twins: dict[int, Result] = field(default_factory=dict)
    unmeasured: dict[int, str] = field(default_factory=dict)

    @property
    def is_rankable(self) -> bool:
        """Whether more repeats may be ranked than failed: one lucky repeat is no result."""
        results = self.results.values()
        return sum(map(ranked, results)) > sum(map(failed, results))

    @property
    def has_failed(self) -> bool:
        """Whether it could not do what was asked for: a result, too, if none to rank."""
        return any(map(failed, self.results.values())) and not self.is_rankable

    @property
    def share(self) -> str:
        """How many of the repeats may be ranked, as a fraction; "" if all."""
        count = sum(map(ranked, self.results.values()))
        total = len(self.results) + len(self.unmeasured)
        return "" if count == total else f"{count} of {total} repeats"

    @property
    def why(self) -> str:
        """Why it may not be ranked: what failed before what the meter lost; "" if all may."""
        lost = [result for _, result in sorted(self.results.items()) if not ranked(result)]
        if lost:
            worst = max(lost, key=failed)  # of several such, the first
            return f"{worst.verdict.name}: {worst.verdict.why}"
        return next((f"could not be run: {why}" for why in self.unmeasured.values()), "")

    def values(self, metric: Metric, twins: bool = False) -> dict[int, float]:
        """Return repeat -> number above 0, of the repeats that may be ranked.

        What is not above 0 is below what can be measured, such as the memory of few connections.
        """
        if not metric.applies_to(self.key.load) or not (twins or self.is_rankable):
            return {}
        found = {
            repeat: metric.value_of(result)
            for repeat, result in (self.twins if twins else self.results).items()
            if ranked(result)
        }
        return {n: value for n, value in found.items() if value is not None and value > 0}

    def estimate(self, metric: Metric) -> Estimate | None:
        """Return the median of those that may be ranked; None if there is none."""
        return estimate([*self.values(metric).values()])

    def unranked_median(self, metric: Metric) -> float | None:
        """Return the median of those that may not be ranked, if none may."""
        if not metric.applies_to(self.key.load) or self.values(metric):
            return None
        found = [metric.value_of(result) for result in self.results.values()]
        shown = estimate([value for value in found if value is not None])
        return None if shown is None else shown.median

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
        self._found: dict[tuple[str, bool], dict[tuple[str, int], list[float]]] = {}
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
        """Return the groups that are compared: those of one scenario, connections and load."""
        return self._blocks(lambda group: bool(group.results))

    def most_connections(self, scenario: str, load: str) -> list[list[Group]]:
        """Return the blocks of a scenario, those with the most connections first.

        All that has had its turn is in them, also what has no result since it could not be run.
        """
        blocks = self._blocks(lambda group: bool(group.results or group.unmeasured))
        of = {
            n: block
            for (name, n, kind), block in blocks.items()
            if (name, kind) == (scenario, load)
        }
        return [of[n] for n in sorted(of, reverse=True)]

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
        """Return all names, in the order in which they were given."""
        given = (bundle.about.options.contenders for bundle in self.bundles.values())
        return _unique([*chain.from_iterable(given), *(key.contender for key in self.by_key)])

    def scenarios(self) -> list[str]:
        """Return the scenarios of which there are cells, in the order given."""
        present = {scenario for scenario, _, _ in self.by_block}
        given = (bundle.about.options.scenarios for bundle in self.bundles.values())
        names = _unique([*chain.from_iterable(given), *(key.scenario for key in self.by_key)])
        return [name for name in names if name in present]

    def connections(self, scenario: str, load: str) -> list[int]:
        """Return the numbers of connections of which there are cells."""
        return sorted({c for s, c, kind in self.by_block if s == scenario and kind == load})

    def rate_hz(self, group: Group) -> float:
        """Return the requests a second that a group was to hold, also where it has no result."""
        key = group.key
        given = (result.rate_wanted_hz for result in group.results.values())
        options = self.bundles[key.run].about.options
        return next(given, options.rate_for(key.scenario, key.connections))

    # -- how one compares with another ----------------------------------------------------------

    def compared(
        self, of: Group, to: Group, metric: Metric, comparisons: int = 1
    ) -> tuple[Estimate | None, float | None]:
        """Return how many times as much one group has as another, and the noise of such a ratio.

        Of one run, repeats are compared within their round; where rounds have been lost, and
        between runs, all with all: then what drifted within a run is part of the noise. What
        changed from one run to the next is not: nothing in them tells.

        Args:
            comparisons: How many are made at the same time: of many pairs of equals some lie
                further apart, so that each has to pass a higher floor (Bonferroni).
        """
        values, others = of.values(metric), to.values(metric)
        paired = of.key.run == to.key.run and len(values.keys() & others.keys()) > 1
        found = ratio(values, others, paired)
        if found is None:
            return None, None
        for twins in (True, False) if paired else (False,):  # repeats, where twins are too few
            floor = noise_floor(self._pool(of.key, metric, twins), found.count, comparisons)
            if floor is not None:
                return found, floor
        return found, None

    def _pool(self, key: Key, metric: Metric, twins: bool) -> list[float]:
        """Return differences of equals, of the nearest to a block: itself, its scenario, all."""
        differences = self._differences(metric.name, twins)
        everything: list[float] = []
        scenario: list[float] = []
        block: list[float] = []
        for (of, connections), found in differences.items():
            everything += found
            if of == key.scenario:
                scenario += found
                if connections == key.connections:
                    block += found
        return next((pool for pool in (block, scenario) if len(pool) >= OWN_PAIRS_MIN), everything)

    def _differences(self, metric_name: str, twins: bool) -> dict[tuple[str, int], list[float]]:
        """Return the logarithms of ratios of equals, by scenario and connections.

        Args:
            twins: Of one round; else between repeats, hence with what drifted.
        """
        if (metric_name, twins) not in self._found:
            metric = METRICS[metric_name]
            found: dict[tuple[str, int], list[float]] = defaultdict(list)
            for key, group in self.by_key.items():
                values = group.values(metric)
                if twins:
                    others = group.values(metric, twins=True)
                    pairs = [(others[repeat], values[repeat]) for repeat in others.keys() & values]
                else:
                    pairs = [*combinations(values.values(), 2)]
                found[key.scenario, key.connections] += [math.log(a / b) for a, b in pairs]
            self._found[metric_name, twins] = found
        return self._found[metric_name, twins]


def _unique(names: Iterable[str]) -> list[str]:
    return [*dict.fromkeys(names)]
