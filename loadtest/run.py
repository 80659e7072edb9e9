"""One cell on demand, or the search for the highest rate at which a promise holds."""

import signal
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from rich.console import Console

from loadtest import fitting, terminal
from loadtest.bundle import write_run
from loadtest.capacity import Promise, Step, search
from loadtest.cell import Interrupted, Load, run_model, run_target
from loadtest.cores import Cores
from loadtest.files import said_of
from loadtest.progress import CellProgress, cell_progress
from loadtest.selftest.calibration import Calibration, calibrate
from loadtest.table import cell_table, steps_table
from loadtest.target import CellError, Target


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
    promise: Promise | None


def run(options: Options, folder: Path) -> int:
    """Run it into a folder, print what came of it; return the exit status.

    0 when all went well, 1 where a cell could not be run, 130 when interrupted: what has been
    measured until then is shown and kept.
    """
    # As for Ctrl-C even where a shell has it ignored, in the background: nothing may be left.
    for signum in (signal.SIGINT, signal.SIGTERM):
        signal.signal(signum, signal.default_int_handler)
    cores = Cores.halves()
    console = terminal.console()
    status, steps = 0, []
    calibration: Calibration | None = None
    try:
        with cell_progress(2 if options.promise is None else None) as progress:
            progress.begin("the generator's own floor and ceiling")
            calibration = calibrate(cores, folder / "calibration")
            progress.end()
            write_run(folder, asdict(options), cores, asdict(calibration))
            cells = _Cells(options, cores, folder, progress)
            if options.promise is None:
                steps.append(cells.run(options.load.rate_hz))
            else:
                search(options.promise, cells.run, steps.append, calibration.ceiling_hz)
    except Interrupted as interrupt:  # what has been measured is on disk already
        status = 130
        if interrupt.result is not None:
            steps.append(Step(interrupt.result.rate_wanted_hz, interrupt.result))
    except KeyboardInterrupt:  # before there was anything
        status = 130
    except CellError as error:
        terminal.say(console, f"not run: {error}")
        status = 1
    except OSError as error:  # a full disk: what was written before is whole
        terminal.say(console, f"not run: {said_of(error)}")
        status = 1
    _show(console, options, steps, calibration)
    terminal.say(console, f"raw results: {folder}")
    return status


class _Cells:
    """Runs cells that differ in their rate, each with a fresh server if it is one of ours."""

    def __init__(
        self, options: Options, cores: Cores, folder: Path, progress: CellProgress
    ) -> None:
        self._options, self._cores, self._folder = options, cores, folder
        self._progress = progress

    def run(self, rate_hz: float) -> Step:
        """Run one at a rate."""
        options = self._options
        name = step_name(options.load, rate_hz)
        folder = self._folder / name
        folder.mkdir()
        self._progress.begin(name)
        load = replace(options.load, rate_hz=rate_hz)
        say = self._progress.say
        if options.target is None:
            result = run_model(options.model, load, self._cores, folder, say)
        else:
            result = run_target(options.target, load, self._cores, folder, say)
        self._progress.end()
        return Step(rate_hz, result)


def step_name(load: Load, rate_hz: float) -> str:
    """Return what the folder of a step is called; a search may try 29.7 and 30.3."""
    rate = f"{rate_hz:g}" if rate_hz else "flat-out"
    return f"{load.scenario}-{load.connections}-{rate}"


def _show(
    console: Console, options: Options, steps: list[Step], calibration: Calibration | None
) -> None:
    if options.promise is not None:
        fitting.show(console, steps_table(options.promise, steps))
        terminal.say(console, options.promise.said_of(steps))
    else:
        for step in steps:
            fitting.show(console, cell_table(step.result))
            verdict = step.result.verdict
            terminal.say(console, f"verdict: {verdict.name}: {verdict.why}")
    if calibration is not None:
        terminal.say(console, calibration.said)
