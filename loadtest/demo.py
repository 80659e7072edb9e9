"""The demonstration: every model in turn, a few seconds each, and a table at the end."""

import signal
from dataclasses import asdict, dataclass
from pathlib import Path

from rich.console import Console

from loadtest.bundle import write_run
from loadtest.catalogue import RATES_HZ, SCENARIOS
from loadtest.cell import Load, run_model
from loadtest.cores import Cores
from loadtest.progress import cell_progress
from loadtest.result import Result
from loadtest.selftest.calibration import calibrate
from loadtest.table import comparison_table
from loadtest.target import CellError

WAIT_RATE_PER_CONNECTION_HZ = 10.0
"""Half of what one connection can do that waits 50 ms each time; beyond, no rate is held."""

WARM_UP_S = 0.3
"""From the first turn to the window: the longest request takes 50 ms, and all have had one."""

TABLE_COLUMNS = 132
"""Width where the output is no terminal: enough for the table."""


@dataclass(frozen=True)
class Cell:
    """A model, a scenario, and a number of connections."""

    model: str
    scenario: str
    connections: int

    @property
    def name(self) -> str:
        """What its folder is called."""
        return f"{self.scenario}-{self.connections}-{self.model}"

    def load(self, window_s: float) -> Load:
        """Return what the clients do: at one rate for every model."""
        rate_hz = RATES_HZ[self.scenario]
        if self.scenario == "wait":
            rate_hz = min(rate_hz, self.connections * WAIT_RATE_PER_CONNECTION_HZ)
        return Load(
            self.scenario,
            SCENARIOS[self.scenario].users,
            self.connections,
            rate_hz,
            warmup_s=WARM_UP_S,
            window_s=window_s,
        )


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
    outcomes: list[tuple[Cell, Result | str]] = []
    console = Console()
    if not console.is_terminal:
        console.width = TABLE_COLUMNS
    try:
        _run_all(options, cores, folder, outcomes)
        status = 1 if any(isinstance(outcome, str) for _, outcome in outcomes) else 0
    except CellError as error:  # the generator itself
        console.print(f"not run: {error}", soft_wrap=True, highlight=False)
        status = 1
    except KeyboardInterrupt:  # the cells that have finished are on disk already
        status = 130
    rows = [
        (
            cell.model,
            cell.scenario,
            cell.connections,
            outcome if isinstance(outcome, Result) else None,
        )
        for cell, outcome in outcomes
    ]
    console.print(comparison_table(rows, options.duration_s))
    for cell, outcome in outcomes:
        if isinstance(outcome, str):
            console.print(f"{cell.name} not run: {outcome}", soft_wrap=True, highlight=False)
    console.print(f"raw results: {folder}", soft_wrap=True, highlight=False)
    return status


def _run_all(
    options: Options, cores: Cores, folder: Path, outcomes: list[tuple[Cell, Result | str]]
) -> None:
    """Run the cells one after the other; what became of each is in ``outcomes`` at once."""
    cells = options.cells()
    with cell_progress(1 + len(cells)) as progress:
        progress.begin("floor and ceiling of the generator")
        calibration = calibrate(cores, folder / "calibration", progress.say)
        write_run(folder, asdict(options), cores, asdict(calibration))
        progress.end()
        for cell in cells:
            progress.begin(cell.name)
            cell_folder = folder / cell.name
            cell_folder.mkdir()
            try:
                result = run_model(
                    cell.model, cell.load(options.duration_s), cores, cell_folder, progress.say
                )
            except CellError as error:  # the next one may well run
                outcomes.append((cell, str(error)))
            else:
                outcomes.append((cell, result))
            progress.end()
