"""The search for the highest rate at which an objective holds, with windows that fail by chance."""

import math
import random
import statistics
from collections.abc import Callable
from dataclasses import replace

import pytest

from loadtest.running.capacity import PRECISION, WINDOWS_MAX, Search, Step
from loadtest.running.cell import Load
from loadtest.running.objective import WAITED_MAX, Objective, Outcome
from loadtest.running.run import step_name
from tests.support.searches import CEILING_HZ, OBJECTIVE, Server, window


def bisected(run: Callable[[float], Step]) -> float:
    """Return the answer of a bisection, which trusts each window for ever."""
    low_hz, high_hz, rate_hz = 0.0, math.inf, 100.0
    for _ in range(20):
        if OBJECTIVE.outcome(run(rate_hz).result) is Outcome.HOLDS:
            low_hz = rate_hz
        else:
            high_hz = rate_hz
        if low_hz >= CEILING_HZ or high_hz - low_hz <= PRECISION * high_hz < math.inf:
            break
        rate_hz = min(2 * low_hz, CEILING_HZ) if high_hz == math.inf else (low_hz + high_hz) / 2
    return max(low_hz, 1.0)


def servers(seed: int, **noise: float) -> list[Server]:
    rng = random.Random(seed)
    return [Server(10 ** rng.uniform(1.5, 4.7), rng, **noise) for _ in range(150)]


def spread(answers: list[float]) -> float:
    """Return how many times as high the 95th percentile is as the 5th."""
    ordered = statistics.quantiles(answers, n=20)
    return ordered[-1] / ordered[0]


def test_noisy_windows_spread_the_answers_a_tenth_as_much_as_in_a_bisection() -> None:
    noise = {"spoils": 0.15, "inconclusive": 0.1, "jitter": 0.05}
    before = [bisected(s.run) / s.capacity_hz for s in servers(1, **noise)]
    searches = [(server, server.searched()) for server in servers(1, **noise)]
    after = [(search.capacity_hz or 0.0) / server.capacity_hz for server, search in searches]
    assert spread(before) > 10
    assert spread(after) < 1.25
    assert 0.96 < statistics.median(after) < 1.04
    assert statistics.mean(len(search.steps) for _, search in searches) < 20


def test_the_interval_contains_the_capacity_as_often_as_it_states() -> None:
    inside = 0
    for server in servers(2, spoils=0.15, inconclusive=0.1, jitter=0.02):
        low_hz, high_hz = server.searched().interval_hz
        inside += low_hz <= server.capacity_hz <= high_hz
    assert inside >= 0.85 * 150


@pytest.mark.parametrize("capacity_hz", [1.7, 29.9, 47.3, 100.0, 399.0, 12_345.0])
def test_without_noise_a_capacity_is_found_to_five_per_cent(capacity_hz: float) -> None:
    for seed in range(20):
        search = Server(capacity_hz, random.Random(seed)).searched()
        assert search.capacity_hz == pytest.approx(capacity_hz, rel=PRECISION)
        low_hz, high_hz = search.interval_hz
        assert high_hz / low_hz < 1.11
        assert windows_in(search.summary) == len(search.steps) <= 20


def windows_in(summary: str) -> int:
    """Return the number of windows in a summary."""
    return int(summary.rpartition(": ")[2].split()[0])


def test_a_search_begins_at_half_of_the_flat_out_rate() -> None:
    assert Search(OBJECTIVE, 30_000.0, CEILING_HZ).next_rate_hz() == 15_000
    assert Search(OBJECTIVE, 0.0, CEILING_HZ).next_rate_hz() == 100
    assert Search(OBJECTIVE, 30_000.0, 10_000.0).next_rate_hz() == 5000


def test_a_failed_window_is_repeated_and_a_single_failure_does_not_bias_the_answer() -> None:
    server, search = Server(20_000.0, random.Random(1)), Search(OBJECTIVE, 20_000.0, CEILING_HZ)
    first_hz = search.next_rate_hz()
    assert first_hz == 10_000
    search.keep(window(first_hz, 500.0))  # the machine paused
    assert search.next_rate_hz() == first_hz
    while (rate_hz := search.next_rate_hz()) is not None:
        search.keep(server.run(rate_hz))
    assert search.capacity_hz == pytest.approx(20_000, rel=PRECISION)


def test_a_window_in_which_the_generator_waited_is_inconclusive() -> None:
    waited = window(1.0, 500.0, waited=2 * WAITED_MAX)
    assert OBJECTIVE.outcome(waited.result) is Outcome.INCONCLUSIVE
    assert OBJECTIVE.outcome(window(1.0, 5.0, waited=2 * WAITED_MAX).result) is Outcome.HOLDS
    assert OBJECTIVE.outcome(window(1.0, 500.0, waited=WAITED_MAX / 2).result) is Outcome.FAILS
    assert OBJECTIVE.outcome(window(1.0, 5.0, "rate-not-held").result) is Outcome.FAILS
    search = Search(OBJECTIVE, 20_000.0, CEILING_HZ)
    before = search.interval_hz
    rate_hz = search.next_rate_hz()
    assert rate_hz is not None
    search.keep(replace(waited, rate_hz=rate_hz))
    assert search.interval_hz == before
    assert search.next_rate_hz() == rate_hz


def test_where_no_rate_holds_the_summary_names_the_lowest() -> None:
    search = Search(OBJECTIVE, 1000.0, CEILING_HZ)
    while (rate_hz := search.next_rate_hz()) is not None:
        search.keep(window(rate_hz, 500.0))
    assert search.capacity_hz is None and search.is_conclusive
    lowest_hz = min(step.rate_hz for step in search.steps)
    assert lowest_hz <= 5
    assert f"did not hold at any rate down to {lowest_hz:g} requests/s" in search.summary


def test_an_interval_wider_than_the_precision_is_reported_as_such() -> None:
    for seed in range(30):
        search = Server(1000.0, random.Random(seed), spoils=0.5, jitter=0.5).searched()
        low_hz, high_hz = search.interval_hz
        sharp = high_hz / low_hz < 1.106
        assert sharp or len(search.steps) == WINDOWS_MAX
        assert sharp != ("; not narrowed further" in search.summary)


def test_each_window_has_a_folder_of_its_own() -> None:
    load, names = Load(scenario="wait", classes=("Wait",), connections=2), list[str]()
    for rate_hz in (0.0, 29.7, 30.3, 30.3, 30.3):
        names.append(step_name(load, rate_hz, names))
    assert names == [
        "wait-2-flat-out",
        "wait-2-29.7",
        "wait-2-30.3",
        "wait-2-30.3-2",
        "wait-2-30.3-3",
    ]


# -- the objective ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "quantile", "limit_ms"),
    [("p99=50ms", "p99_ms", 50.0), ("p99.9=0.5s", "p999_ms", 500.0), ("p50=80us", "p50_ms", 0.08)],
)
def test_an_objective_is_parsed(text: str, quantile: str, limit_ms: float) -> None:
    objective = Objective.parse(text)
    assert objective.quantile == quantile
    assert objective.limit_ms == pytest.approx(limit_ms)


@pytest.mark.parametrize("text", ["", "p99", "p99=50", "p98=5ms", "p99=-5ms", "p99=0ms"])
def test_text_of_another_form_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="expected an objective such as p99=50ms"):
        Objective.parse(text)
