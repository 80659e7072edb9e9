"""Times are counted as the HDR library counts them, and shown numbers come from merged counts."""

import math
from pathlib import Path
from typing import Any

import pytest
from hdrh.log import HistogramLogReader
from hypothesis import given, settings
from hypothesis import strategies as st

from loadtest.measure import observation
from loadtest.measure.histogram import (
    HIGHEST_US,
    VALUES_S,
    Counts,
    mean_s,
    merged,
    new_histogram,
    quantile_s,
    recorded,
)
from loadtest.measure.observation import Observation, Plan

patient = settings(deadline=None)  # what is right is right on a busy machine, too
TIMES_US = st.lists(st.integers(0, HIGHEST_US), min_size=1, max_size=200)


def counted(times_us: list[int]) -> Counts:
    counts = Counts()
    for time_us in times_us:
        counts.add((time_us + 0.5) / 1e6)  # in the middle: no rounding of floats decides
    return counts


@given(TIMES_US)
@patient
def test_counts_become_the_histogram_that_the_library_would_have_made(times_us: list[int]) -> None:
    expected = new_histogram()
    for time_us in times_us:
        expected.record_value(time_us)
    histogram = counted(times_us).take()
    assert histogram is not None
    assert list(histogram.counts) == list(expected.counts)
    assert histogram.total_count == expected.total_count == len(times_us)
    assert histogram.encode() == expected.encode()
    for q in (0.0, 0.5, 0.99, 1.0):
        library_us = expected.get_value_at_percentile(100 * q)
        assert quantile_s(histogram, q) == quantile_s(expected, q) == library_us / 1e6


@given(TIMES_US, st.sampled_from([0.5, 0.9, 0.99, 0.999, 1.0]))
@patient
def test_a_quantile_is_right_to_three_digits(times_us: list[int], q: float) -> None:
    histogram = counted(times_us).take()
    exact_us = sorted(times_us)[max(math.floor(q * len(times_us) + 0.5), 1) - 1]
    seen_s = quantile_s(histogram, q)
    assert seen_s is not None and abs(seen_s * 1e6 - exact_us) <= exact_us / 1000 + 1


@given(TIMES_US)
@patient
def test_a_mean_is_right_to_three_digits(times_us: list[int]) -> None:
    seen_s = mean_s(counted(times_us).take())
    exact_us = sum(times_us) / len(times_us)
    assert seen_s is not None and abs(seen_s * 1e6 - exact_us) <= exact_us / 1000 + 1


@given(st.lists(TIMES_US, min_size=1, max_size=5))
@patient
def test_merged_histograms_are_those_of_all_times_together(parts: list[list[int]]) -> None:
    taken = [counted(part).take() for part in parts]
    together = counted([time_us for part in parts for time_us in part]).take()
    again = merged(histogram.encode() for histogram in taken if histogram is not None)
    assert together is not None and recorded(again) == recorded(together)


def test_taking_counts_resets_them() -> None:
    counts = counted([5, 5000])
    assert counts.take() is not None
    assert counts.take() is None
    counts.add(0.000_005)
    histogram = counts.take()
    assert histogram is not None and recorded(histogram) == [(5, 1)]


def test_times_beyond_the_scale_are_counted_at_its_ends() -> None:
    counts = Counts()
    counts.add(-0.000_002)
    counts.add(1e9)
    histogram = counts.take()
    assert histogram is not None and histogram.total_count == 2
    assert quantile_s(histogram, 0.0) == 0.0
    assert math.isclose(quantile_s(histogram, 1.0) or 0, HIGHEST_US / 1e6, rel_tol=0.001)


def test_an_index_stands_for_the_middle_of_its_times() -> None:
    histogram = new_histogram()
    for value_us in (0, 1, 2047, 2048, 5000, 10**6, 10**9):
        low_us = histogram.get_lowest_equivalent_value(value_us)
        high_us = histogram.get_highest_equivalent_value(value_us)
        middle_s = VALUES_S[histogram.get_counts_array_index(value_us)]
        assert math.isclose(middle_s * 1e6, (low_us + high_us) / 2, abs_tol=1e-6)


PLAN = Plan(
    target="asyncio", scenario="hello", result_class="Hello", connections=2, rate_hz=10.0,
    warmup_s=1.0, window_s=2.0, server_cores=1, workers=2,
)  # fmt: skip


def record(worker: str, from_s: float, times_us: list[int]) -> dict[str, Any]:
    histogram = counted(times_us).take()
    assert histogram is not None
    return {
        "class": "Hello", "worker": worker, "phase": "window", "from_s": from_s, "to_s": from_s + 1,
        "inside": {
            "requests": len(times_us), "reply_bytes": 9, "errors": {}, "dropped": 0,
            "histograms": {"service_time": histogram.encode().decode("ascii")},
        },
        "outside": {"requests": 0, "errors": {}},
    }  # fmt: skip


@pytest.mark.parametrize("now_s", [1_790_000_000.123, 1_795_452_553.2024486, 1_790_000_000.0])
def test_an_observation_is_read_back_by_us_and_by_the_hdr_library(
    tmp_path: Path, now_s: float
) -> None:
    records = [record("a", now_s, [100]), record("b", now_s + 0.1, [300, 400])]
    records.append(record("a", now_s + 1, [200]))
    seen = Observation(PLAN, {"Hello": 2}, 2.0, records)
    observation.write(tmp_path, seen)
    assert observation.read(tmp_path) == seen
    reader = HistogramLogReader(str(tmp_path / "service_time.hlog"), new_histogram())
    total = new_histogram()
    tags = []
    while (interval := reader.get_next_interval_histogram()) is not None:
        tags.append(interval.get_tag())
        total.add(interval)
    reader.close()
    assert tags == ["Hello@a", "Hello@b", "Hello@a"]
    assert recorded(total) == recorded(seen.histogram("service_time", "Hello"))
