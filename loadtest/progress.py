"""What is being done, while it is: on a terminal a bar, else a line for each step."""

from collections.abc import Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TaskID,
    TextColumn,
    TimeRemainingColumn,
)


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
            self._progress.console.print(f"{name} ...", soft_wrap=True, highlight=False)

    def say(self, stage: str) -> None:
        """Show what it is doing."""
        self._progress.update(self._task, description=f"{self._name}: {stage}")

    def end(self, advance: float = 1) -> None:
        """Count it as done."""
        self._progress.advance(self._task, advance)


def new_progress() -> Progress:
    """Return a bar on standard error, for those who measure."""
    return Progress(
        MofNCompleteColumn(),
        BarColumn(),
        TimeRemainingColumn(),
        TextColumn("{task.description}"),
        console=Console(stderr=True),
        refresh_per_second=2,  # it draws on the cores that are measured
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
    progress = Progress(
        TextColumn("{task.percentage:3.0f}%"),
        BarColumn(),
        TimeRemainingColumn(),
        TextColumn("{task.description}"),
        console=Console(stderr=True),
        refresh_per_second=2,  # it draws on the cores that are measured
    )
    with progress:
        yield CellProgress(progress, progress.add_task("", total=seconds))
