"""What is printed through Rich: text is never markup, and a line of text stays one line."""

import os

from rich.console import Console

from loadtest.host.safe_output import one_line

WIDE_COLUMNS = 150
"""Where the output is no terminal, and COLUMNS does not say how wide it is."""


def console(stderr: bool = False) -> Console:
    """Return a console that takes text as it is: no markup, no emoji, nothing highlighted."""
    found = Console(stderr=stderr, markup=False, emoji=False, highlight=False)
    if not found.is_terminal and not os.environ.get("COLUMNS", "").isdigit():
        found.width = WIDE_COLUMNS
    return found


def print_line(on: Console, text: str) -> None:
    """Print one line, however long, whatever is in it: what would move a cursor is escaped."""
    on.print(one_line(text), soft_wrap=True)
