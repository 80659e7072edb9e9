"""Reads a bundle back: what ran on what machine, and every cell that can be read.

Files may be broken, half written or from another tool: no content raises anything but BundleError,
and one broken cell hides none of the others.
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
    """A folder is no readable bundle; names what was expected and what came instead."""


@dataclass(frozen=True)
class Resumed:
    """When a run was resumed, and at which commit."""

    started: str
    commit: str | None


@dataclass(frozen=True)
class About:
    """What ran on what machine: the contents of ``run.json``."""

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
        plan: All cells, in the planned order.
        cells: The cells that have been measured.
        broken: Cell name -> why it cannot be read.
    """

    folder: Path
    about: About
    plan: list[CellPlan]
    state: State
    cells: dict[CellPlan, Result] = field(default_factory=dict)
    broken: dict[str, str] = field(default_factory=dict)

    @property
    def id(self) -> str:
        """The name of its folder: the time of its start, unless it was renamed."""
        return one_line(self.folder.resolve().name)


def read_bundle(folder: Path, known: Bundle | None = None) -> Bundle:
    """Return the bundle in a folder.

    Args:
        known: The same bundle, read earlier; its cells are not read again, as they never change.

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
    except OSError as error:  # no permission
        raise BundleError(f"expected to read {folder}, got: {error.strerror}") from error
    collects = gc.isenabled()
    gc.disable()  # no garbage arises here, and with 10,000 cells collection takes half the time
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
    except BundleError as error:  # one broken cell does not hide the others
        if not isinstance(error.__cause__, FileNotFoundError):  # else it has not run yet
            bundle.broken[cell.name] = str(error)


def read_about(folder: Path) -> tuple[State, About]:
    """Return the progress of a run and its ``run.json``, without reading any cell.

    Raises:
        BundleError: It is no bundle.
    """
    return read_state(folder), decoded(folder / "run.json", About)


def read_state(folder: Path) -> State:
    """Return the progress of a run; a run whose process was killed counts as interrupted.

    Raises:
        BundleError: It is no bundle.
    """
    return decoded(folder / "state.json", State).as_seen(folder)


def is_comparison(folder: Path) -> bool:
    """Return whether a folder looks like a bundle of ``compare``, whole or broken."""
    return is_there(folder / "cells.json")


def is_there(path: Path) -> bool:
    """Return whether a file exists; False without permission, or if its name is too long."""
    try:
        return path.exists()
    except OSError:  # EACCES, ENAMETOOLONG
        return False


def decoded(path: Path, type_: type[_T]) -> _T:
    """Return the decoded contents of a bundle's file.

    Raises:
        BundleError: It is missing, or is not what this version writes.
    """
    try:
        return msgspec.json.decode(path.read_bytes(), type=type_)
    except OSError as error:  # missing, or no permission
        raise BundleError(
            f"expected the folder of a comparison, got {path.parent}: no {path.name}"
            f" ({error.strerror})"
        ) from error
    except (
        msgspec.DecodeError,
        ValueError,
    ) as error:  # truncated, or of another version
        raise BundleError(
            f"expected {path} as this version writes it, got: {shortened(str(error))}"
        ) from error


def shortened(text: str, length: int = 200) -> str:
    """Return a text shortened to a length."""
    return text if len(text) <= length else text[: length - 1] + "…"
