"""Every number has a verdict, and the evidence decides which."""

import sys
from dataclasses import replace

import pytest

from loadtest.analysis.metrics import BY_THE_METER, RANKED_AT_RATE, RANKED_FLAT_OUT
from loadtest.measure.verdict import ERRORS, INVALID, NO_REPLY, SPOILT, VERDICTS, Evidence, judge
from tests.support.commands import ROOT, run

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
    due=1000,
)
UNREACHED = replace(HELD, trouble="7 of 9 connections had a right reply")
SILENT = replace(HELD, requests=0, errors_share=1.0, errors={"TimedOutError": 1000})
MISSED = replace(HELD, rate_held_share=0.5)
ENDED = replace(HELD, rate_held_share=0.5, in_flight=9.8)
FLAT_OUT = replace(
    HELD, rate_wanted_hz=0.0, rate_held_share=None, lateness_p99_ms=None, in_flight=9.9
)


@pytest.mark.parametrize(
    ("seen", "name", "why"),
    [
        (HELD, "ok", "100.00% of the due requests had a reply in time"),
        (replace(HELD, server_busy=0.99), "ok", "100.00%"),
        (replace(HELD, listen_drops=5), "ok", "100.00%"),
        (replace(HELD, trouble="7 of 9 connections had a reply"), "invalid", "7 of 9"),
        (replace(HELD, missing=["worker-2"]), "invalid", "worker-2"),
        (replace(UNREACHED, without_reply={"RefusedError": 2}), "errors", "7 of 9"),
        (replace(UNREACHED, without_reply={"": 1, "WrongStatusError": 1}), "errors", "7 of 9"),
        (replace(UNREACHED, without_reply={"": 1, "TimedOutError": 1}), "no-reply", "7 of 9"),
        (replace(UNREACHED, without_reply={"OwnLimitError": 2}), "invalid", "7 of 9"),
        (replace(UNREACHED, without_reply={"NotConnectedError": 2}), "invalid", "7 of 9"),
        (replace(HELD, requests=0, due=0), "invalid", "nothing was due"),
        (
            replace(HELD, requests=0, due=0, silent_before=3),
            "no-reply",
            "answered none of the window's requests",
        ),
        (
            replace(HELD, requests=0, dropped=1000),
            "no-reply",
            "answered none of the window's requests",
        ),
        (SILENT, "no-reply", "answered none of the window's requests"),
        (replace(SILENT, generator_busy=0.95), "no-reply", ""),
        (replace(SILENT, errors={"TimedOutError": 9, "ResetError": 1}), "errors", "ResetError 1"),
        (replace(HELD, requests=0, given_up=9, unfinished=4), "errors", "4 had begun"),
        (replace(HELD, requests=0, due=0, unfinished=1), "errors", "1 had begun"),
        (replace(HELD, errors={"OwnLimitError": 2}), "generator-bound", "0.20%"),
        (replace(HELD, errors={"OwnLimitError": 1}), "ok", ""),
        (replace(HELD, errors={"ScenarioError": 2}), "invalid", "never went out: ScenarioError"),
        (replace(HELD, errors_share=0.01), "errors", "1.00%"),
        (replace(HELD, errors_share=0.01, errors={"ResetError": 10}), "errors", "ResetError 10"),
        (replace(HELD, errors_share=0.0005), "ok", ""),
        (replace(SILENT, errors={"ResetError": 1000}), "errors", "100.00%"),
        (replace(HELD, generator_busy=0.85, generator_cpu=0.8), "generator-bound", "80%"),
        (replace(HELD, generator_busy=0.95, generator_cpu=0.2), "generator-bound", "waited 75%"),
        (replace(HELD, lateness_p99_ms=12.0), "generator-bound", "12.0 ms late"),
        (replace(HELD, rate_held_share=0.5), "rate-not-held", "neither side was busy"),
        (replace(HELD, rate_held_share=0.5, given_up=7), "rate-not-held", "7 requests given up"),
        (replace(HELD, rate_held_share=0.995, given_up=5), "rate-not-held", "5 requests given up"),
        (replace(HELD, rate_held_share=0.999, given_up=1), "ok", "1 request given up"),
        (
            replace(HELD, rate_held_share=0.5, in_flight=9.8),
            "rate-not-held",
            "all connections (10)",
        ),
        (replace(HELD, rate_held_share=0.5, server_busy=0.95), "server-bound", "95%"),
        (replace(HELD, rate_held_share=0.5, server_busy=None), "rate-not-held", ""),
        (
            replace(MISSED, listen_drops=3),
            "accept-queue-bound",
            "3 connections found",
        ),
        (
            replace(MISSED, syn_retransmits=2),
            "accept-queue-bound",
            "2 SYN retransmits",
        ),
        (replace(MISSED, syn_retransmits=1), "accept-queue-bound", "full, 1 SYN retransmit"),
        (FLAT_OUT, "ok", "flat out: 10 connections, each"),
        (replace(FLAT_OUT, connections=1, in_flight=1.0), "ok", "flat out: 1 connection, each"),
        (replace(FLAT_OUT, server_busy=0.97), "server-bound", "97%"),
        (replace(FLAT_OUT, generator_busy=0.97), "generator-bound", ""),
        (replace(FLAT_OUT, listen_drops=1), "accept-queue-bound", ""),
        (replace(FLAT_OUT, given_up=9, in_flight=5.0), "rate-not-held", "9 requests given up"),
        (replace(FLAT_OUT, in_flight=5.0), "invalid", "Little's law gives 5.0 in flight"),
        (replace(HELD, retries=2), "ok", "0.20% of the requests were broken off by the server"),
        (replace(SILENT, retries=900), "no-reply", "90.00% of the requests were broken off"),
        (
            replace(ENDED, closing=9.7),
            "rate-not-held",
            "all connections (10) were in use: the server must close sooner",
        ),
        (replace(ENDED, closing=9.7), "rate-not-held", "99% of the time in use, connections had"),
        (
            replace(ENDED, closing=0.3),
            "rate-not-held",
            "all connections (10) awaited replies: the server is slow",
        ),
        (replace(FLAT_OUT, closing=9.7), "ok", "each in use all the time; 98% of the time in use"),
    ],
)
def test_the_evidence_decides(seen: Evidence, name: str, why: str) -> None:
    verdict = judge(seen)
    assert verdict.name == name
    assert why in verdict.why


def test_a_few_retries_or_awaited_ends_are_not_mentioned() -> None:
    assert "broken off" not in judge(replace(HELD, retries=1)).why
    for seen in (HELD, replace(HELD, closing=0.9), replace(ENDED, closing=4.0)):
        assert "time in use" not in judge(seen).why


@pytest.mark.parametrize("name", VERDICTS)
def test_a_verdict_is_named_wherever_verdicts_are_listed(name: str) -> None:
    assert f"`{name}`" in (ROOT / "docs" / "measuring.md").read_text("utf-8")
    for command in ("run", "compare"):
        shown = run([sys.executable, "-m", "loadtest", command, "--help"]).stdout
        assert f"\n  {name} " in shown


def test_a_cell_without_a_figure_is_never_ranked() -> None:
    assert not SPOILT & (RANKED_AT_RATE | RANKED_FLAT_OUT)
    assert not {ERRORS, NO_REPLY} & BY_THE_METER and INVALID in BY_THE_METER
