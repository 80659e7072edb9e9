"""Consoles for Rich: text is never markup, and a line stays one line."""

import os

from rich.console import Console

from loadtest.host.safe_output import one_line

WIDE_COLUMNS = 150
"""Width if the output is not a terminal and COLUMNS is not set."""


def console(stderr: bool = False) -> Console:
    """Return a console that prints text as it is: no markup, no emoji, no highlighting."""
    on = Console(stderr=stderr, markup=False, emoji=False, highlight=False)
    if not on.is_terminal and not os.environ.get("COLUMNS", "").isdigit():
        on.width = WIDE_COLUMNS
    return on


def print_line(on: Console, text: str) -> None:
    """Print one line, however long; control characters are escaped."""
    on.print(one_line(text), soft_wrap=True)
