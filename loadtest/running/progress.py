"""What is being done, while it is: on a terminal a bar, else a line for each step."""

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
"""A terminal of less than three times that has no bar: the text says more."""


class CellProgress:
    """Cells, one after the other, each in stages."""

    def __init__(self, progress: Progress, task: TaskID) -> None:
        self._progress, self._task = progress, task
        self._name = ""

    def begin(self, name: str) -> None:
        """Show which cell is next."""
        self._name = name
        self._progress.update(self._task, description=name)
        if not self._progress.console.is_terminal:
            terminal.print_line(self._progress.console, f"{name} ...")

    def say(self, stage: str) -> None:
        """Show what it is doing."""
        self._progress.update(self._task, description=f"{self._name}: {stage}")

    def end(self, advance: float = 1) -> None:
        """Count it as done."""
        self._progress.advance(self._task, advance)


def new_progress() -> Progress:
    """Return a bar on standard error, for those who measure."""
    return _progress(MofNCompleteColumn())


def _progress(how_far: ProgressColumn) -> Progress:
    console = terminal.console(stderr=True)
    bar = [BarColumn(bar_width=BAR_COLUMNS)] if console.width >= 3 * BAR_COLUMNS else []
    return Progress(
        how_far,
        *bar,
        TimeRemainingColumn(),
        TextColumn(
            "{task.description}", markup=False, table_column=Column(ratio=1, overflow="fold")
        ),
        console=console,
        refresh_per_second=2,  # it draws on the cores that are measured
        expand=True,  # so that the text has what is left, and wraps: Rich would cut all columns
    )


@contextmanager
def cell_progress(total: int | None) -> Iterator[CellProgress]:
    """Show progress for the length of a block, on standard error.

    Args:
        total: How many there will be; None if nobody knows.
    """
    with new_progress() as progress:
        yield CellProgress(progress, progress.add_task("", total=total))


@contextmanager
def matrix_progress(seconds: float) -> Iterator[CellProgress]:
    """Show progress by time expected: cells of ten connections and of ten thousand differ."""
    progress = _progress(TextColumn("{task.percentage:3.0f}%"))
    with progress:
        yield CellProgress(progress, progress.add_task("", total=seconds))
