"""A comparison in progress: its cells, one after the other, and what became of each."""

import json
import shutil
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from loadtest.bundle.calibration import Calibration
from loadtest.bundle.plan import FLAT_OUT, CellPlan, Matrix, model_and_workers
from loadtest.bundle.read import BundleError, read_bundle
from loadtest.bundle.state import State
from loadtest.bundle.write import write_run
from loadtest.catalogue import SCENARIOS
from loadtest.client.request import hidden
from loadtest.compare.shares import CellSkipped, rate_of_share
from loadtest.host.cores import Cores
from loadtest.host.files import is_disk_error, os_error_text
from loadtest.host.machine import describe_run, write_json
from loadtest.measure.result import Result
from loadtest.running.calibration import calibrate
from loadtest.running.cell import Load, run_model, run_target
from loadtest.running.fork_server import LocustForkServer, locust_fork_server
from loadtest.running.progress import CellProgress
from loadtest.running.target import CellError, Target

CELLS_FILE = "cells.json"
"""The plan: all cells, in order."""

CALIBRATION_S = 6.0


class Comparison:
    """A run in progress.

    Args:
        matrix: What to compare.
        targets: Servers that already run, by name.
        cores: Of the server and of the generator.
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
        """Return roughly how long the rest will take."""
        ended = self._results.keys() | self.state.failed.keys() | self.state.left_out.keys()
        left = [cell for cell in self._plan if cell.name not in ended]
        return CALIBRATION_S + sum(map(self._matrix.expected_s, left))

    def resume(self) -> None:
        """Take over the finished cells of an interrupted run, and remove unfinished ones."""
        try:
            finished = read_bundle(self._folder).cells
        except BundleError:  # it ended before its first cell did
            finished = {}
        self._results = {cell.name: result for cell, result in finished.items()}
        for cell in self._plan:
            if cell.name not in self._results:
                shutil.rmtree(self._folder / cell.name, ignore_errors=True)
        self.state.done = len(self._results)

    def run(self, progress: CellProgress) -> None:
        """Run the rest of the cells; each is on disk as soon as it has ended.

        Raises:
            CellError: The generator could not be calibrated.
            OSError: The disk is full.
        """
        progress.begin("calibration of the generator")
        shutil.rmtree(self._folder / "calibration", ignore_errors=True)
        calibration = calibrate(self._cores, self._folder / "calibration", progress.show_stage)
        if not self._results:
            matrix = replace(self._matrix, headers=hidden(self._matrix.headers))
            write_run(self._folder, asdict(matrix), self._cores, asdict(calibration))
            self.state.write(self._folder)
            write_json(self._folder / CELLS_FILE, [asdict(cell) for cell in self._plan])
        else:
            _add_resumption(self._folder / "run.json")
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
            show = progress.show_stage
            if cell.contender in self._targets:
                target = self._targets[cell.contender]
                result = run_target(target, load, self._cores, folder, show, forks)
            else:
                model, workers = model_and_workers(cell.contender)
                result = run_model(model, load, self._cores, folder, show, forks, workers)
        except CellSkipped as why:
            self.state.left_out[cell.name] = str(why)
        except CellError as error:  # the next cell may run
            self.state.failed[cell.name] = str(error)
            (folder / "cell.json").unlink(missing_ok=True)  # its server may have ended badly
        except OSError as error:
            if is_disk_error(error):  # all further cells would fail, too
                shutil.rmtree(folder, ignore_errors=True)
                raise
            self.state.failed[cell.name] = os_error_text(error)
        except KeyboardInterrupt:  # half a window makes no cell
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
        """Return how many processes make a cell's load: workers on other hosts all take part."""
        processes = self._matrix.processes
        return processes if self._matrix.distant else min(processes, cell.connections)

    def end(self, state: str) -> None:
        """Write how the run has ended."""
        self.state.state, self.state.cell, self.state.left_s = state, "", 0.0
        with suppress(OSError):  # a full disk: readers see that the process has ended
            self.state.write(self._folder)


def _add_resumption(path: Path) -> None:
    """Add to run.json that the run was resumed, when, and at which commit."""
    content, now = read_json(path), describe_run("loadtest", {}, ())
    resumed = {"started": now["started"], "commit": now["commit"]}
    write_json(path, content | {"resumed": [*content.get("resumed", []), resumed]})


def read_json(path: Path) -> dict[str, Any]:
    """Return the object in a JSON file."""
    content: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return content
