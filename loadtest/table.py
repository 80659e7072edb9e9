"""The table at the end of a run."""

from collections.abc import Sequence
from itertools import groupby

from rich.table import Table

from loadtest.cell import Cell
from loadtest.result import Result

_CAPTION = """\
CPU: of the server, per request, with one rate held by all models together. A run at a held rate, \
in Locust's closed loop: a reply that is late delays the next request, and times count from when \
a request was sent. Percentiles are exact, from unrounded times. One window of {duration_s:g} s \
per row: differences of less than 20 % mean nothing. Memory: of the server, in user space.\
"""


def table_of(outcomes: Sequence[tuple[Cell, Result | str]], duration_s: float) -> Table:
    """Return the results as a table, in the order of the cells.

    Args:
        outcomes: Of each cell that has been run its result, or why it could not be run (not shown).
        duration_s: The window's length asked for.
    """
    table = Table(caption=_CAPTION.format(duration_s=duration_s), caption_justify="left")
    for name in ("scenario", "connections", "model"):
        table.add_column(name, no_wrap=True)
    for name in (
        "requests/s\nheld/wanted", "p50\nms", "p99\nms", "errors", "CPU µs\n/request",
        "memory KiB\n/connection",
    ):  # fmt: skip
        table.add_column(name, justify="right", no_wrap=True)
    table.add_column("note")
    for (scenario, connections), rows in groupby(
        outcomes, key=lambda outcome: (outcome[0].scenario, outcome[0].connections)
    ):
        heading = [scenario, f"{connections:,}"]
        for cell, outcome in rows:
            table.add_row(*heading, cell.model, *_row(outcome))
            heading = ["", ""]
        table.add_section()
    return table


def _row(outcome: Result | str) -> list[str]:
    if isinstance(outcome, str):
        return [""] * 6 + ["not run"]
    memory = outcome.memory_bytes_per_connection
    return [
        f"{outcome.rate_held_hz:,.0f}/{outcome.rate_wanted_hz:,.0f}",
        _number(outcome.service_time_p50_ms, ".2f"),
        _number(outcome.service_time_p99_ms, ".2f"),
        f"{sum(outcome.errors.values()):,}",
        _number(outcome.cpu_us_per_request, ",.0f"),
        _number(None if memory is None else memory / 1024, ",.0f"),
        ", ".join(outcome.notes),
    ]


def _number(value: float | None, form: str) -> str:
    return "-" if value is None else format(value, form)
