"""One cell on demand, or the search for the highest rate at which an objective holds."""

from collections.abc import Collection
from dataclasses import asdict, dataclass, field, replace
from itertools import count
from pathlib import Path
from typing import Any

from rich.console import Console

from loadtest.bundle.calibration import Calibration
from loadtest.bundle.write import write_run
from loadtest.client.request import hidden
from loadtest.host import tables, terminal
from loadtest.host.cores import Cores
from loadtest.host.files import os_error_text
from loadtest.host.machine import write_json
from loadtest.measure.table import cell_table
from loadtest.measure.verdict import SPOILT
from loadtest.running.calibration import calibrate
from loadtest.running.capacity import FLAT_OUT_S, SEARCH_FILE, Search, SearchPlan, Step, replyless
from loadtest.running.cell import Interrupted, Load, run_model, run_target
from loadtest.running.objective import Objective
from loadtest.running.processes import raise_on_signals
from loadtest.running.progress import CellProgress, cell_progress
from loadtest.running.table import search_table
from loadtest.running.target import CellError, Target


@dataclass(frozen=True)
class Options:
    """What to measure.

    Attributes:
        model: One of this project's, started for each cell; "" if there is a target.
        target: A server that already runs.
        load: What the clients do.
        objective: Search the highest rate at which it holds; None: run one cell.
    """

    model: str
    target: Target | None
    load: Load
    objective: Objective | None

    def as_json(self) -> dict[str, Any]:
        """Return the options as ``run.json`` keeps them: without the values of headers."""
        load = replace(self.load, headers=tuple(hidden(self.load.headers)))
        content = asdict(replace(self, load=load))
        content["promise"] = content.pop("objective")  # the file's name for it
        return content


@dataclass
class _Measured:
    """What there is to show so far."""

    steps: list[Step] = field(default_factory=list)
    search: Search | None = None
    calibration: Calibration | None = None


def run(options: Options, folder: Path) -> int:
    """Measure into a folder, print the result, and return the exit status.

    0 if there is a figure; 1 if a cell could not run or is spoilt, or every window of a search was
    inconclusive; 130 after Ctrl-C. What has been measured is printed and kept in any case.
    """
    raise_on_signals()
    console, measured = terminal.console(), _Measured()
    try:
        status = _measure(options, folder, console, measured)
    except Interrupted as interrupt:  # the cell is on disk already
        status = 130
        if interrupt.result is not None and measured.search is None:  # else it is half a window
            measured.steps.append(Step(interrupt.result.rate_wanted_hz, interrupt.result))
    except KeyboardInterrupt:  # nothing has been measured yet
        status = 130
    except CellError as error:
        terminal.print_line(console, f"not run: {error}")
        status = 1
    except OSError as error:  # a full disk: all files on it are whole
        terminal.print_line(console, f"not run: {os_error_text(error)}")
        status = 1
    _show(console, measured)
    terminal.print_line(console, f"raw results: {folder}")
    return status


def _measure(options: Options, folder: Path, console: Console, measured: _Measured) -> int:
    """Run one cell or a search, and return the exit status."""
    cores, objective = Cores.halves(), options.objective
    with cell_progress(2 if objective is None else None) as progress:
        progress.begin("calibration of the generator")
        measured.calibration = calibrate(cores, folder / "calibration")
        progress.end()
        write_run(folder, options.as_json(), cores, asdict(measured.calibration))
        cells = _Cells(options, cores, folder, progress)
        if objective is None:
            step = cells.run(options.load.rate_hz)
            measured.steps.append(step)
            return int(step.result.verdict.name in SPOILT)
        flat_out = cells.run(0.0, FLAT_OUT_S)
        if replyless(flat_out.result):
            text = f"no search for {objective}: flat out, no request had a right reply"
            terminal.print_line(console, text)
            measured.steps.append(flat_out)
            return 1
        main = flat_out.result.main
        ceiling_hz = measured.calibration.ceiling_hz * options.load.processes
        measured.search = Search(objective, main.rate_hz if main else 0.0, ceiling_hz)
        while (rate_hz := measured.search.next_rate_hz()) is not None:
            measured.search.keep(cells.run(rate_hz))
            cells.save(measured.search)
        return int(not measured.search.has_figure)


class _Cells:
    """Cells that differ in their rate; each has a fresh server if it is a model."""

    def __init__(
        self, options: Options, cores: Cores, folder: Path, progress: CellProgress
    ) -> None:
        self._options, self._cores, self._folder = options, cores, folder
        self._progress = progress
        self._names: list[str] = []

    def save(self, search: Search) -> None:
        """Write the search into the bundle, so that its answer can be computed again."""
        _, *windows = self._names
        plan = SearchPlan(str(search.objective), search.flat_out_hz, search.ceiling_hz, windows)
        write_json(self._folder / SEARCH_FILE, asdict(plan))

    def run(self, rate_hz: float, window_s: float = 0.0) -> Step:
        """Run one at a rate, for the length of a window; 0: the one in the options."""
        options = self._options
        name = step_name(options.load, rate_hz, self._names)
        self._names.append(name)
        folder = self._folder / name
        folder.mkdir()
        self._progress.begin(name)
        window_s = window_s or options.load.window_s
        load = replace(options.load, rate_hz=rate_hz, window_s=window_s)
        show = self._progress.show_stage
        if options.target is None:
            result = run_model(options.model, load, self._cores, folder, show)
        else:
            result = run_target(options.target, load, self._cores, folder, show)
        self._progress.end()
        return Step(rate_hz, result)


def step_name(load: Load, rate_hz: float, taken: Collection[str]) -> str:
    """Return the name of a step's folder; one rate may come more than once in a search."""
    rate = f"{rate_hz:g}" if rate_hz else "flat-out"
    first = f"{load.scenario}-{load.connections}-{rate}"
    names = (first if number == 1 else f"{first}-{number}" for number in count(1))
    return next(name for name in names if name not in taken)


def _show(console: Console, measured: _Measured) -> None:
    if measured.search is not None and measured.search.steps:
        tables.print_tables(console, search_table(measured.search))
        terminal.print_line(console, measured.search.summary)
    for step in measured.steps:
        tables.print_tables(console, cell_table(step.result))
        verdict = step.result.verdict
        terminal.print_line(console, f"verdict: {verdict.name}: {verdict.why}")
    if measured.calibration is not None:
        terminal.print_line(console, measured.calibration.summary)
