"""Bundles that are no comparison: those of run, Locust, selftest and bench.

Each tool reads its own bundle; here their contents get a common form. As with comparisons, no
content of a folder raises anything but BundleError.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

from loadtest.bench.record import read_bench
from loadtest.bundle.read import BundleError, decoded
from loadtest.bundle.record import BENCH, LOCUST, RUN, SELFTEST, Contents, Origin, kind_of
from loadtest.running.record import read_locust, read_run
from loadtest.selftest.record import read_selftest

_READERS: dict[str, Callable[[Path, Origin], Contents]] = {
    RUN: read_run,
    LOCUST: read_locust,
    SELFTEST: read_selftest,
    BENCH: read_bench,
}


@dataclass(frozen=True)
class Record:
    """A bundle that is no comparison.

    Attributes:
        kind: RUN, LOCUST, SELFTEST or BENCH.
    """

    folder: Path
    kind: str
    origin: Origin
    contents: Contents

    @property
    def name(self) -> str:
        """The name of its folder."""
        return self.folder.resolve().name


def read_record(folder: Path) -> Record:
    """Return the record in a folder.

    Raises:
        BundleError: The folder is no such bundle, or cannot be read.
    """
    kind = kind_of(folder)
    if kind not in _READERS:
        raise BundleError(f"expected the folder of a run, got {folder}")
    origin = Origin() if kind == LOCUST else decoded(folder / "run.json", Origin)
    try:
        contents = _READERS[kind](folder, origin)
    except (LookupError, ValueError) as error:  # of another version, such as a model that is gone
        raise BundleError(
            f"expected {folder} as this version writes it, got: {type(error).__name__}: {error}"
        ) from error
    return Record(folder, kind, origin, contents)


def read_records(folders: Iterable[Path]) -> tuple[list[Record], list[str]]:
    """Return the records in some folders, and why the others cannot be read.

    Raises:
        BundleError: None can be read.
    """
    records, problems = [], []
    for folder in folders:
        try:
            records.append(read_record(folder))
        except BundleError as error:  # one broken bundle does not hide the others
            problems.append(str(error))
    if not records:
        raise BundleError(problems[0])
    return records, problems
