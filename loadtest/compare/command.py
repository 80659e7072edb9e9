"""python -m loadtest compare: run the matrix, keep every cell, end with a report."""

import json
import shutil
import signal
import time
from collections.abc import Mapping
from contextlib import ExitStack, suppress
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from loadtest.bundle.alive import beating
from loadtest.bundle.calibration import Calibration
from loadtest.bundle.plan import FLAT_OUT, CellPlan, Matrix, model_and_workers
from loadtest.bundle.read import BundleError, read_bundle
from loadtest.bundle.state import FINISHED, INTERRUPTED, State
from loadtest.bundle.write import PACKAGES, write_run
from loadtest.catalogue import SCENARIOS
from loadtest.client.request import hidden
from loadtest.compare.shares import CellSkipped, rate_of_share
from loadtest.host import terminal
from loadtest.host.cores import Cores
from loadtest.host.files import is_disk_error, os_error_text
from loadtest.host.machine import describe_run, host_path, write_json
from loadtest.measure.result import Result
from loadtest.running.calibration import calibrate
from loadtest.running.cell import Load, run_model, run_target
from loadtest.running.fork_server import LocustForkServer, locust_fork_server
from loadtest.running.progress import CellProgress, matrix_progress
from loadtest.running.target import CellError, Target

CELLS_FILE = "cells.json"
"""The plan: all cells, in their order."""

CALIBRATION_S = 6.0

_ALIKE = ("cpu", "kernel", "limits", "versions")
"""What must be the same for a run to be gone on with: no median is of two of them."""


class Comparison:
    """A run that is under way.

    Args:
        matrix: What is to be compared.
        targets: The servers that run somewhere, by name.
        cores: Who runs where.
        folder: The bundle.
    """

    def __init__(
        self, matrix: Matrix, targets: Mapping[str, Target], cores: Cores, folder: Path
    ) -> None:
        self._matrix, self._targets, self._cores, self._folder = matrix, targets, cores, folder
        self._plan = matrix.cells()
        self._results: dict[str, Result] = {}
        self.state = State(total=len(self._plan))

    def expected_s(self) -> float:
        """Return how long all that is left will take, roughly."""
        ended = self._results.keys() | self.state.failed.keys() | self.state.left_out.keys()
        left = [cell for cell in self._plan if cell.name not in ended]
        return CALIBRATION_S + sum(map(self._matrix.expected_s, left))

    def take_up(self) -> None:
        """Count the cells that an earlier, interrupted run has finished; forget half a cell."""
        try:
            found = read_bundle(self._folder).cells
        except BundleError:  # it was ended before there was a cell
            found = {}
        self._results = {cell.name: result for cell, result in found.items()}
        for cell in self._plan:
            if cell.name not in self._results:
                shutil.rmtree(self._folder / cell.name, ignore_errors=True)
        self.state.done = len(self._results)

    def run(self, progress: CellProgress) -> None:
        """Run all cells that are left; each is on disk as soon as it has ended.

        Raises:
            CellError: The generator itself could not be measured.
        OSError: The disk takes no more.
        """
        progress.begin("floor and ceiling of the generator")
        shutil.rmtree(self._folder / "calibration", ignore_errors=True)
        calibration = calibrate(self._cores, self._folder / "calibration", progress.say)
        if not self._results:
            matrix = replace(self._matrix, headers=hidden(self._matrix.headers))
            write_run(self._folder, asdict(matrix), self._cores, asdict(calibration))
            self.state.write(self._folder)
            write_json(self._folder / CELLS_FILE, [asdict(cell) for cell in self._plan])
        else:
            _note_resumption(self._folder / "run.json")
        progress.end(CALIBRATION_S)
        with locust_fork_server(self._cores.generator, self._folder / "locust.log") as forks:
            for cell in self._plan:
                if cell.name not in self._results:
                    self._run(cell, calibration, progress, forks)
                    progress.end(self._matrix.expected_s(cell))

    def _run(
        self,
        cell: CellPlan,
        calibration: Calibration,
        progress: CellProgress,
        forks: LocustForkServer,
    ) -> None:
        self.state.cell, self.state.left_s = cell.name, self.expected_s() - CALIBRATION_S
        self.state.write(self._folder)
        progress.begin(cell.name)
        folder = self._folder / cell.name
        try:
            load = self._load(cell, calibration)
            folder.mkdir()
            if cell.contender in self._targets:
                target = self._targets[cell.contender]
                result = run_target(target, load, self._cores, folder, progress.say, forks)
            else:
                model, workers = model_and_workers(cell.contender)
                result = run_model(model, load, self._cores, folder, progress.say, forks, workers)
        except CellSkipped as why:
            self.state.left_out[cell.name] = str(why)
        except CellError as error:  # the next one may well run
            self.state.failed[cell.name] = str(error)
            (folder / "cell.json").unlink(missing_ok=True)  # its server may not have ended well
        except OSError as error:
            if is_disk_error(error):  # then all that follow would fail, too
                shutil.rmtree(folder, ignore_errors=True)
                raise
            self.state.failed[cell.name] = os_error_text(error)
        except KeyboardInterrupt:  # what was measured of half a window is no cell
            shutil.rmtree(folder, ignore_errors=True)
            raise
        else:
            self._results[cell.name] = result
        self.state.done += 1

    def _load(self, cell: CellPlan, calibration: Calibration) -> Load:
        if cell.share is not None:
            rate_hz = rate_of_share(cell, self._results, calibration.ceiling_hz)
        else:
            flat_out = cell.load == FLAT_OUT
            rate_hz = 0.0 if flat_out else self._matrix.rate_for(cell.scenario, cell.connections)
        return Load(
            scenario=cell.scenario,
            classes=SCENARIOS[cell.scenario].users,
            connections=cell.connections,
            rate_hz=rate_hz,
            warmup_s=self._matrix.warmup_s,
            window_s=self._matrix.duration_s,
            processes=self._processes(cell),
            distant=self._matrix.distant,
            port=self._matrix.locust_port,
            path=self._path_of(cell.contender),
            headers=tuple(self._matrix.headers),
        )

    def _path_of(self, contender: str) -> str:
        target = self._targets.get(contender)
        return self._matrix.path if target is None else target.path or self._matrix.path

    def _processes(self, cell: CellPlan) -> int:
        """Return how many make a cell's load; those elsewhere come all, or are waited for."""
        processes = self._matrix.processes
        return processes if self._matrix.distant else min(processes, cell.connections)

    def end(self, state: str) -> None:
        """Say how the run has ended."""
        self.state.state, self.state.cell, self.state.left_s = state, "", 0.0
        with suppress(OSError):  # then it says that a process runs it which has ended
            self.state.write(self._folder)


