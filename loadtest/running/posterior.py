"""Where a capacity may lie, after windows that held and windows that failed: Bayes' rule on a grid.

After Watson and Pelli (QUEST, 1983): each window is put at the rate that tells the most, and no
window is trusted for ever, since each may hold or fail by chance.
"""

import math

import numpy as np
from numpy.typing import NDArray

FAILS_BY_CHANCE = 0.2
"""Share of windows below the capacity that fail: a host that pauses for 50 ms spoils a p99. On the
development machine one window in 5 to 10 failed."""

HOLDS_BY_CHANCE = 0.03
"""Share of windows above it that hold: a queue that grows for a whole window seldom hides."""

_SLOPE = 0.02
"""Width of the step between the two, as a share of the rate."""

_STEP = 0.005
_LIKELY, _LIKELY_SHARE = (0.25, 1.3), 0.8
"""Most capacities lie within these shares of the flat-out rate. Flat out, each connection waits for
its reply before it sends again, which nearly fills the server."""


class Posterior:
    """A probability for each rate that it is the capacity.

    Args:
        near_hz: The flat-out rate, in requests a second.
        low_hz: The lowest rate of the grid.
        high_hz: The highest one.
    """

    def __init__(self, near_hz: float, low_hz: float, high_hz: float) -> None:
        count = math.ceil(math.log(high_hz / low_hz) / _STEP) + 1
        self._logs: NDArray[np.float64] = np.linspace(math.log(low_hz), math.log(high_hz), count)
        likely = self._between(*(share * near_hz for share in _LIKELY))
        if likely.any() and not likely.all():
            shares = np.where(likely, _LIKELY_SHARE / likely.sum(), 0.0)
            self._shares = shares + np.where(likely, 0.0, (1 - _LIKELY_SHARE) / (~likely).sum())
        else:
            self._shares = np.full(count, 1 / count)

    def learn(self, rate_hz: float, held: bool) -> None:
        """Take in a window."""
        below = 1 / (1 + np.exp((math.log(rate_hz) - self._logs) / _SLOPE))
        holds = HOLDS_BY_CHANCE + (1 - FAILS_BY_CHANCE - HOLDS_BY_CHANCE) * below
        self._shares = self._shares * (holds if held else 1 - holds)
        self._shares /= self._shares.sum()

    def quantile_hz(self, share: float) -> float:
        """Return the rate below which the capacity lies with a probability."""
        at = int(np.searchsorted(np.cumsum(self._shares), share))
        return math.exp(float(self._logs[min(at, len(self._logs) - 1)]))

    def above(self, rate_hz: float) -> float:
        """Return the probability that the capacity is greater than a rate."""
        return float(self._shares[self._logs > math.log(rate_hz)].sum())

    def _between(self, low_hz: float, high_hz: float) -> NDArray[np.bool_]:
        return (self._logs >= math.log(low_hz)) & (self._logs <= math.log(high_hz))
