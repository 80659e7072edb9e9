"""Where there is nothing to compare: the figures of each cell, or why there are none."""

from collections import Counter

from rich.table import Table
from rich.text import Text

from loadtest.analysis.metrics import METRICS, has_figures
from loadtest.report.page import TABLE, Page


def figures_table(page: Page) -> Table:
    """Return the figures of all groups of repeats; what may not be ranked is struck through."""
    table = Table()
    for name in ("contender", "scenario", "connections", "load"):
        table.add_column(name)
    for metric in (METRICS[name] for name in TABLE):
        table.add_column(f"{metric.title}, {metric.unit}", justify="right")
    table.add_column("verdict")
    for block in page.verdicts():
        for row in block["rows"]:
            figures = [
                Text(text, style="strike" if struck else "") for text, struck in row["cells"]
            ]
            verdict = row["verdicts"] if row["ranked"] else f"{row['verdicts']}: {row['why']}"
            table.add_row(
                row["label"], block["scenario"], row["connections"], row["load"], *figures,
                "; ".join(filter(None, (verdict, row["anew"]))),
            )  # fmt: skip
    return table


def without_figures(page: Page) -> str:
    """Return why no cell has a figure, in a line; "" where one has."""
    results = [result for group in page.groups.by_key.values() for result in group.results.values()]
    if not results:
        return "no cell has a figure: none has been measured, or none can be read"
    if any(map(has_figures, results)):
        return ""
    reasons = Counter(f"{one.verdict.name}: {one.verdict.why}" for one in results)
    (first, number), *others = reasons.most_common()
    more = f"; {len(others)} more reasons" if others else ""
    return f"no cell has a figure: {first} ({number} of {len(results)} cells{more})"
