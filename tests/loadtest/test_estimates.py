"""Certainty of numbers: equal servers tie, different ones are told apart."""

import random
from collections.abc import Mapping

import pytest

from loadtest.analysis.estimates import Estimate, estimate, is_significant, noise_floor, ratio

REPEATS = 3


def rounds(
    rng: random.Random, median: float, noise: float, drift: Mapping[int, float]
) -> dict[int, float]:
    """Return repeat -> value of a server that costs ``median``, on a machine that drifts."""
    return {at: median * drift[at] * rng.lognormvariate(0, noise) for at in range(REPEATS)}


def drifting(rng: random.Random) -> dict[int, float]:
    return {at: rng.lognormvariate(0, 0.3) for at in range(REPEATS)}


def floor_of(rng: random.Random, noise: float, pairs: int = 24) -> float:
    """Return the noise floor of a number of pairs of twins."""
    floor = noise_floor([rng.gauss(0, noise * 2**0.5) for _ in range(pairs)], REPEATS)
    assert floor is not None
    return floor


def test_a_median_comes_with_the_interval_of_its_repeats() -> None:
    assert estimate([3.0, 1.0, 2.0]) == Estimate(2.0, 1.0, 3.0, 3)
    assert estimate([4.0]) == Estimate(4.0, None, None, 1)
    assert estimate([]) is None


def test_more_repeats_make_a_narrower_interval() -> None:
    rng = random.Random(1)
    few, many = (estimate([rng.gauss(100, 10) for _ in range(count)]) for count in (5, 100))
    assert few is not None and many is not None
    assert None not in (few.low, few.high, many.low, many.high)
    assert (many.high or 0) - (many.low or 0) < ((few.high or 0) - (few.low or 0)) / 2


def test_equal_servers_are_seldom_called_different() -> None:
    # Goal: A against A, on a machine that drifts by 30 % from round to round. One in twenty may
    # be called different by the noise floor alone; the interval has to agree as well.
    rng, called = random.Random(2), 0
    for _ in range(400):
        drift = drifting(rng)
        quotient = ratio(rounds(rng, 100, 0.05, drift), rounds(rng, 100, 0.05, drift))
        assert quotient is not None
        called += is_significant(quotient, floor_of(rng, 0.05)) is True
    assert called / 400 < 0.06


def test_a_difference_well_beyond_the_noise_is_found_though_the_machine_drifts() -> None:
    rng, called = random.Random(3), 0
    for _ in range(200):
        drift = drifting(rng)
        quotient = ratio(rounds(rng, 130, 0.03, drift), rounds(rng, 100, 0.03, drift))
        assert quotient is not None
        called += is_significant(quotient, floor_of(rng, 0.03)) is True
    assert called / 200 > 0.95


def test_repeats_are_compared_within_their_round() -> None:
    quotient = ratio({1: 20.0, 2: 200.0, 3: 2.0}, {1: 10.0, 2: 100.0, 3: 1.0})
    assert quotient == Estimate(2.0, 2.0, 2.0, 3)
    # A round that lacks one of the two is left out.
    assert ratio({1: 20.0, 2: 9.0}, {1: 10.0, 3: 1.0}) == Estimate(2.0, None, None, 1)
    assert ratio({1: 20.0}, {2: 10.0}) is None


def test_repeats_of_different_runs_are_all_compared() -> None:
    quotient = ratio({1: 20.0, 2: 22.0, 3: 24.0}, {4: 10.0, 5: 11.0, 6: 12.0}, paired=False)
    assert quotient is not None and quotient.low is not None and quotient.high is not None
    assert quotient.median == 2.0
    assert quotient.low == pytest.approx(20 / 12) and quotient.high == pytest.approx(24 / 10)


def test_one_repeat_decides_nothing() -> None:
    assert is_significant(Estimate(2.0, None, None, 1), 1.1) is None


def test_without_twins_the_noise_is_unknown() -> None:
    assert noise_floor([0.1] * 4, REPEATS) is None
    assert is_significant(Estimate(2.0, 1.9, 2.1, 3), None) is None


def test_the_noise_floor_of_medians_is_below_that_of_single_values() -> None:
    rng = random.Random(4)
    differences = [rng.gauss(0, 0.1) for _ in range(50)]
    one, five = noise_floor(differences, 1), noise_floor(differences, 5)
    assert one is not None and five is not None
    assert 1 < five < one
