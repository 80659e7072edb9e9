"""Bundles of three models whose costs differ by known factors."""

import random
from dataclasses import replace
from pathlib import Path
from typing import Any

from loadtest.analysis.questions import QUESTIONS, Situation
from loadtest.bundle.plan import CellPlan, Matrix
from loadtest.bundle.read import Bundle, read_bundle
from tests.support.bundles import Cell, make_bundle, matrix, noisy

COSTS = {
    "forking": Cell(latency_ms=3.0, cpu_us=180.0, memory_kib=890.0),
    "asyncio": Cell(latency_ms=1.5, cpu_us=100.0, memory_kib=3.2),
    "uvloop": Cell(latency_ms=1.5, cpu_us=60.0, memory_kib=3.0),
}
SMALL_CPU, SMALL_P99 = (
    question.title for question in QUESTIONS if question.situation is Situation.SMALL_REQUESTS
)


def bundle_of(
    folder: Path,
    wanted: Matrix | None = None,
    factor: float = 1.0,
    share: float = 0.02,
    **about: Any,
) -> Bundle:
    """Return a bundle in which CPU time and latency are ``factor`` times as high."""
    rng = random.Random(folder.name)

    def cell_of(cell: CellPlan) -> Cell:
        own = COSTS[cell.contender]
        more = replace(own, cpu_us=own.cpu_us * factor, latency_ms=own.latency_ms * factor)
        return noisy(more, rng, share)

    return read_bundle(make_bundle(folder, wanted or matrix(models=[*COSTS]), cell_of, **about))
