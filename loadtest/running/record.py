"""Reads back what ``run`` and Locust leave: the tables of their cells, or of a search."""

from collections.abc import Sequence
from pathlib import Path

from loadtest.bundle.read import decoded, is_there
from loadtest.bundle.record import Contents, Origin, cell_files
from loadtest.measure.result import Result
from loadtest.measure.table import cell_table
from loadtest.measure.verdict import SPOILT
from loadtest.running.capacity import SEARCH_FILE, Search, SearchPlan, Step
from loadtest.running.objective import Objective
from loadtest.running.table import search_table


def read_run(folder: Path, _: Origin) -> Contents:
    """Return the contents of a bundle of ``run``.

    Raises:
        BundleError: A file of it cannot be read.
        LookupError: It names cells that it does not have.
        ValueError: Another version wrote it.
    """
    results = {path.parent.name: decoded(path, Result) for path in cell_files(folder)}
    if not is_there(folder / SEARCH_FILE):
        return _contents([*results.values()])
    plan = decoded(folder / SEARCH_FILE, SearchPlan)
    search = Search(Objective.parse(plan.promise), plan.flat_out_hz, plan.ceiling_hz)
    for name in plan.windows:
        search.keep(Step(results[name].rate_wanted_hz, results[name]))
    return Contents([search_table(search)], [search.summary], search.has_figure)


def read_locust(folder: Path, _: Origin) -> Contents:
    """Return the contents of a bundle that Locust has left.

    Raises:
        BundleError: It cannot be read.
    """
    return _contents([decoded(folder / "cell.json", Result)])


def _contents(results: Sequence[Result]) -> Contents:
    return Contents(
        [*map(cell_table, results)],
        [f"verdict: {result.verdict.name}: {result.verdict.why}" for result in results],
        any(result.verdict.name not in SPOILT for result in results),
    )
