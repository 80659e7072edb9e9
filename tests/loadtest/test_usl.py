"""The scalability law: fitted where it holds, refused where the data do not support it."""

import random

import pytest

from loadtest.analysis.usl import Fit, Refusal, fit, throughput_hz

LAW = (1000.0, 0.05, 0.0002)
"""λ, σ, κ: the peak is at 69 connections."""

CONNECTIONS = (1, 4, 16, 64, 256)


def measured(
    noise: float, repeats: int = 5, connections: tuple[int, ...] = CONNECTIONS
) -> dict[int, list[float]]:
    rng = random.Random(7)
    return {
        n: [throughput_hz(n, *LAW) * rng.lognormvariate(0, noise) for _ in range(repeats)]
        for n in connections
    }


def test_the_parameters_of_a_known_law_are_found() -> None:
    found = fit(measured(noise=0.01))
    assert isinstance(found, Fit)
    for interval, true in zip((found.rate_hz, found.contention, found.coherency), LAW, strict=True):
        assert interval.value == pytest.approx(true, rel=0.1)
        assert interval.low <= interval.value <= interval.high
    assert found.peak is not None
    assert found.peak.low <= 69 <= found.peak.high
    assert found.curve[0][0] == 1 and found.curve[-1][0] == pytest.approx(256)


def test_a_peak_beyond_what_was_measured_is_not_claimed() -> None:
    found = fit(measured(noise=0.005, connections=(1, 2, 4, 8, 16)))
    assert isinstance(found, Fit)
    assert found.peak is None


def test_pure_contention_has_no_peak() -> None:
    rates = {n: [100 * n / (1 + 0.9 * (n - 1)) * f for f in (0.99, 1, 1.01)] for n in CONNECTIONS}
    found = fit(rates)
    assert isinstance(found, Fit)
    assert found.contention.value == pytest.approx(0.9, abs=0.02)
    assert found.peak is None


def test_three_points_are_too_few_for_the_law() -> None:
    found = fit(measured(noise=0.0, connections=(1, 10, 100)))
    assert found == Refusal("3 numbers of connections were server-bound; the law needs 4")


def test_a_curve_of_another_shape_is_refused() -> None:
    found = fit({1: [100.0] * 3, 10: [900.0] * 3, 100: [90.0] * 3, 1000: [900.0] * 3})
    assert isinstance(found, Refusal)
    assert "misses a median by" in found.why


def test_one_repeat_has_no_interval_and_gets_no_curve() -> None:
    found = fit(measured(noise=0.0, repeats=1))
    assert isinstance(found, Refusal)
    assert "--repeats 3" in found.why
