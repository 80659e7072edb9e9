"""How certain a number is: medians and ratios with intervals, and the noise floor.

Intervals are percentile bootstraps over repeats (Efron 1979) at 95 %. With two or three repeats
they span all values, and nothing narrower would be honest.
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
"""With fewer pairs of twins the noise is unknown: the widest of five exceeds it 1 time in 6."""

_SEED = 20
_EDGES = (50 * (1 - LEVEL), 50 * (1 + LEVEL))


@dataclass(frozen=True)
class Estimate:
    """A median and its interval; a single value has none."""

    median: float
    low: float | None
    high: float | None
    count: int


def estimate(values: Sequence[float]) -> Estimate | None:
    """Return the median with its interval; None without values."""
    if not values:
        return None
    array = np.asarray(values, dtype=float)
    median = float(np.median(array))
    if len(array) == 1:
        return Estimate(median, None, None, 1)
    low, high = np.percentile(np.median(array[_resamples(len(array))], axis=1), _EDGES)
    return Estimate(median, float(low), float(high), len(array))


@lru_cache(maxsize=64)
def _resamples(count: int) -> NDArray[np.intp]:
    """Return indices of repeats, drawn with replacement; a row is one resample."""
    return np.random.default_rng(_SEED).integers(count, size=(RESAMPLES, count))


def ratio(
    values: Mapping[int, float], others: Mapping[int, float], paired: bool = True
) -> Estimate | None:
    """Return one value divided by another; None if it is not known.

    Args:
        values: Repeat -> value of the numerator.
        others: The same of the denominator.
        paired: Whether equal repeats were measured in turn; then drift cancels out.
    """
    if paired:
        both = values.keys() & others.keys()
        return estimate([values[n] / others[n] for n in both if others[n]])
    above = np.array([*values.values()])
    below = np.array([value for value in others.values() if value])
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
    """Return the ratio that two medians of the same server stay within, in 95 of 100 cases.

    Args:
        differences: Logarithms of the ratio of two measurements that should be equal.
        count: Repeats in each median.
        comparisons: Pairs compared at once; all of them stay within (Bonferroni).
    """
    if len(differences) < PAIRS_MIN:
        return None
    rng = np.random.default_rng(_SEED)
    drawn = rng.choice(np.asarray(differences), (RESAMPLES, count))
    # The order of two equals is arbitrary.
    drawn *= rng.choice((-1.0, 1.0), drawn.shape)
    level = 100 * (1 - (1 - LEVEL) / comparisons)
    return math.exp(float(np.percentile(np.abs(np.median(drawn, axis=1)), level)))


def is_significant(ratio: Estimate, noise: float | None) -> bool | None:
    """Return whether a ratio differs from 1 beyond its interval and the noise; None: unknown."""
    if noise is None or ratio.low is None or ratio.high is None:
        return None
    beyond_interval = ratio.low > 1 or ratio.high < 1
    return beyond_interval and abs(math.log(ratio.median)) > math.log(noise)
