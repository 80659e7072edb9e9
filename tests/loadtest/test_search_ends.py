"""A search ends where the server or the generator does, or the target is broken; it says which."""

import random
import statistics
from dataclasses import replace
from types import SimpleNamespace
from typing import cast

import pytest

from loadtest.measure.result import Result
from loadtest.measure.verdict import Verdict
from loadtest.running.capacity import PRECISION, WINDOWS_MAX, Search, Step
from loadtest.running.objective import WAITED_MAX
from tests.loadtest.test_verdict import HELD
from tests.support.searches import CEILING_HZ, OBJECTIVE, Server, window


def test_where_a_window_in_three_is_silent_the_generator_is_hardly_ever_taken_for_the_end() -> None:
    rng = random.Random(3)
    machine = [Server(10_000.0, rng, spoils=0.2, silences=0.35) for _ in range(150)]
    searches = [server.found(ceiling_hz=40_000.0) for server in machine]
    answers = [search.capacity_hz or 0.0 for search in searches]
    assert sum("there the generator ends" in search.said for search in searches) <= 4
    assert sum(answer < 8000 for answer in answers) <= 6
    assert 9600 < statistics.median(answers) < 10_400


def test_where_the_generator_ends_that_is_said_and_the_server_is_not_blamed() -> None:
    search = Server(1e6, random.Random(1), generator_hz=5000.0).found(ceiling_hz=8000.0)
    assert search.capacity_hz is not None and 3000 < search.capacity_hz <= 5000
    assert "and more: there the generator ends, not the server" in search.said
    assert "say nothing about the server (generator-bound)" in search.said
    assert len(search.steps) <= 20


def played(*windows: tuple[str, int]) -> Search:
    """Return a search of some windows, whatever rates it would have asked for."""
    search = Search(OBJECTIVE, 10_000.0, 40_000.0)
    kinds = {"holds": (5.0, 0.0), "fails": (500.0, 0.0), "silent": (500.0, 2 * WAITED_MAX)}
    for kind, rate_hz in windows:
        p99_ms, waited = kinds[kind]
        search.keep(window(float(rate_hz), p99_ms, waited=waited))
    return search


def test_a_rate_at_which_the_server_failed_is_not_beyond_the_generator() -> None:
    held = [("holds", 5000), ("fails", 8380)]
    quiet = [("silent", 8380)] * 3 + [("silent", 6700), ("holds", 6700), ("holds", 6700)]
    search = played(*held, *quiet)
    assert "there the generator ends" not in search.said
    rate_hz = search.next_rate_hz()
    assert rate_hz is not None and rate_hz > 6700


def test_one_row_of_silence_is_tried_again_higher_up_before_the_generator_is_said_to_end() -> None:
    search = played(("holds", 5000), *[("silent", 8380)] * 3, *[("holds", 6700)] * 2)
    assert "holds up to 6,700 requests/s and more; not found out closer: 6 windows" in search.said
    rate_hz = search.next_rate_hz()
    assert rate_hz is not None and rate_hz > 6700
    for _ in range(3):
        search.keep(window(rate_hz, 500.0, "generator-bound"))
    assert search.next_rate_hz() is None
    assert "holds up to 6,700 requests/s and more: there the generator ends" in search.said


def replyless_window(rate_hz: float, verdict: str, why: str) -> Step:
    """Return a window in which no request had a right reply."""
    step = window(rate_hz, 500.0)
    seen = replace(HELD, requests=0, due=100, trouble=why)
    result = SimpleNamespace(main=None, verdict=Verdict(verdict, why), evidence=seen)
    return replace(step, result=cast("Result", result))


@pytest.mark.parametrize("verdict", ["errors", "no-reply"])
def test_two_windows_in_a_row_without_a_right_reply_end_the_search_and_say_why(
    verdict: str,
) -> None:
    server, search = Server(20_000.0, random.Random(1)), Search(OBJECTIVE, 20_000.0, CEILING_HZ)
    for broken in (False, True, True):
        rate_hz = search.next_rate_hz()
        assert rate_hz is not None
        step = replyless_window(rate_hz, verdict, "64 x 404") if broken else server.run(rate_hz)
        search.keep(step)
    assert search.next_rate_hz() is None
    assert f"3 windows; the last one is spoilt: {verdict}: 64 x 404" in search.said
    assert search.has_figure


def test_one_window_without_a_right_reply_is_tried_again() -> None:
    server, search = Server(20_000.0, random.Random(1)), Search(OBJECTIVE, 20_000.0, CEILING_HZ)
    first_hz = search.next_rate_hz()
    assert first_hz is not None
    search.keep(replyless_window(first_hz, "errors", "64 x 404"))
    assert search.next_rate_hz() == first_hz
    while (rate_hz := search.next_rate_hz()) is not None:
        search.keep(server.run(rate_hz))
    assert search.capacity_hz == pytest.approx(20_000, rel=PRECISION)


def test_a_search_whose_every_window_goes_wrong_has_no_figure_and_says_what_went_wrong() -> None:
    search = Search(OBJECTIVE, 1000.0, CEILING_HZ)
    while (rate_hz := search.next_rate_hz()) is not None:
        step = window(rate_hz, 500.0, "errors")
        search.keep(replace(step, result=result_with_why(step.result, "50% went wrong")))
    assert not search.has_figure
    assert search.said.endswith("the last one is spoilt: errors: 50% went wrong")


def result_with_why(result: Result, why: str) -> Result:
    fields = vars(result) | {"verdict": Verdict(result.verdict.name, why)}
    return cast("Result", SimpleNamespace(**fields))


def test_it_ends_at_what_the_generator_can_do() -> None:
    search = Server(1e6, random.Random(1)).found(ceiling_hz=3000.0)
    assert max(step.rate_hz for step in search.steps) == 3000.0
    assert "holds up to 3,000 requests/s and more" in search.said


@pytest.mark.parametrize("verdict", ["generator-bound", "invalid"])
def test_where_no_window_says_anything_it_gives_up_soon(verdict: str) -> None:
    search = Search(OBJECTIVE, 1000.0, CEILING_HZ)
    while (rate_hz := search.next_rate_hz()) is not None:
        search.keep(window(rate_hz, 500.0, verdict))
    assert not search.known and search.capacity_hz is None
    assert len(search.steps) <= 9 < WINDOWS_MAX
    assert search.said.startswith("whether p99=50ms holds is not known: ")
    assert verdict in search.said


def test_the_generators_end_is_not_below_a_rate_at_which_it_held() -> None:
    search = Search(OBJECTIVE, 20_000.0, CEILING_HZ)
    rate_hz = search.next_rate_hz()
    assert rate_hz == 10_000
    search.keep(window(rate_hz, 5.0))
    while (rate_hz := search.next_rate_hz()) is not None:
        search.keep(window(rate_hz, 500.0, waited=2 * WAITED_MAX))
    assert (
        "p99=50ms holds up to 10,000 requests/s and more: there the generator ends" in search.said
    )
    assert (
        "9 of which say nothing about the server (the generator waited for a core)" in search.said
    )
