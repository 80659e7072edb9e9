"""Every number has a verdict, and the evidence decides which."""

from dataclasses import replace

import pytest

from loadtest.capacity import Promise, Step, search
from loadtest.result import Result, Times
from loadtest.verdict import Evidence, judge

HELD = Evidence(
    trouble="",
    missing=[],
    requests=1000,
    errors_share=0.0,
    rate_wanted_hz=100.0,
    rate_held_share=1.0,
    generator_busy=0.3,
    generator_cpu=0.3,
    lateness_p99_ms=0.5,
    server_busy=0.4,
    listen_drops=0,
    syn_retransmits=0,
    retransmits=0,
    in_flight=2.0,
    connections=10,
    dropped=0,
)
FLAT_OUT = replace(
    HELD, rate_wanted_hz=0.0, rate_held_share=None, lateness_p99_ms=None, in_flight=9.9
)


@pytest.mark.parametrize(
    ("seen", "name", "why"),
    [
        (HELD, "ok", "100.00% of what was due"),
        (replace(HELD, server_busy=0.99), "ok", "100.00%"),
        (replace(HELD, listen_drops=5), "ok", "100.00%"),
        (replace(HELD, trouble="7 of 9 connections had a reply"), "invalid", "7 of 9"),
        (replace(HELD, missing=["worker-2"]), "invalid", "worker-2"),
        (replace(HELD, requests=0), "invalid", "nothing was answered"),
        (replace(HELD, errors_share=0.01), "errors", "1.00%"),
        (replace(HELD, errors_share=0.0005), "ok", ""),
        (replace(HELD, errors_share=1.0, requests=0), "errors", "100.00%"),
        (replace(HELD, generator_busy=0.85, generator_cpu=0.8), "generator-bound", "80%"),
        (replace(HELD, generator_busy=0.95, generator_cpu=0.2), "generator-bound", "waited 75%"),
        (replace(HELD, lateness_p99_ms=12.0), "generator-bound", "12.0 ms late"),
        (replace(HELD, rate_held_share=0.5), "rate-not-held", "nothing was busy"),
        (replace(HELD, rate_held_share=0.5, in_flight=9.8), "rate-not-held", "10 connections"),
        (replace(HELD, rate_held_share=0.5, server_busy=0.95), "server-bound", "95%"),
        (replace(HELD, rate_held_share=0.5, server_busy=None), "rate-not-held", ""),
        (replace(HELD, rate_held_share=0.5, listen_drops=3), "accept-queue-bound", "3 conn"),
        (replace(HELD, rate_held_share=0.5, syn_retransmits=2), "accept-queue-bound", "2 hand"),
        (FLAT_OUT, "ok", "flat out: 10 connections"),
        (replace(FLAT_OUT, server_busy=0.97), "server-bound", "97%"),
        (replace(FLAT_OUT, generator_busy=0.97), "generator-bound", ""),
        (replace(FLAT_OUT, listen_drops=1), "accept-queue-bound", ""),
        (replace(FLAT_OUT, in_flight=5.0), "invalid", "rate x time makes 5.0"),
    ],
)
def test_the_evidence_decides(seen: Evidence, name: str, why: str) -> None:
    verdict = judge(seen)
    assert verdict.name == name
    assert why in verdict.why


class Server:
    """A server that is told apart by one rate alone; what its latency is, and who is the limit."""

    def __init__(self, capacity_hz: float, generator_hz: float = 1e9) -> None:
        self.capacity_hz, self.generator_hz = capacity_hz, generator_hz
        self.tried: list[float] = []

    def run(self, rate_hz: float) -> Step:
        self.tried.append(rate_hz)
        verdict = judge(replace(HELD, generator_busy=0.3 if rate_hz < self.generator_hz else 1.0))
        p99_ms = 5.0 if rate_hz <= self.capacity_hz else 500.0
        times = Times(100, 1.0, 1.0, 1.0, p99_ms, p99_ms, p99_ms)
        return Step(rate_hz, _result(times, verdict))


def _result(times: Times, verdict: object) -> Result:
    class Stub:
        main = type("Main", (), {"times": {"latency": times}, "rate_hz": 1.0})

    stub = Stub()
    stub.verdict = verdict  # type: ignore[attr-defined]
    return stub  # type: ignore[return-value]


@pytest.mark.parametrize("capacity_hz", [3.0, 100.0, 1234.0, 20_000.0])
def test_the_search_finds_the_capacity_to_five_per_cent(capacity_hz: float) -> None:
    server, steps = Server(capacity_hz), list[Step]()
    promise = Promise.parse("p99=50ms")
    search(promise, server.run, steps.append, ceiling_hz=80_000.0)
    held = max(step.rate_hz for step in steps if promise.holds(step.result))
    assert 0.94 * capacity_hz <= held <= capacity_hz
    assert len(steps) <= 20
    assert f"p99=50ms held at {held:,.0f} requests/s" in promise.said_of(steps)


def test_the_search_says_when_the_generator_was_the_limit() -> None:
    server, steps = Server(1e9, generator_hz=5000.0), list[Step]()
    promise = Promise.parse("p99=50ms")
    search(promise, server.run, steps.append, ceiling_hz=80_000.0)
    assert "the generator was the limit" in promise.said_of(steps)


def test_the_search_ends_at_what_the_generator_can_do() -> None:
    server, steps = Server(1e9), list[Step]()
    promise = Promise.parse("p99=50ms")
    search(promise, server.run, steps.append, ceiling_hz=3000.0)
    assert max(server.tried) == 3000.0
    assert "the search ended there" in promise.said_of(steps)


def test_the_search_says_that_nothing_held() -> None:
    server, steps = Server(0.0), list[Step]()
    promise = Promise.parse("max=1ms")
    search(promise, server.run, steps.append, ceiling_hz=3000.0)
    assert "at none of the rates" in promise.said_of(steps)


@pytest.mark.parametrize(
    ("text", "quantile", "limit_ms"),
    [("p99=50ms", "p99_ms", 50.0), ("p99.9=0.5s", "p999_ms", 500.0), ("p50=80us", "p50_ms", 0.08)],
)
def test_a_promise_is_read_as_people_write_it(text: str, quantile: str, limit_ms: float) -> None:
    promise = Promise.parse(text)
    assert promise.quantile == quantile
    assert promise.limit_ms == pytest.approx(limit_ms)


@pytest.mark.parametrize("text", ["", "p99", "p99=50", "p98=5ms", "p99=-5ms", "p99=0ms"])
def test_what_is_no_promise_is_said_to_be_none(text: str) -> None:
    with pytest.raises(ValueError, match="expected such as p99=50ms"):
        Promise.parse(text)
