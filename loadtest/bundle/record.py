"""What kind of bundle a folder is, and what a bundle that is no comparison shows."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

from rich.table import Table

from loadtest.bundle.read import BundleError, decoded, is_comparison, is_there

COMPARE, RUN, LOCUST, SELFTEST, BENCH = "compare", "run", "locust", "selftest", "bench"


@dataclass(frozen=True)
class Origin:
    """The start of a run and its command, as far as ``run.json`` has them."""

    command: list[str] = field(default_factory=list)
    started: str = ""
    commit: str | None = None
    options: dict[str, Any] = field(default_factory=dict)


class Contents(NamedTuple):
    """What the reader of a kind of bundle returns.

    Attributes:
        notes: Sentences below the tables, such as verdicts.
        has_figure: Whether any figure can be trusted.
    """

    tables: list[Table]
    notes: list[str]
    has_figure: bool


def kind_of(folder: Path) -> str:
    """Return the kind of bundle that a folder looks like, whole or broken; "" for none."""
    if is_comparison(folder):
        return COMPARE
    for name, kind in (("bench.json", BENCH), ("selftest.json", SELFTEST), ("cell.json", LOCUST)):
        if is_there(folder / name):
            return kind
    return RUN if is_there(folder / "run.json") and cell_files(folder) else ""


def cell_files(folder: Path) -> list[Path]:
    """Return the ``cell.json`` of every cell in a run's folder, in the order of their names."""
    try:
        entries = sorted(folder.iterdir())
    except OSError:  # not there, no folder, or no permission to read it
        return []
    return [path for entry in entries if is_there(path := entry / "cell.json")]


def command_of(folder: Path) -> list[str]:
    """Return the command that made a bundle; [] if it is not known."""
    try:
        return decoded(folder / "run.json", Origin).command
    except BundleError:  # a bundle of Locust has none, or the file is broken
        return []