def compare(
    matrix: Matrix, targets: Mapping[str, Target], cores: Cores, folder: Path, resume: bool
) -> int:
    """Run a matrix into a bundle and draw it; return the exit status.

    0 whatever the verdicts, 1 where a cell could not be run, 130 when interrupted: what has been
    measured until then is drawn and kept, and ``resume`` goes on.
    """
    # As for Ctrl-C even where a shell has it ignored, in the background: nothing may be left.
    for signum in (signal.SIGINT, signal.SIGTERM):
        signal.signal(signum, signal.default_int_handler)
    if signal.getsignal(signal.SIGHUP) is not signal.SIG_IGN:  # nohup wants it to go on
        signal.signal(signal.SIGHUP, signal.default_int_handler)
    console = terminal.console(stderr=True)
    comparison = Comparison(matrix, targets, cores, folder)
    if resume:
        comparison.take_up()
    terminal.print_line(console, _announced(comparison, cores))
    for said in matrix.skipped():
        terminal.print_line(console, said)
    terminal.print_line(
        console,
        "look: docker compose up dashboard"
        if host_path(folder) != folder
        else f"look: python -m loadtest dashboard --results {folder.parent}",
    )
    begin_s = time.monotonic()
    try:
        with ExitStack() as stack:
            stack.enter_context(beating(folder))
            progress = stack.enter_context(matrix_progress(comparison.expected_s()))
            comparison.run(progress)
        comparison.end(FINISHED)
        status = 1 if comparison.state.failed else 0
    except OSError as error:  # a full disk: each further cell would fail, too
        comparison.end(INTERRUPTED)
        begun = (folder / "run.json").exists()
        way_out = f"; make room, and go on with --resume {folder}" if begun else ""
        terminal.print_line(console, f"ended: {os_error_text(error)}{way_out}")
        status = 1
    except CellError as error:  # the generator itself
        comparison.end(INTERRUPTED)
        terminal.print_line(console, f"not run: {error}")
        return 1
    except KeyboardInterrupt:  # the cells that have finished are on disk already
        comparison.end(INTERRUPTED)
        status = 130
    done, total = comparison.state.done, comparison.state.total
    terminal.print_line(console, f"{done} of {total} cells in {time.monotonic() - begin_s:.0f} s")
    for what, reasons in (
        ("not run", comparison.state.failed), ("left out", comparison.state.left_out),
    ):  # fmt: skip
        for name, why in reasons.items():
            terminal.print_line(console, f"{name} {what}: {why}")
    return status


def _announced(comparison: Comparison, cores: Cores) -> str:
    minutes, seconds = divmod(round(comparison.expected_s()), 60)
    left = comparison.state.total - comparison.state.done
    shared = "" if cores.apart else "; SHARED: what they measure is each other as well"
    return (
        f"{left} cells, some {minutes} min {seconds:02} s; server on cores"
        f" {_listed(cores.server)}, generator on {_listed(cores.generator)}{shared}"
    )


def _listed(cores: list[int]) -> str:
    return ",".join(map(str, cores))


def _note_resumption(path: Path) -> None:
    content, now = _content(path), describe_run("loadtest", {}, ())
    resumed = {"started": now["started"], "commit": now["commit"]}
    write_json(path, content | {"resumed": [*content.get("resumed", []), resumed]})


def _content(path: Path) -> dict[str, Any]:
    content: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return content


def read_plan(folder: Path) -> tuple[Matrix, Cores]:
    """Return what an interrupted run was to compare.

    Raises:
        ValueError: There is no such run in the folder; says what was expected.
    """
    try:
        content = _content(folder / "run.json")
        plan = Matrix(**content["options"]), Cores(**content["cores"])
        alike = {name: content[name] for name in _ALIKE}
    except (OSError, ValueError, KeyError, TypeError) as error:  # none, broken, or another's
        raise ValueError(
            f"expected the folder of a comparison, got {folder}: {type(error).__name__}: {error}"
        ) from error
    here = json.loads(json.dumps(describe_run("loadtest", {}, PACKAGES)))  # tuples to lists
    for name, there in alike.items():
        if here[name] != there:
            raise ValueError(
                f"expected what {folder} was begun with, {name} {there}, got {here[name]};"
                " begin a new run"
            )
    return plan
