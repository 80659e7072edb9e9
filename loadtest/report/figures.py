"""Where there is nothing to compare: the figures of each cell, or why there are none."""

from collections import Counter

from rich.table import Table
from rich.text import Text

from loadtest.analysis.metrics import has_figures
from loadtest.report import tables
from loadtest.report.page import Page


def figures_table(page: Page) -> Table:
    """Return the figures of all groups of repeats; those not ranked are struck through."""
    table = Table()
    for name in ("contender", "scenario", "connections", "load"):
        table.add_column(name)
    for metric in tables.COLUMNS:
        table.add_column(f"{metric.title}, {metric.unit}", justify="right")
    table.add_column("verdict")
    for block in tables.blocks(page.builder):
        for row in block.rows:
            figures = [Text(one.text, style="strike" * one.unranked) for one in row.figures]
            verdict = row.verdicts if row.ranked else f"{row.verdicts}: {row.why}"
            table.add_row(
                row.label, block.scenario, row.connections, row.load, *figures,
                "; ".join(filter(None, (verdict, row.repeated))),
            )  # fmt: skip
    return table


def without_figures(page: Page) -> str:
    """Return in one line why no cell has a figure; "" where one has."""
    results = [result for group in page.groups.by_key.values() for result in group.results.values()]
    if not results:
        return "no cell has a figure: none has been measured, or none can be read"
    if any(map(has_figures, results)):
        return ""
    reasons = Counter(f"{one.verdict.name}: {one.verdict.why}" for one in results)
    (first, count), *others = reasons.most_common()
    more = f"; {len(others)} more reasons" if others else ""
    return f"no cell has a figure: {first} ({count} of {len(results)} cells{more})"
