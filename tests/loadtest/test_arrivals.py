"""Requests are due by the clock, whatever the server does; late ones are dropped and counted."""

import statistics

import pytest

from loadtest.client.arrivals import GAPS, NEVER, Schedule, Turns
from loadtest.measure.meter import Meter


def turns(schedule: Schedule | None, number: int = 0) -> Turns:
    begun = Turns(number)
    begun.begin(schedule)
    return begun


def constant(period_s: float = 1.0, deadline_s: float = 10.0) -> Schedule:
    return Schedule(100.0, period_s, GAPS["constant"], deadline_s)


def test_a_connection_at_a_steady_beat_is_due_once_a_period_however_late_replies_come() -> None:
    one, meter = turns(constant()), Meter()
    due_s = [one.next_s(free_s, meter) for free_s in (99.0, 100.1, 105.5, 105.6, 105.7)]
    assert due_s == [100.0, 101.0, 102.0, 103.0, 104.0]


@pytest.mark.parametrize("connections", [2, 10, 1000])
def test_connections_spread_over_the_period(connections: int) -> None:
    schedule = constant()
    firsts = sorted(schedule.first_s(number) - 100.0 for number in range(connections))
    gaps = [b - a for a, b in zip(firsts, [*firsts[1:], firsts[0] + 1], strict=True)]
    assert max(gaps) < 2.7 / connections  # three lengths of gap, as the golden ratio has it


def test_poisson_arrivals_have_the_mean_and_the_spread_of_their_kind() -> None:
    gap = GAPS["poisson"]
    gaps = [gap(2.0) for _ in range(20_000)]
    assert statistics.mean(gaps) == pytest.approx(2.0, rel=0.05)
    assert statistics.stdev(gaps) == pytest.approx(2.0, rel=0.1)


def test_a_schedule_drops_and_counts_what_is_later_than_the_deadline() -> None:
    one, meter = turns(constant(deadline_s=3.0)), Meter()
    meter.open(0.0)
    assert one.next_s(99.0, meter) == 100.0
    assert one.next_s(110.0, meter) == 107.0
    assert meter.inside.dropped == 6


def test_no_request_is_due_after_the_end() -> None:
    one, meter = turns(constant()), Meter()
    one.next_s(99.0, meter)
    one.finish(101.5)
    assert one.next_s(105.0, meter) == 101.0
    assert one.next_s(105.0, meter) == NEVER


def test_abandoned_requests_are_counted_without_the_one_in_flight() -> None:
    for in_flight, dropped in ((False, 5), (True, 4)):
        one, meter = turns(constant()), Meter()
        meter.open(0.0)
        one.next_s(99.0, meter)
        one.finish(104.5)
        one.abandon(meter, in_flight)
        assert meter.inside.dropped == dropped
        assert not one.begun


def test_without_a_schedule_the_next_is_due_as_soon_as_the_connection_is_free() -> None:
    one, meter = turns(None), Meter()
    assert one.next_s(5.0, meter) == 5.0
    one.finish(6.0)
    assert one.next_s(5.9, meter) == 5.9
    assert one.next_s(6.0, meter) == NEVER


def test_a_request_belongs_to_the_window_in_which_it_was_due() -> None:
    meter = Meter()
    assert meter.of(5.0) is meter.outside
    meter.open(10.0)
    meter.close(20.0)
    assert [meter.of(s) is meter.inside for s in (9.9, 10.0, 19.9, 20.0)] == [
        False, True, True, False,
    ]  # fmt: skip
