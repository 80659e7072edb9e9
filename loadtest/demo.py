"""The demonstration: every model in turn, a few seconds each, and a table at the end."""

import signal
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from loadtest import bundle
from loadtest.cell import Cell, CellError, Cores, run
from loadtest.result import Result, result_of
from loadtest.table import table_of

TABLE_COLUMNS = 120
"""Width where the output is no terminal: enough for the table."""


@dataclass(frozen=True)
class Options:
    """What was asked for."""

    models: list[str]
    scenarios: list[str]
    connections: list[int]
    duration_s: float

    def cells(self) -> list[Cell]:
        """Return all cells: the models take turns, so that what drifts hits them alike."""
        return [
            Cell(model, scenario, connections)
            for scenario in self.scenarios
            for connections in self.connections
            for model in self.models
        ]


def demo(options: Options, folder: Path) -> int:
    """Run all cells into a folder, print the table; return the exit status.

    0 when all went well, 1 where a cell could not be run, 130 when interrupted: what has been
    measured until then is shown and kept.
    """
    # As for Ctrl-C even where a shell has it ignored, in the background: nothing may be left.
    for signum in (signal.SIGINT, signal.SIGTERM):
        signal.signal(signum, signal.default_int_handler)
    cores = Cores.halves()
    bundle.write_run(folder, asdict(options), cores)
    outcomes: list[tuple[Cell, Result | str]] = []
    try:
        _run_all(options.cells(), options.duration_s, cores, folder, outcomes)
        status = 1 if any(isinstance(outcome, str) for _, outcome in outcomes) else 0
    except KeyboardInterrupt:  # the cells that have finished are on disk already
        status = 130
    console = Console()
    if not console.is_terminal:
        console.width = TABLE_COLUMNS
    console.print(table_of(outcomes, options.duration_s))
    for cell, outcome in outcomes:
        if isinstance(outcome, str):
            console.print(f"{cell.name} not run: {outcome}", soft_wrap=True, highlight=False)
    console.print(f"raw results: {folder}", soft_wrap=True, highlight=False)
    return status


def _run_all(
    cells: Sequence[Cell],
    duration_s: float,
    cores: Cores,
    folder: Path,
    outcomes: list[tuple[Cell, Result | str]],
) -> None:
    """Run the cells one after the other; what became of each is in ``outcomes`` at once."""
    progress = Progress(
        MofNCompleteColumn(),
        BarColumn(),
        TimeRemainingColumn(),
        TextColumn("{task.description}"),
        console=Console(stderr=True),
    )
    with progress:
        bar = progress.add_task("", total=len(cells))
        for cell in cells:
            progress.update(bar, description=cell.name)
            if not progress.console.is_terminal:
                progress.console.print(f"{cell.name} ...")
            cell_folder = folder / cell.name
            cell_folder.mkdir()
            try:
                measured = run(cell, duration_s, cores, cell_folder)
            except CellError as error:  # the next one may well run
                outcomes.append((cell, str(error)))
            else:
                result = result_of(cell, measured)
                bundle.write_cell(cell_folder, result, measured)
                outcomes.append((cell, result))
            progress.advance(bar)
