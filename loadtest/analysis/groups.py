"""Repeats put together: what one contender did in one scenario, and how that compares."""

import math
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field
from functools import cached_property
from itertools import combinations
from typing import NamedTuple

from loadtest.analysis.bundle import Bundle
from loadtest.analysis.estimates import Estimate, estimate, noise_floor, ratio
from loadtest.analysis.metrics import METRICS, Metric, ranked
from loadtest.compare.matrix import CellPlan
from loadtest.result import Result

OWN_PAIRS_MIN = 6
"""With as many pairs a scenario has a noise floor of its own; with fewer, that of all together."""


class Key(NamedTuple):
    """What a group is of."""

    run: str
    scenario: str
    connections: int
    load: str
    contender: str


@dataclass
class Group:
    """The repeats of one thing.

    Attributes:
        results: Repeat -> result.
        twins: Repeat -> result of the same thing measured once more in the same round.
    """

    key: Key
    results: dict[int, Result] = field(default_factory=dict)
    twins: dict[int, Result] = field(default_factory=dict)

    def values(self, metric: Metric, twins: bool = False) -> dict[int, float]:
        """Return repeat -> number, of the repeats that may be ranked."""
        if not metric.applies_to(self.key.load):
            return {}
        found = {
            repeat: metric.of(result)
            for repeat, result in (self.twins if twins else self.results).items()
            if ranked(result)
        }
        return {repeat: value for repeat, value in found.items() if value is not None}

    def estimate(self, metric: Metric) -> Estimate | None:
        """Return the median of those that may be ranked; None if there is none."""
        return estimate([*self.values(metric).values()])

    def struck(self, metric: Metric) -> float | None:
        """Return the median of those that may not be ranked, if none may."""
        if not metric.applies_to(self.key.load) or self.values(metric):
            return None
        found = [metric.of(result) for result in self.results.values()]
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
        for run, bundle in bundles.items():
            for cell in bundle.plan:
                self._add(run, cell, bundle.cells.get(cell))

    def _add(self, run: str, cell: CellPlan, result: Result | None) -> None:
        key = Key(run, cell.scenario, cell.connections, cell.load, cell.contender)
        group = self.by_key.setdefault(key, Group(key))
        if result is not None:
            (group.twins if cell.twin else group.results)[cell.repeat] = result

    def of(self, scenario: str, connections: int, load: str) -> list[Group]:
        """Return the groups of one block, contender by contender, run by run."""
        return self.by_block.get((scenario, connections, load), [])

    @cached_property
    def by_block(self) -> dict[tuple[str, int, str], list[Group]]:
        """Return the groups that are compared: those of one scenario, connections and load."""
        blocks: dict[tuple[str, int, str], list[Group]] = defaultdict(list)
        for key, group in self.by_key.items():
            if group.results:
                blocks[key.scenario, key.connections, key.load].append(group)
        order = {name: place for place, name in enumerate(self.contenders)}
        for groups in blocks.values():
            groups.sort(key=lambda group: (order[group.key.contender], group.key.run))
        return dict(blocks)

    @cached_property
    def contenders(self) -> list[str]:
        """Return all names, in the order in which they were given."""
        return _unique(
            name for bundle in self.bundles.values() for name in bundle.about.options.contenders
        )

    def scenarios(self) -> list[str]:
        """Return the scenarios of which there are cells, in the order given."""
        present = {scenario for scenario, _, _ in self.by_block}
        given = _unique(
            name for bundle in self.bundles.values() for name in bundle.about.options.scenarios
        )
        return [name for name in given if name in present]

    def connections(self, scenario: str, load: str) -> list[int]:
        """Return the numbers of connections of which there are cells."""
        return sorted({c for s, c, kind in self.by_block if s == scenario and kind == load})

    # -- how one compares with another ----------------------------------------------------------

    def compared(
        self, of: Group, to: Group, metric: Metric
    ) -> tuple[Estimate | None, float | None]:
        """Return how many times as much one group has as another, and the noise of such a ratio.

        Of one run, repeats are compared within their round; where rounds have been lost, and
        between runs, all with all: then what drifted with time is part of the noise.
        """
        values, others = of.values(metric), to.values(metric)
        paired = of.key.run == to.key.run and len(values.keys() & others.keys()) > 1
        found = ratio(values, others, paired)
        count = 0 if found is None else found.count
        return found, self.noise(of.key.scenario, metric, count, paired)

    def noise(self, scenario: str, metric: Metric, count: int, paired: bool) -> float | None:
        """Return the noise floor of a ratio, as a ratio; None if it is not known.

        Args:
            count: Of repeats; with none there is no ratio and no noise.
            paired: From twins of the same round; else from repeats, hence with what drifted.
        """
        if not count:
            return None
        for twins in (True, False) if paired else (False,):  # repeats, where twins are too few
            pairs = self._differences(metric.name, twins)
            own = pairs.get(scenario, [])
            if len(own) < OWN_PAIRS_MIN:
                own = [difference for found in pairs.values() for difference in found]
            floor = noise_floor(own, count)
            if floor is not None:
                return floor
        return None

    def _differences(self, metric_name: str, paired: bool) -> dict[str, list[float]]:
        """Return the logarithms of ratios of equals, by scenario."""
        if (metric_name, paired) not in self._found:
            metric = METRICS[metric_name]
            found: dict[str, list[float]] = defaultdict(list)
            for key, group in self.by_key.items():
                values = group.values(metric)
                if paired:
                    twins = group.values(metric, twins=True)
                    pairs = [(twins[repeat], values[repeat]) for repeat in twins.keys() & values]
                else:
                    pairs = [*combinations(values.values(), 2)]
                found[key.scenario] += [math.log(a / b) for a, b in pairs if a > 0 and b > 0]
            self._found[metric_name, paired] = found
        return self._found[metric_name, paired]

    @cached_property
    def _found(self) -> dict[tuple[str, bool], dict[str, list[float]]]:
        return {}


def _unique(names: Iterable[str]) -> list[str]:
    return [*dict.fromkeys(names)]
