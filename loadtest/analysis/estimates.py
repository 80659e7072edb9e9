"""How sure a number is: medians with intervals, ratios with intervals, and the noise floor.

Intervals are percentile bootstraps over repeats (Efron 1979) at 95 %: of two or three repeats they
span all of them, which says as much as so few can say.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

RESAMPLES = 2000
LEVEL = 0.95
PAIRS_MIN = 5
"""Fewer pairs of twins say nothing about noise: the widest of five is beyond it in 1 of 6 cases."""

_SEED = 20
_EDGES = (50 * (1 - LEVEL), 50 * (1 + LEVEL))


@dataclass(frozen=True)
class Estimate:
    """A median and its interval; of a single value there is no interval."""

    median: float
    low: float | None
    high: float | None
    count: int


def estimate(values: Sequence[float]) -> Estimate | None:
    """Return the median with its interval; None of nothing."""
    if not values:
        return None
    array = np.asarray(values, dtype=float)
    median = float(np.median(array))
    if len(array) == 1:
        return Estimate(median, None, None, 1)
    low, high = np.percentile(np.median(array[_drawn(len(array))], axis=1), _EDGES)
    return Estimate(median, float(low), float(high), len(array))


@lru_cache(maxsize=64)
def _drawn(count: int) -> NDArray[np.intp]:
    """Return indices of repeats, drawn with replacement: a row for each resample."""
    return np.random.default_rng(_SEED).integers(count, size=(RESAMPLES, count))


def ratio(of: Mapping[int, float], to: Mapping[int, float], paired: bool = True) -> Estimate | None:
    """Return how many times as much the one is; None where that cannot be said.

    Args:
        of: Repeat -> value.
        to: The same of the other.
        paired: Whether a repeat of the one was measured in turn with that of the other: then what
            drifts with time cancels out.
    """
    if paired:
        pairs = [of[repeat] / to[repeat] for repeat in of.keys() & to.keys() if to[repeat]]
        return estimate(pairs)
    above, below = np.array([*of.values()]), np.array([value for value in to.values() if value])
    if not len(above) or not len(below):
        return None
    median = float(np.median(above) / np.median(below))
    if min(len(above), len(below)) == 1:
        return Estimate(median, None, None, 1)
    rng = np.random.default_rng(_SEED)
    ratios = np.median(rng.choice(above, (RESAMPLES, len(above))), axis=1) / np.median(
        rng.choice(below, (RESAMPLES, len(below))), axis=1
    )
    low, high = np.percentile(ratios, _EDGES)
    return Estimate(median, float(low), float(high), min(len(above), len(below)))


def noise_floor(differences: Sequence[float], count: int, comparisons: int = 1) -> float | None:
    """Return the ratio that medians of one and the same thing stay within, in 95 of 100 cases.

    Args:
        differences: Logarithms of the ratio of two measurements that should be equal.
        count: Of how many repeats the medians are made.
        comparisons: How many pairs are looked at: all of them are to stay within (Bonferroni).
    """
    if len(differences) < PAIRS_MIN:
        return None
    rng = np.random.default_rng(_SEED)
    drawn = rng.choice(np.asarray(differences), (RESAMPLES, count))
    # Which of two equals is called the first is arbitrary.
    drawn *= rng.choice((-1.0, 1.0), drawn.shape)
    level = 100 * (1 - (1 - LEVEL) / comparisons)
    return math.exp(float(np.percentile(np.abs(np.median(drawn, axis=1)), level)))


def is_significant(found: Estimate, noise: float | None) -> bool | None:
    """Return whether a ratio differs from 1 beyond its interval and the noise; None: not known."""
    if noise is None or found.low is None or found.high is None:
        return None
    beyond_interval = found.low > 1 or found.high < 1
    return beyond_interval and abs(math.log(found.median)) > math.log(noise)
