"""The runs in a folder, with their progress; every file is read once."""

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
"""Pages kept in memory: a reader goes back and forth between a few."""


@dataclass(frozen=True)
class Entry:
    """A line in the list of runs.

    Attributes:
        about: The contents of ``run.json``; None if unreadable, or if it is no comparison.
        problem: Why it cannot be read; "" if it can.
        kind: As ``bundle.record`` names it.
        command: The command that made it; "" for a comparison.
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
        folder: The folder of the bundles.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._bundles: dict[str, Bundle] = {}
        self._stamps: dict[str, int] = {}
        self._pages: dict[tuple[tuple[str, ...], bool, tuple[int, ...]], Page] = {}

    def names(self) -> list[str]:
        """Return the names of all runs, the newest first."""
        try:
            entries = [entry for entry in self._folder.iterdir() if kind_of(entry)]
        except OSError:  # the folder has been removed
            return []
        # A name that is no UTF-8 (PEP 383) cannot be part of a URL.
        return sorted((e.name for e in entries if not _SURROGATES & {*e.name}), reverse=True)

    def entries(self) -> list[Entry]:
        """Return the list of runs, without reading any cell of a comparison."""
        entries = []
        for name in self.names():
            if (kind := self.kind(name)) != COMPARE:
                command = " ".join(command_of(self._folder / name)[3:])
                entries.append(Entry(name, None, None, kind=kind, command=command))
                continue
            try:
                entries.append(Entry(name, *read_about(self._folder / name)))
            except BundleError as error:  # not written yet, truncated, or from another tool
                entries.append(Entry(name, None, None, str(error)))
        return entries

    def kind(self, name: str) -> str:
        """Return the kind of a run."""
        return kind_of(self._folder / name)

    def records(self, names: Sequence[str]) -> tuple[list[Record], list[str]]:
        """Return runs that are no comparisons, and why others cannot be read.

        Raises:
            BundleError: One is missing, one is a comparison, or none can be read.
        """
        self.refuse_unknown(names)
        if comparisons := [name for name in names if self.kind(name) == COMPARE]:
            raise BundleError(
                f"expected comparisons only, or none, got {comparisons[0][:100]!r} beside others"
            )
        return read_records(self._folder / name for name in names)

    def refuse_unknown(self, names: Sequence[str]) -> None:
        """Refuse names that are not in the list: no other path is ever opened.

        Raises:
            BundleError: Names one that is not in the list.
        """
        known = set(self.names())
        if unknown := [name for name in names if name not in known]:
            raise BundleError(f"expected one of the runs in the list, got {unknown[0][:100]!r}")

    def running(self, names: Sequence[str]) -> bool:
        """Return whether any of the named runs is still running."""
        return any(
            entry.name in names and entry.state is not None and entry.state.state == RUNNING
            for entry in self.entries()
        )

    def stamp(self, name: str) -> int:
        """Return a number that changes when a run progresses, or is killed."""
        try:
            changed_ns = (self._folder / name / FILE).stat().st_mtime_ns
            running = read_state(self._folder / name).state == RUNNING
        except (OSError, BundleError):  # it has been removed, or is no bundle
            return 0
        return 2 * changed_ns + running

    def page(self, names: Sequence[str], allow_different: bool) -> Page:
        """Return the page of some runs in their current state.

        Raises:
            BundleError: One is missing, none can be read, or they differ in conditions.
        """
        self.refuse_unknown(names)
        stamps = tuple(map(self.stamp, names))
        key = (tuple(names), allow_different, stamps)
        if key not in self._pages:
            bundles, problems = {}, []
            for name, stamp in zip(names, stamps, strict=True):
                try:
                    bundles[name] = self._bundle(name, stamp)
                except BundleError as error:  # one broken bundle does not hide the others
                    problems.append(str(error))
            if not bundles:
                raise BundleError(problems[0] if problems else "expected a run, got none")
            if not allow_different:
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
