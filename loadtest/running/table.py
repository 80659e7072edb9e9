"""A search as a table, a row for each window."""

from rich.table import Table

from loadtest.measure.table import number
from loadtest.running.capacity import Search


def search_table(search: Search) -> Table:
    """Return the windows of a search as a table."""
    objective, table = search.objective, Table()
    for name in (
        "requests/s",
        "in the window",
        f"latency {objective.quantile[:-3]}, ms",
        "verdict",
    ):
        table.add_column(name, justify="right")
    table.add_column(str(objective))
    for step, outcome in zip(search.steps, search.outcomes, strict=True):
        main = step.result.main
        table.add_row(
            f"{step.rate_hz:,.6g}",
            number(main.rate_hz if main else None, ",.0f"),
            number(objective.value_ms(step.result), ",.2f"),
            step.result.verdict.name,
            outcome.value,
        )
    return table
