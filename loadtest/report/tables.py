"""Every group of repeats as a row of text: figures, verdicts and evidence."""

import statistics
from collections.abc import Iterator
from dataclasses import dataclass

from loadtest.analysis.groups import Group
from loadtest.analysis.metrics import METRICS, Metric, ranked
from loadtest.bundle.plan import FLAT_OUT, RATE, SHARE
from loadtest.catalogue import SCENARIOS
from loadtest.measure.reconnections import reconnect_notes
from loadtest.report.chart import ChartBuilder
from loadtest.report.style import number

COLUMNS = [METRICS[name] for name in ("rate", "p50", "p99", "cpu", "memory")]
"""The metrics of a table of cells."""


@dataclass(frozen=True)
class Figure:
    """A number as text; one that is not ranked is struck through."""

    text: str
    unranked: bool


@dataclass(frozen=True)
class Row:
    """One group of repeats.

    Attributes:
        verdicts: The verdicts of its repeats, each with its count.
        why: The evidence for the verdict, of a repeat that is not ranked if there is one.
        repeated: How often it reconnected and sent requests again; "" if never.
        ranked: Whether any of its repeats is ranked.
        figures: One for each of ``COLUMNS``.
    """

    contender: str
    run: str
    label: str
    connections: str
    load: str
    verdicts: str
    why: str
    repeated: str
    ranked: bool
    figures: list[Figure]


@dataclass(frozen=True)
class Block:
    """The rows of one scenario, and what that scenario reveals."""

    scenario: str
    reveals: str
    rows: list[Row]


def blocks(builder: ChartBuilder) -> Iterator[Block]:
    """Yield each scenario with its groups of repeats."""
    groups = builder.groups
    for name in groups.scenarios():
        rows = [
            _row(builder, group)
            for (scenario, _, _), block in sorted(groups.by_block.items())
            if scenario == name
            for group in block
        ]
        yield Block(name, SCENARIOS[name].reveals if name in SCENARIOS else "", rows)


def _row(builder: ChartBuilder, group: Group) -> Row:
    key, results = group.key, group.results.values()
    evidence = next((result for result in results if not ranked(result)), None)
    evidence = evidence or next(iter(results))
    classes = [one for result in results for one in result.classes.values()]
    reconnects = sum(one.reconnects for one in classes)
    retries = sum(one.retries for one in classes)
    return Row(
        contender=key.contender,
        run=key.run,
        label=builder.label(key.contender, key.run),
        connections=f"{key.connections:,}",
        load=_load(group),
        verdicts=", ".join(f"{len(of)} × {name}" for name, of in group.verdicts.items()),
        why=evidence.verdict.why,
        repeated="; ".join(reconnect_notes(reconnects, retries)),
        ranked=any(map(ranked, results)),
        figures=[_figure(group, metric) for metric in COLUMNS],
    )


def _figure(group: Group, metric: Metric) -> Figure:
    if values := group.values(metric):
        return Figure(number(statistics.median(values.values())), unranked=False)
    median = group.unranked_median(metric)
    return Figure("" if median is None else number(median), unranked=median is not None)


def _load(group: Group) -> str:
    load = group.key.load
    if load == FLAT_OUT:
        return "flat out"
    rate_hz = max(result.rate_wanted_hz for result in group.results.values())
    share = "" if load == RATE else f" ({load.removeprefix(SHARE)}%)"
    return f"{rate_hz:,.0f}/s{share}"
