"""One cell on demand, or the search for the highest rate at which a promise holds."""

import signal
from collections.abc import Collection
from dataclasses import asdict, dataclass, replace
from itertools import count
from pathlib import Path

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
from loadtest.running.progress import CellProgress, cell_progress
from loadtest.running.table import search_table
from loadtest.running.target import CellError, Target


@dataclass(frozen=True)
class Options:
    """What was asked for.

    Attributes:
        model: Of ours; or "", and there is a target.
        target: A server that runs somewhere.
        load: What the clients do.
        promise: What is to hold; then the highest rate is searched at which it does.
    """

    model: str
    target: Target | None
    load: Load
    promise: Objective | None


def run(options: Options, folder: Path) -> int:
    """Run it into a folder, print what came of it; return the exit status.

    0 where there is a figure, 1 where a cell could not be run, is spoilt, or no window of a search
    said anything, 130 when interrupted: what has been measured until then is shown and kept.
    """
    # As for Ctrl-C even where a shell has it ignored, in the background: nothing may be left.
    for signum in (signal.SIGINT, signal.SIGTERM):
        signal.signal(signum, signal.default_int_handler)
    cores = Cores.halves()
    console = terminal.console()
    status, steps, search = 0, list[Step](), None
    calibration: Calibration | None = None
    try:
        with cell_progress(2 if options.promise is None else None) as progress:
            progress.begin("the generator's own floor and ceiling")
            calibration = calibrate(cores, folder / "calibration")
            progress.end()
            load = replace(options.load, headers=tuple(hidden(options.load.headers)))
            write_run(folder, asdict(replace(options, load=load)), cores, asdict(calibration))
            cells = _Cells(options, cores, folder, progress)
            if options.promise is None:
                steps.append(cells.run(options.load.rate_hz))
                status = int(steps[0].result.verdict.name in SPOILT)
            elif replyless((flat_out := cells.run(0.0, FLAT_OUT_S)).result):
                terminal.print_line(
                    console,
                    f"{options.promise} is not searched for: flat out no request had a right reply",
                )
                steps.append(flat_out)
                status = 1
            else:
                search = cells.search(options.promise, flat_out, calibration.ceiling_hz)
                while (rate_hz := search.next_rate_hz()) is not None:
                    search.keep(cells.run(rate_hz))
                    cells.note(search)
                status = int(not search.has_figure)
    except Interrupted as interrupt:  # what has been measured is on disk already
        status = 130
        if interrupt.result is not None and search is None:  # half a window decides nothing
            steps.append(Step(interrupt.result.rate_wanted_hz, interrupt.result))
    except KeyboardInterrupt:  # before there was anything
        status = 130
    except CellError as error:
        terminal.print_line(console, f"not run: {error}")
        status = 1
    except OSError as error:  # a full disk: what was written before is whole
        terminal.print_line(console, f"not run: {os_error_text(error)}")
        status = 1
    _show(console, search, steps, calibration)
    terminal.print_line(console, f"raw results: {folder}")
    return status


class _Cells:
    """Runs cells that differ in their rate, each with a fresh server if it is one of ours."""

    def __init__(
        self, options: Options, cores: Cores, folder: Path, progress: CellProgress
    ) -> None:
        self._options, self._cores, self._folder = options, cores, folder
        self._progress = progress
        self._names: list[str] = []

    def search(self, promise: Objective, flat_out: Step, ceiling_hz: float) -> Search:
        """Begin a search after a window flat out, which says where the capacity may lie."""
        main = flat_out.result.main
        ceiling_hz *= self._options.load.processes
        return Search(promise, main.rate_hz if main else 0.0, ceiling_hz)

    def note(self, search: Search) -> None:
        """Write down how a search has gone on, so that its answer can be found again."""
        _, *windows = self._names
        plan = SearchPlan(str(search.promise), search.flat_out_hz, search.ceiling_hz, windows)
        write_json(self._folder / SEARCH_FILE, asdict(plan))

    def run(self, rate_hz: float, window_s: float = 0.0) -> Step:
        """Run one at a rate, for as long as was asked for if nothing else is said."""
        options = self._options
        name = step_name(options.load, rate_hz, self._names)
        self._names.append(name)
        folder = self._folder / name
        folder.mkdir()
        self._progress.begin(name)
        window_s = window_s or options.load.window_s
        load = replace(options.load, rate_hz=rate_hz, window_s=window_s)
        say = self._progress.say
        if options.target is None:
            result = run_model(options.model, load, self._cores, folder, say)
        else:
            result = run_target(options.target, load, self._cores, folder, say)
        self._progress.end()
        return Step(rate_hz, result)


def step_name(load: Load, rate_hz: float, taken: Collection[str]) -> str:
    """Return what the folder of a step is called: a search tries 29.7 and 30.3, and 30.3 again."""
    rate = f"{rate_hz:g}" if rate_hz else "flat-out"
    first = f"{load.scenario}-{load.connections}-{rate}"
    names = (first if number == 1 else f"{first}-{number}" for number in count(1))
    return next(name for name in names if name not in taken)


def _show(
    console: Console, search: Search | None, steps: list[Step], calibration: Calibration | None
) -> None:
    if search is not None and search.steps:
        tables.print_tables(console, search_table(search))
        terminal.print_line(console, search.said)
    for step in steps:
        tables.print_tables(console, cell_table(step.result))
        verdict = step.result.verdict
        terminal.print_line(console, f"verdict: {verdict.name}: {verdict.why}")
    if calibration is not None:
        terminal.print_line(console, calibration.summary)
