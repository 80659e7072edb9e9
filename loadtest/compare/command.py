"""python -m loadtest compare: run a matrix of cells into a bundle."""

import json
import signal
import time
from collections.abc import Mapping
from contextlib import ExitStack
from pathlib import Path

from rich.console import Console

from loadtest.bundle.alive import beating
from loadtest.bundle.plan import Matrix
from loadtest.bundle.read import About, decoded
from loadtest.bundle.state import FINISHED, INTERRUPTED
from loadtest.bundle.write import PACKAGES
from loadtest.compare.comparison import Comparison
from loadtest.host import terminal
from loadtest.host.cores import Cores
from loadtest.host.files import os_error_text
from loadtest.host.machine import describe_run, host_path
from loadtest.running.processes import raise_on_signals
from loadtest.running.progress import matrix_progress
from loadtest.running.target import CellError, Target

_SAME = ("cpu", "kernel", "limits", "versions")
"""What must not change between the parts of a resumed run: a median of both would mean nothing."""


def compare(
    matrix: Matrix, targets: Mapping[str, Target], cores: Cores, folder: Path, resume: bool
) -> int:
    """Run a matrix into a bundle; return the exit status.

    0 whatever the verdicts, 1 if a cell could not run, 130 after Ctrl-C. Finished cells are kept in
    any case, and ``resume`` goes on after them.
    """
    raise_on_signals()
    if signal.getsignal(signal.SIGHUP) is not signal.SIG_IGN:  # nohup ignores it: go on
        signal.signal(signal.SIGHUP, signal.default_int_handler)
    console = terminal.console(stderr=True)
    comparison = Comparison(matrix, targets, cores, folder)
    if resume:
        comparison.resume()
    _print_plan(console, comparison, matrix, cores, folder)
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
        fix = f"; make room, and go on with --resume {folder}" if begun else ""
        terminal.print_line(console, f"ended: {os_error_text(error)}{fix}")
        status = 1
    except CellError as error:  # the calibration
        comparison.end(INTERRUPTED)
        terminal.print_line(console, f"not run: {error}")
        return 1
    except KeyboardInterrupt:  # the finished cells are on disk already
        comparison.end(INTERRUPTED)
        status = 130
    _print_end(console, comparison, time.monotonic() - begin_s)
    return status


def _print_plan(
    console: Console, comparison: Comparison, matrix: Matrix, cores: Cores, folder: Path
) -> None:
    minutes, seconds = divmod(round(comparison.expected_s()), 60)
    left = comparison.state.total - comparison.state.done
    shared = "" if cores.apart else "; SHARED: server and generator disturb each other"
    terminal.print_line(
        console,
        f"{left} cells, about {minutes} min {seconds:02} s; server on cores"
        f" {_list(cores.server)}, generator on {_list(cores.generator)}{shared}",
    )
    for sentence in matrix.skipped():
        terminal.print_line(console, sentence)
    in_container = host_path(folder) != folder
    terminal.print_line(
        console,
        "watch it: docker compose up dashboard"
        if in_container
        else f"watch it: python -m loadtest dashboard --results {folder.parent}",
    )


def _print_end(console: Console, comparison: Comparison, took_s: float) -> None:
    state = comparison.state
    terminal.print_line(console, f"{state.done} of {state.total} cells in {took_s:.0f} s")
    for what, reasons in (("not run", state.failed), ("skipped", state.left_out)):
        for name, why in reasons.items():
            terminal.print_line(console, f"{name} {what}: {why}")


def _list(cores: list[int]) -> str:
    return ",".join(map(str, cores))


def read_plan(folder: Path) -> tuple[Matrix, Cores]:
    """Return the plan of an interrupted run.

    Raises:
        BundleError: The folder holds no such run.
        ValueError: The machine or versions have changed since.
    """
    about = decoded(folder / "run.json", About)
    now = json.loads(json.dumps(describe_run("loadtest", {}, PACKAGES)))  # tuples to lists
    for name in _SAME:
        if now[name] != (there := getattr(about, name)):
            raise ValueError(
                f"expected {name} as when {folder} began, {there}, got {now[name]}; begin a new run"
            )
    return about.options, about.cores
