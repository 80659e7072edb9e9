"""Reads back what the benchmark leaves: its tables."""

from dataclasses import dataclass, field
from pathlib import Path

from loadtest.bench import report
from loadtest.bench.contestants import order
from loadtest.bench.cost import Run
from loadtest.bench.generators import Sent
from loadtest.bench.holding import Holding
from loadtest.bundle.read import decoded
from loadtest.bundle.record import Contents, Origin


@dataclass(frozen=True)
class _Bench:
    runs: list[Run] = field(default_factory=list)
    sent: list[Sent] = field(default_factory=list)
    holdings: list[Holding] = field(default_factory=list)


def read_bench(folder: Path, origin: Origin) -> Contents:
    """Return the contents of a bundle of the benchmark.

    Raises:
        BundleError: It cannot be read.
        LookupError: Another version wrote it, such as one with a model that is gone.
    """
    bench, tables = decoded(folder / "bench.json", _Bench), []
    if bench.runs:
        names, duration_s = order(origin.options["models"]), origin.options["duration_s"]
        tables += [report.cost_table(names, bench.runs, duration_s)]
        tables += [report.ratio_table(names, bench.runs)]
    if bench.sent:
        tables.append(report.generator_table(bench.sent))
    if bench.holdings:
        tables.append(report.holding_table(bench.holdings))
    disturbed = report.disturbance(bench.runs)
    return Contents(tables, [disturbed] if disturbed else [], has_figure=bool(tables))
