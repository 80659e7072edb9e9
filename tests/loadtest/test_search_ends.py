"""A search ends at a limit of server or generator, or at a broken target, and says which."""

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


def test_one_inconclusive_window_in_three_seldom_makes_the_generator_the_limit() -> None:
    rng = random.Random(3)
    machine = [Server(10_000.0, rng, spoils=0.2, inconclusive=0.35) for _ in range(150)]
    searches = [server.searched(ceiling_hz=40_000.0) for server in machine]
    answers = [search.capacity_hz or 0.0 for search in searches]
    assert sum("the generator is the limit there" in search.summary for search in searches) <= 4
    assert sum(answer < 8000 for answer in answers) <= 6
    assert 9600 < statistics.median(answers) < 10_400


def test_the_summary_names_the_generator_as_the_limit_not_the_server() -> None:
    search = Server(1e6, random.Random(1), generator_hz=5000.0).searched(ceiling_hz=8000.0)
    assert search.capacity_hz is not None and 3000 < search.capacity_hz <= 5000
    assert "and more: the generator is the limit there, not the server" in search.summary
    assert "of them inconclusive (generator-bound)" in search.summary
    assert len(search.steps) <= 20


def played(*windows: tuple[str, int]) -> Search:
    """Return a search that was fed some windows, whatever rates it would have chosen."""
    search = Search(OBJECTIVE, 10_000.0, 40_000.0)
    kinds = {"holds": (5.0, 0.0), "fails": (500.0, 0.0), "inconclusive": (500.0, 2 * WAITED_MAX)}
    for kind, rate_hz in windows:
        p99_ms, waited = kinds[kind]
        search.keep(window(float(rate_hz), p99_ms, waited=waited))
    return search


def test_the_generator_can_make_a_rate_at_which_the_server_failed() -> None:
    held = [("holds", 5000), ("fails", 8380)]
    quiet = [("inconclusive", 8380)] * 3 + [
        ("inconclusive", 6700),
        ("holds", 6700),
        ("holds", 6700),
    ]
    search = played(*held, *quiet)
    assert "the generator is the limit there" not in search.summary
    rate_hz = search.next_rate_hz()
    assert rate_hz is not None and rate_hz > 6700


def test_one_inconclusive_row_is_repeated_higher_up_before_the_generator_is_the_limit() -> None:
    search = played(("holds", 5000), *[("inconclusive", 8380)] * 3, *[("holds", 6700)] * 2)
    assert (
        "holds up to 6,700 requests/s and more; not narrowed further: 6 windows" in search.summary
    )
    rate_hz = search.next_rate_hz()
    assert rate_hz is not None and rate_hz > 6700
    for _ in range(3):
        search.keep(window(rate_hz, 500.0, "generator-bound"))
    assert search.next_rate_hz() is None
    assert (
        "holds up to 6,700 requests/s and more: the generator is the limit there" in search.summary
    )


def replyless_window(rate_hz: float, verdict: str, why: str) -> Step:
    """Return a window in which no request had a right reply."""
    step = window(rate_hz, 500.0)
    seen = replace(HELD, requests=0, due=100, trouble=why)
    result = SimpleNamespace(main=None, verdict=Verdict(verdict, why), evidence=seen)
    return replace(step, result=cast("Result", result))


@pytest.mark.parametrize("verdict", ["errors", "no-reply"])
def test_two_windows_in_a_row_without_a_right_reply_end_the_search_with_the_reason(
    verdict: str,
) -> None:
    server, search = Server(20_000.0, random.Random(1)), Search(OBJECTIVE, 20_000.0, CEILING_HZ)
    for broken in (False, True, True):
        rate_hz = search.next_rate_hz()
        assert rate_hz is not None
        step = replyless_window(rate_hz, verdict, "64 x 404") if broken else server.run(rate_hz)
        search.keep(step)
    assert search.next_rate_hz() is None
    assert f"3 windows; the last one is spoilt: {verdict}: 64 x 404" in search.summary
    assert search.has_figure


def test_one_window_without_a_right_reply_is_repeated() -> None:
    server, search = Server(20_000.0, random.Random(1)), Search(OBJECTIVE, 20_000.0, CEILING_HZ)
    first_hz = search.next_rate_hz()
    assert first_hz is not None
    search.keep(replyless_window(first_hz, "errors", "64 x 404"))
    assert search.next_rate_hz() == first_hz
    while (rate_hz := search.next_rate_hz()) is not None:
        search.keep(server.run(rate_hz))
    assert search.capacity_hz == pytest.approx(20_000, rel=PRECISION)


def test_a_search_of_spoilt_windows_has_no_figure_and_names_the_errors() -> None:
    search = Search(OBJECTIVE, 1000.0, CEILING_HZ)
    while (rate_hz := search.next_rate_hz()) is not None:
        step = window(rate_hz, 500.0, "errors")
        search.keep(replace(step, result=result_with_why(step.result, "50% went wrong")))
    assert not search.has_figure
    assert search.summary.endswith("the last one is spoilt: errors: 50% went wrong")


def result_with_why(result: Result, why: str) -> Result:
    fields = vars(result) | {"verdict": Verdict(result.verdict.name, why)}
    return cast("Result", SimpleNamespace(**fields))


def test_a_search_ends_at_the_ceiling_of_the_generator() -> None:
    search = Server(1e6, random.Random(1)).searched(ceiling_hz=3000.0)
    assert max(step.rate_hz for step in search.steps) == 3000.0
    assert "holds up to 3,000 requests/s and more" in search.summary


@pytest.mark.parametrize("verdict", ["generator-bound", "invalid"])
def test_a_search_of_inconclusive_windows_gives_up_soon(verdict: str) -> None:
    search = Search(OBJECTIVE, 1000.0, CEILING_HZ)
    while (rate_hz := search.next_rate_hz()) is not None:
        search.keep(window(rate_hz, 500.0, verdict))
    assert not search.is_conclusive and search.capacity_hz is None
    assert len(search.steps) <= 9 < WINDOWS_MAX
    assert search.summary.startswith("unknown whether p99=50ms holds: ")
    assert verdict in search.summary


def test_the_generators_limit_is_not_below_a_rate_at_which_the_objective_held() -> None:
    search = Search(OBJECTIVE, 20_000.0, CEILING_HZ)
    rate_hz = search.next_rate_hz()
    assert rate_hz == 10_000
    search.keep(window(rate_hz, 5.0))
    while (rate_hz := search.next_rate_hz()) is not None:
        search.keep(window(rate_hz, 500.0, waited=2 * WAITED_MAX))
    limit = "p99=50ms holds up to 10,000 requests/s and more: the generator is the limit there"
    assert limit in search.summary
    assert "9 of them inconclusive (the generator waited for a core)" in search.summary
