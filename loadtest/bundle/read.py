"""A bundle, read back: what was run on what, and every cell that can be read.

Whatever lies in the folder may be broken, half written or somebody else's: it never raises
anything but BundleError, and one broken cell hides none of the others.
"""

import gc
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

import msgspec

from loadtest.bundle.calibration import Calibration
from loadtest.bundle.plan import CellPlan, Matrix
from loadtest.bundle.state import State
from loadtest.catalogue import SCENARIOS
from loadtest.host.cores import Cores
from loadtest.host.safe_output import one_line
from loadtest.measure.result import Result

_T = TypeVar("_T")


class BundleError(Exception):
    """A folder is no bundle of a comparison; says what was expected and what was got."""


@dataclass(frozen=True)
class Resumed:
    """When a run was gone on with, and at which commit."""

    started: str
    commit: str | None


@dataclass(frozen=True)
class About:
    """What was run on what: ``run.json``."""

    command: list[str]
    options: Matrix
    started: str
    commit: str | None
    versions: dict[str, str | None]
    kernel: str
    cpu: str
    memory_bytes: int
    cores: Cores
    limits: dict[str, Any]
    generator: Calibration
    resumed: list[Resumed] = field(default_factory=list)


@dataclass(frozen=True)
class Bundle:
    """A run.

    Attributes:
        plan: All cells, in the order in which they were to be run.
        cells: Those that have been measured.
        broken: Name -> why a cell cannot be read.
    """

    folder: Path
    about: About
    plan: list[CellPlan]
    state: State
    cells: dict[CellPlan, Result] = field(default_factory=dict)
    broken: dict[str, str] = field(default_factory=dict)

    @property
    def id(self) -> str:
        """What it is called: the time at which it began, if nobody has renamed it."""
        return one_line(self.folder.resolve().name)


def read_bundle(folder: Path, known: Bundle | None = None) -> Bundle:
    """Return what there is in a folder.

    Args:
        known: The same, read earlier: its cells are not read again, since they never change.

    Raises:
        BundleError: It is no bundle.
    """
    if known is None or known.folder != folder:
        about = decoded(folder / "run.json", About)
        if unknown := [name for name in about.options.scenarios if name not in SCENARIOS]:
            raise BundleError(
                f"expected scenarios of this version in {folder}, got {shortened(unknown[0])!r}"
            )
        plan = decoded(folder / "cells.json", list[CellPlan])
    else:
        about, plan = known.about, known.plan
    bundle = Bundle(folder, about, plan, read_state(folder))
    try:
        present = {entry.name for entry in folder.iterdir()}
    except OSError as error:  # not ours to read
        raise BundleError(f"expected to read {folder}, got: {error.strerror}") from error
    collects = gc.isenabled()
    gc.disable()  # nothing here is garbage: of 10,000 cells looking for some takes half the time
    try:
        for cell in plan:
            if known is not None and cell in known.cells:
                bundle.cells[cell] = known.cells[cell]
            elif cell.name in present:
                _read_cell(bundle, cell)
    finally:
        if collects:
            gc.enable()
    return bundle


def _read_cell(bundle: Bundle, cell: CellPlan) -> None:
    try:
        bundle.cells[cell] = decoded(bundle.folder / cell.name / "cell.json", Result)
    except BundleError as error:  # the others are as good as before
        if not isinstance(error.__cause__, FileNotFoundError):  # else it is not done yet
            bundle.broken[cell.name] = str(error)


def read_about(folder: Path) -> tuple[State, About]:
    """Return how far a run has come, and what was run on what; no cell is read.

    Raises:
        BundleError: It is no bundle.
    """
    return read_state(folder), decoded(folder / "run.json", About)


def read_state(folder: Path) -> State:
    """Return how far a run has come; one whose process was killed has been interrupted.

    Raises:
        BundleError: It is no bundle.
    """
    return decoded(folder / "state.json", State).as_seen(folder)


def is_comparison(folder: Path) -> bool:
    """Return whether a folder looks like what ``compare`` makes, whole or broken."""
    return is_there(folder / "cells.json")


def is_there(path: Path) -> bool:
    """Return whether there is a file: not where it is not ours to look, or its name is too long."""
    try:
        return path.exists()
    except OSError:  # EACCES, ENAMETOOLONG
        return False


def decoded(path: Path, type_: type[_T]) -> _T:
    """Return what a file of a bundle says.

    Raises:
        BundleError: It is not there, or is not what this version writes.
    """
    try:
        return msgspec.json.decode(path.read_bytes(), type=type_)
    except OSError as error:  # not there, or not ours to read
        raise BundleError(
            f"expected the folder of a comparison, got {path.parent}: no {path.name}"
            f" ({error.strerror})"
        ) from error
    except (msgspec.DecodeError, ValueError) as error:  # cut off, foreign, or of another version
        raise BundleError(
            f"expected {path} as this version writes it, got: {shortened(str(error))}"
        ) from error


def shortened(text: str, length: int = 200) -> str:
    """Return a text that fits where it is shown."""
    return text if len(text) <= length else text[: length - 1] + "…"
