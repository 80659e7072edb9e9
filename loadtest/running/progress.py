"""Progress: a bar on a terminal, elsewhere a line for each cell."""

from collections.abc import Iterator
from contextlib import contextmanager

from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    ProgressColumn,
    TaskID,
    TextColumn,
    TimeRemainingColumn,
)
from rich.table import Column

from loadtest.host import terminal

BAR_COLUMNS = 20
"""A terminal narrower than three times that shows no bar, since the text says more."""


class CellProgress:
    """The progress of cells, one after the other, each in stages."""

    def __init__(self, progress: Progress, task: TaskID) -> None:
        self._progress, self._task = progress, task
        self._name = ""

    def begin(self, name: str) -> None:
        """Show which cell is next."""
        self._name = name
        self._progress.update(self._task, description=name)
        if not self._progress.console.is_terminal:
            terminal.print_line(self._progress.console, f"{name} ...")

    def show_stage(self, stage: str) -> None:
        """Show what the cell is doing."""
        self._progress.update(self._task, description=f"{self._name}: {stage}")

    def end(self, advance: float = 1) -> None:
        """Count the cell as done."""
        self._progress.advance(self._task, advance)


def new_progress() -> Progress:
    """Return a bar on standard error."""
    return _progress(MofNCompleteColumn())


def _progress(amount: ProgressColumn) -> Progress:
    console = terminal.console(stderr=True)
    bar = [BarColumn(bar_width=BAR_COLUMNS)] if console.width >= 3 * BAR_COLUMNS else []
    return Progress(
        amount,
        *bar,
        TimeRemainingColumn(),
        TextColumn(
            "{task.description}", markup=False, table_column=Column(ratio=1, overflow="fold")
        ),
        console=console,
        refresh_per_second=2,  # drawing takes time of the measured cores
        expand=True,  # the text gets the rest and wraps; else Rich cuts every column
    )


@contextmanager
def cell_progress(total: int | None) -> Iterator[CellProgress]:
    """Show progress for the length of a block, on standard error.

    Args:
        total: The number of cells; None if it is unknown.
    """
    with new_progress() as progress:
        yield CellProgress(progress, progress.add_task("", total=total))


@contextmanager
def matrix_progress(seconds: float) -> Iterator[CellProgress]:
    """Show progress by expected time, since cells differ in length."""
    progress = _progress(TextColumn("{task.percentage:3.0f}%"))
    with progress:
        yield CellProgress(progress, progress.add_task("", total=seconds))
