"""Bundles that are no comparison: of run, Locust, selftest and bench; their figures as tables.

As with comparisons, whatever lies in the folder: it never raises anything but BundleError.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from rich.table import Table

from loadtest.bench import report as bench
from loadtest.bench.contestants import order
from loadtest.bench.cost import Run
from loadtest.bench.generators import Sent
from loadtest.bench.holding import Holding
from loadtest.bundle.read import BundleError, decoded, is_comparison, is_there
from loadtest.measure.result import Result
from loadtest.measure.table import cell_table
from loadtest.measure.verdict import SPOILT
from loadtest.running.capacity import SEARCH_FILE, Search, SearchPlan, Step
from loadtest.running.objective import Objective
from loadtest.running.table import search_table
from loadtest.selftest.command import table_of
from loadtest.selftest.proofs import Proof

COMPARE, RUN, LOCUST, SELFTEST, BENCH = "compare", "run", "locust", "selftest", "bench"


@dataclass(frozen=True)
class Origin:
    """When it was begun, and by which command; as far as ``run.json`` says so."""

    command: list[str] = field(default_factory=list)
    started: str = ""
    commit: str | None = None
    options: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Record:
    """A bundle that is no comparison.

    Attributes:
        kind: RUN, LOCUST, SELFTEST or BENCH.
        notes: Sentences below the tables, such as verdicts.
        has_figure: Whether there is any figure to believe.
    """

    folder: Path
    kind: str
    origin: Origin
    tables: list[Table]
    notes: list[str]
    has_figure: bool

    @property
    def name(self) -> str:
        """What its folder is called."""
        return self.folder.resolve().name


def kind_of(folder: Path) -> str:
    """Return what a folder looks like, whole or broken; "" if like no bundle."""
    if is_comparison(folder):
        return COMPARE
    for name, kind in (("bench.json", BENCH), ("selftest.json", SELFTEST), ("cell.json", LOCUST)):
        if is_there(folder / name):
            return kind
    return RUN if is_there(folder / "run.json") and _cells(folder) else ""


def _cells(folder: Path) -> list[Path]:
    """Return the cells in the folder of a run, in the order of their names."""
    try:
        found = sorted(folder.iterdir())
    except OSError:  # not there, no folder, or not ours to look into
        return []
    return [path for entry in found if is_there(path := entry / "cell.json")]


def command_of(folder: Path) -> list[str]:
    """Return the command that made a bundle; [] where that is not known."""
    try:
        return decoded(folder / "run.json", Origin).command
    except BundleError:  # Locust's has none, or it is broken
        return []


def read_record(folder: Path) -> Record:
    """Return what there is in a folder.

    Raises:
        BundleError: It is no such bundle, or cannot be read.
    """
    kind = kind_of(folder)
    if kind not in _READERS:
        raise BundleError(f"expected the folder of a run, got {folder}")
    origin = Origin() if kind == LOCUST else decoded(folder / "run.json", Origin)
    try:
        found = _READERS[kind](folder, origin)
    except (LookupError, ValueError) as error:  # of another version, such as a model that is gone
        raise BundleError(
            f"expected {folder} as this version writes it, got: {type(error).__name__}: {error}"
        ) from error
    return Record(folder, kind, origin, *found)


def read_records(folders: Iterable[Path]) -> tuple[list[Record], list[str]]:
    """Return what there is in some folders, and what cannot be read: it does not hide the others.

    Raises:
        BundleError: None can be read.
    """
    found, problems = [], []
    for folder in folders:
        try:
            found.append(read_record(folder))
        except BundleError as error:  # as good a reason as that of all
            problems.append(str(error))
    if not found:
        raise BundleError(problems[0])
    return found, problems


_Read = tuple[list[Table], list[str], bool]


def _run(folder: Path, origin: Origin) -> _Read:
    results = {path.parent.name: decoded(path, Result) for path in _cells(folder)}
    if not is_there(folder / SEARCH_FILE):
        return _of_results([*results.values()])
    plan = decoded(folder / SEARCH_FILE, SearchPlan)
    search = Search(Objective.parse(plan.promise), plan.flat_out_hz, plan.ceiling_hz)
    for name in plan.windows:
        search.keep(Step(results[name].rate_wanted_hz, results[name]))
    return [search_table(search)], [search.said], search.has_figure


def _locust(folder: Path, origin: Origin) -> _Read:
    return _of_results([decoded(folder / "cell.json", Result)])


def _of_results(results: Sequence[Result]) -> _Read:
    has_figure = any(result.verdict.name not in SPOILT for result in results)
    return [*map(cell_table, results)], [*map(_verdict, results)], has_figure


def _selftest(folder: Path, origin: Origin) -> _Read:
    proofs = decoded(folder / "selftest.json", dict[str, list[Proof]])["proofs"]
    held = sum(proof.held for proof in proofs)
    return [table_of(proofs)], [f"{held} of {len(proofs)} proofs held"], bool(proofs)


@dataclass(frozen=True)
class _Bench:
    runs: list[Run] = field(default_factory=list)
    sent: list[Sent] = field(default_factory=list)
    holdings: list[Holding] = field(default_factory=list)


def _bench(folder: Path, origin: Origin) -> _Read:
    found = decoded(folder / "bench.json", _Bench)
    tables = []
    if found.runs:
        names = order(origin.options["models"])
        duration_s = origin.options["duration_s"]
        tables += [bench.cost_table(names, found.runs, duration_s)]
        tables += [bench.ratio_table(names, found.runs)]
    if found.sent:
        tables.append(bench.generator_table(found.sent))
    if found.holdings:
        tables.append(bench.holding_table(found.holdings))
    disturbed = bench.disturbance(found.runs)
    return tables, [disturbed] if disturbed else [], bool(tables)


_READERS: dict[str, Callable[[Path, Origin], _Read]] = {
    RUN: _run, LOCUST: _locust, SELFTEST: _selftest, BENCH: _bench,
}  # fmt: skip


def _verdict(result: Result) -> str:
    return f"verdict: {result.verdict.name}: {result.verdict.why}"
