"""Print tables that fit the terminal, and never cut a word or number.

Rich cuts cells that do not fit (``0.4…``). Here, columns of text wrap between words first; then the
frame goes; then a table of numbers is transposed; and if even that is too wide, each cell gets a
line.
"""

from collections.abc import Sequence

from rich.console import Console
from rich.measure import Measurement
from rich.table import Column, Table
from rich.text import Text

from loadtest.host.terminal import print_line

_ANY_COLUMNS = 100_000
"""Wider than any table, to measure the width it would like."""


def print_tables(console: Console, *tables: Table) -> None:
    """Print tables with an empty line between them; the console must not interpret markup."""
    for number, table in enumerate(tables):
        if number:
            console.print()
        _print_table(console, table)


def _print_table(console: Console, table: Table) -> None:
    title, table.title = table.title, None
    caption, table.caption = table.caption, None  # Rich would cut long words in both
    if title is not None:
        console.print(title, style="italic", overflow="fold")
    if _fits(console, table):
        console.print(table)
    elif (transposed := _transposed(table)) is not None and _fits(console, transposed):
        console.print(transposed)
    else:
        _print_rows(console, table)
    if caption is not None:
        console.print(caption, style="dim", overflow="fold")


def _fits(console: Console, table: Table) -> bool:
    """Narrow a table as far as needed; return whether it fits."""
    sizes = [_measured(console, column) for column in table.columns]
    for framed in (True, False):
        if not framed:
            table.box, table.padding, table.pad_edge = None, (0, 1, 0, 0), False
        room = console.width - _frame(console, table, sizes)
        if sum(size.maximum for size in sizes) <= room:
            return True
        if sum(size.minimum for size in sizes) <= room:
            for column, width in zip(table.columns, _shared(sizes, room), strict=True):
                column.width = width
            return True
    return False


def _measured(console: Console, column: Column) -> Measurement:
    """Return the minimum width of a column, that of its longest word, and its maximum."""
    wide = console.options.update(width=_ANY_COLUMNS)
    cells = [column.header, *column.cells]
    sizes = [Measurement.get(console, wide, cell) for cell in cells]
    most = max(size.maximum for size in sizes)
    return Measurement(most if column.no_wrap else max(size.minimum for size in sizes), most)


def _frame(console: Console, table: Table, sizes: Sequence[Measurement]) -> int:
    """Return the width of the frame and of the space between columns."""
    whole = Measurement.get(console, console.options.update(width=_ANY_COLUMNS), table).maximum
    return whole - sum(size.maximum for size in sizes)


def _shared(sizes: Sequence[Measurement], room: int) -> list[int]:
    """Return widths that fill the room: each column gets its minimum, and a share of the rest."""
    widths = [size.minimum for size in sizes]
    wanted = [size.maximum - size.minimum for size in sizes]
    spare = room - sum(widths)
    return [width + spare * more // sum(wanted) for width, more in zip(widths, wanted, strict=True)]


def _transposed(table: Table) -> Table | None:
    """Return a table of numbers with rows and columns swapped; None for any other table."""
    names, *numbers = table.columns
    if any(column.justify != "right" for column in numbers):
        return None
    transposed = Table(_text(names.header))
    for name in names.cells:
        transposed.add_column(name, justify="right")
    for column in numbers:
        transposed.add_row(column.header, *column.cells)
    return transposed


def _print_rows(console: Console, table: Table) -> None:
    """Print each row as lines: its first cell, then the name and the value of each other."""
    names = [_text(column.header) for column in table.columns]
    for row in zip(*(column.cells for column in table.columns), strict=True):
        first, *others = map(_text, row)
        print_line(console, f"{names[0]}: {first}")
        for name, value in zip(names[1:], others, strict=True):
            if value:
                print_line(console, f"  {name}: {value}" if name else f"  {value}")


def _text(cell: object) -> str:
    text = cell.plain if isinstance(cell, Text) else str(cell)
    return " ".join(text.split())
