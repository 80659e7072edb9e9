"""The capacity of a contender, as far as earlier cells show it, and rates as shares of it."""

from collections.abc import Mapping

from loadtest.bundle.plan import FLAT_OUT, RATE, CellPlan
from loadtest.measure.result import Result
from loadtest.measure.verdict import ACCEPT_QUEUE_BOUND, SERVER_BOUND

GENERATOR_SHARE_MAX = 0.5
"""Share of the generator's ceiling up to which a share cell runs: at a rate on many connections, a
request costs the generator twice as much as flat out on few."""

_CEILINGS = (SERVER_BOUND, ACCEPT_QUEUE_BOUND)


class CellSkipped(Exception):
    """A cell is skipped, since it would measure nothing; says why."""


def capacity_hz(cell: CellPlan, results: Mapping[str, Result]) -> float:
    """Return the requests a second that a cell's contender can serve on its cores.

    It was measured flat out where the server was the limit; else it is projected from how busy the
    server was at the common rate. Both come from the first round, so that all rounds have one rate.

    Args:
        cell: At some share.
        results: Of finished cells, by name.

    Raises:
        CellSkipped: It is unknown.
    """
    block = (cell.scenario, cell.connections)
    flat_out = results.get(CellPlan(*block, FLAT_OUT, cell.contender, 1).name)
    if flat_out is not None and flat_out.main is not None and flat_out.verdict.name in _CEILINGS:
        return flat_out.main.rate_hz
    held = results.get(CellPlan(*block, RATE, cell.contender, 1).name)
    if held is None or held.main is None or not held.evidence.server_busy:
        raise CellSkipped("its capacity is unknown: neither its ceiling nor its cost was measured")
    return held.main.rate_hz / held.evidence.server_busy


def rate_of_share(cell: CellPlan, results: Mapping[str, Result], ceiling_hz: float) -> float:
    """Return the rate of a cell that runs at a share of its contender's capacity.

    Raises:
        CellSkipped: The capacity is unknown, or the generator cannot make the rate.
    """
    assert cell.share is not None
    rate_hz = float(f"{cell.share * capacity_hz(cell, results):.3g}")
    if rate_hz > GENERATOR_SHARE_MAX * ceiling_hz:
        raise CellSkipped(
            f"{rate_hz:,.0f} requests/s are more than half of the generator's ceiling"
            f" ({ceiling_hz:,.0f})"
        )
    return rate_hz
