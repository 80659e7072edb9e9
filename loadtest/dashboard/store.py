"""The runs in a folder, as far as they have come; what has been read once is kept."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from loadtest.analysis.likeness import refuse_unlike
from loadtest.bundle.read import (
    About,
    Bundle,
    BundleError,
    read_about,
    read_bundle,
    read_state,
)
from loadtest.bundle.record import COMPARE, command_of, kind_of
from loadtest.bundle.state import FILE, RUNNING, State
from loadtest.report.page import Page
from loadtest.report.records import Record, read_records

_SURROGATES = frozenset(map(chr, range(0xD800, 0xE000)))

PAGES_MAX = 8
"""Kept ready: whoever looks goes back and forth between a few."""


@dataclass(frozen=True)
class Entry:
    """A line in the list of runs.

    Attributes:
        about: What was run on what; None if that cannot be read, or it is no comparison.
        problem: Why it cannot be read; "" if it can.
        kind: Of ``records``: what made it.
        command: That made it; "" of a comparison.
    """

    name: str
    state: State | None
    about: About | None
    problem: str = ""
    kind: str = COMPARE
    command: str = ""


class Store:
    """Bundles by name.

    Args:
        folder: Where they are.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._bundles: dict[str, Bundle] = {}
        self._stamps: dict[str, int] = {}
        self._pages: dict[tuple[tuple[str, ...], bool, tuple[int, ...]], Page] = {}

    def names(self) -> list[str]:
        """Return the runs that there are, the newest first."""
        try:
            entries = [entry for entry in self._folder.iterdir() if kind_of(entry)]
        except OSError:  # the folder has been removed meanwhile
            return []
        # A name that is no UTF-8 (PEP 383) can stand in no URL.
        return sorted((e.name for e in entries if not _SURROGATES & {*e.name}), reverse=True)

    def entries(self) -> list[Entry]:
        """Return the list of runs; of comparisons no cell is read."""
        found = []
        for name in self.names():
            if (kind := self.kind(name)) != COMPARE:
                command = " ".join(command_of(self._folder / name)[3:])
                found.append(Entry(name, None, None, kind=kind, command=command))
                continue
            try:
                found.append(Entry(name, *read_about(self._folder / name)))
            except BundleError as error:  # none yet, cut off, or somebody else's
                found.append(Entry(name, None, None, str(error)))
        return found

    def kind(self, name: str) -> str:
        """Return what made a run of the list."""
        return kind_of(self._folder / name)

    def records(self, names: Sequence[str]) -> tuple[list[Record], list[str]]:
        """Return runs that are no comparisons, and what cannot be read.

        Raises:
            BundleError: One is not there, or a comparison is among them, or none can be read.
        """
        self.refuse_unknown(names)
        if comparisons := [name for name in names if self.kind(name) == COMPARE]:
            raise BundleError(
                f"expected comparisons or none, got {comparisons[0][:100]!r} beside others"
            )
        return read_records(self._folder / name for name in names)

    def refuse_unknown(self, names: Sequence[str]) -> None:
        """Refuse names that are not in the list: no other is ever looked for.

        Raises:
            BundleError: One is not; names it.
        """
        known = set(self.names())
        if unknown := [name for name in names if name not in known]:
            raise BundleError(f"expected a run out of the list, got {unknown[0][:100]!r}")

    def running(self, names: Sequence[str]) -> bool:
        """Return whether any of some runs goes on."""
        return any(
            entry.name in names and entry.state is not None and entry.state.state == RUNNING
            for entry in self.entries()
        )

    def stamp(self, name: str) -> int:
        """Return a number that changes whenever a run has come further, or has been killed."""
        try:
            changed_ns = (self._folder / name / FILE).stat().st_mtime_ns
            running = read_state(self._folder / name).state == RUNNING
        except (OSError, BundleError):  # it has been removed, or is none
            return 0
        return 2 * changed_ns + running

    def page(self, names: Sequence[str], anyway: bool) -> Page:
        """Return the page of some runs, as they are now.

        Raises:
            BundleError: One is not there, or cannot be read, or they are unlike.
        """
        self.refuse_unknown(names)
        stamps = tuple(map(self.stamp, names))
        key = (tuple(names), anyway, stamps)
        if key not in self._pages:
            bundles, problems = {}, []
            for name, stamp in zip(names, stamps, strict=True):
                try:
                    bundles[name] = self._bundle(name, stamp)
                except BundleError as error:  # it does not hide the others
                    problems.append(str(error))
            if not bundles:
                raise BundleError(problems[0] if problems else "expected a run, got none")
            if not anyway:
                refuse_unlike([*bundles.values()])
            while len(self._pages) >= PAGES_MAX:
                del self._pages[next(iter(self._pages))]
            self._pages[key] = Page(bundles, problems)
        return self._pages[key]

    def _bundle(self, name: str, stamp: int) -> Bundle:
        if self._stamps.get(name) != stamp:
            self._bundles[name] = read_bundle(self._folder / name, self._bundles.get(name))
            self._stamps[name] = stamp
        return self._bundles[name]
