"""What limited a cell: one verdict each, and the evidence it rests on. Every threshold is here."""

from dataclasses import dataclass

RATE_HELD_MIN = 0.99
"""Below this share of what was due, the times are those of another load. Precedent: zrk 0.99."""

GENERATOR_BUSY_MAX = 0.8
"""Share of a core that a generator may use, or wait for: above, its own queue is part of every
time. Precedent: k6's documentation, 80 %."""

LATENESS_P99_MAX_MS = 10.0
"""A generator later than this with one request in 100 has measured itself, whatever its CPU says:
it lacked a core when it was due. A scheduler's tick is 1 to 10 ms; the pauses of a virtual machine
that has to share its cores are as long."""

ERRORS_MAX = 0.001
"""Above this share of errors p99.9 says nothing any more: it may be one of them."""

SERVER_BUSY_MIN = 0.9
"""Share of the cores it can use from which a server is at its limit: the rest is what a core loses
in switching, and to other tasks of the machine."""

LITTLE_MAX = 0.1
"""How far connections and rate x time may lie apart where every connection is always waiting for a
reply (Little's law). Further, either clock or count is wrong."""

CONNECTIONS_BUSY_MIN = 0.9
"""Share of the connections in use from which a rate is not held for want of connections."""

OK = "ok"
SERVER_BOUND = "server-bound"
GENERATOR_BOUND = "generator-bound"
ACCEPT_QUEUE_BOUND = "accept-queue-bound"
RATE_NOT_HELD = "rate-not-held"
ERRORS = "errors"
INVALID = "invalid"


@dataclass(frozen=True)
class Evidence:
    """What a verdict rests on; None where it is not known.

    Attributes:
        trouble: Why the cell did not come to a result; "" if it did.
        missing: Processes of the generator that were lost.
        requests: Right replies to what was due in the window.
        errors_share: Of all that was due and has come to an end, dropped requests aside.
        rate_wanted_hz: 0: flat out.
        rate_held_share: Of what was due in the window; None if flat out.
        generator_busy: The busiest process: share of a core it used or waited for.
        generator_cpu: The busiest process: share of a core it used.
        lateness_p99_ms: Of the generator; None if flat out.
        server_busy: Share of the cores it can use.
        listen_drops: Connections that found the accept queue full.
        syn_retransmits: Handshakes that had to be begun again.
        retransmits: Segments sent again.
        in_flight: Mean number of requests in flight: rate x mean time (Little's law).
        connections: That made requests.
        dropped: Requests that were late beyond the deadline.
    """

    trouble: str
    missing: list[str]
    requests: int
    errors_share: float
    rate_wanted_hz: float
    rate_held_share: float | None
    generator_busy: float
    generator_cpu: float
    lateness_p99_ms: float | None
    server_busy: float | None
    listen_drops: int
    syn_retransmits: int
    retransmits: int
    in_flight: float
    connections: int
    dropped: int


@dataclass(frozen=True)
class Verdict:
    """What limited a cell, and why that is said."""

    name: str
    why: str


def judge(seen: Evidence) -> Verdict:
    """Return what limited a cell: the first that applies, from what spoils a number the most."""
    if seen.trouble:
        return Verdict(INVALID, seen.trouble)
    if seen.missing:
        return Verdict(INVALID, f"lost a process of the generator: {', '.join(seen.missing)}")
    if seen.errors_share > ERRORS_MAX:
        return Verdict(ERRORS, f"{seen.errors_share:.2%} of all requests went wrong")
    if not seen.requests:
        return Verdict(INVALID, "nothing was answered in the window")
    if seen.generator_busy > GENERATOR_BUSY_MAX:
        waited = seen.generator_busy - seen.generator_cpu
        return Verdict(
            GENERATOR_BOUND,
            f"a process of the generator used {seen.generator_cpu:.0%} of a core and waited"
            f" {waited:.0%} of the time for one",
        )
    if seen.lateness_p99_ms is not None and seen.lateness_p99_ms > LATENESS_P99_MAX_MS:
        return Verdict(
            GENERATOR_BOUND,
            f"one request in 100 was sent {seen.lateness_p99_ms:.1f} ms late or later",
        )
    return _judge_flat_out(seen) if seen.rate_held_share is None else _judge_rate(seen)


def _judge_rate(seen: Evidence) -> Verdict:
    share = seen.rate_held_share
    assert share is not None
    held = f"{share:.2%} of what was due was answered in time"
    if share >= RATE_HELD_MIN:
        return Verdict(OK, held)
    if seen.listen_drops or seen.syn_retransmits:
        return Verdict(ACCEPT_QUEUE_BOUND, f"{held}; {_accept_queue(seen)}")
    if seen.server_busy is not None and seen.server_busy >= SERVER_BUSY_MIN:
        return Verdict(SERVER_BOUND, f"{held}; {_server(seen)}")
    if seen.in_flight >= CONNECTIONS_BUSY_MIN * seen.connections:
        return Verdict(
            RATE_NOT_HELD,
            f"{held}; all {seen.connections:,} connections were waiting for replies: the server"
            " is slow without being busy, or more connections are needed",
        )
    return Verdict(RATE_NOT_HELD, f"{held}, and nothing was busy")


def _judge_flat_out(seen: Evidence) -> Verdict:
    if abs(seen.in_flight / seen.connections - 1) > LITTLE_MAX:
        return Verdict(
            INVALID,
            f"{seen.connections:,} connections, but rate x time makes {seen.in_flight:,.1f}",
        )
    if seen.listen_drops or seen.syn_retransmits:
        return Verdict(ACCEPT_QUEUE_BOUND, _accept_queue(seen))
    if seen.server_busy is not None and seen.server_busy >= SERVER_BUSY_MIN:
        return Verdict(SERVER_BOUND, _server(seen))
    return Verdict(
        OK,
        f"flat out: {seen.connections:,} connections, each with a request in flight all the time",
    )


def _server(seen: Evidence) -> str:
    return f"the server used {seen.server_busy:.0%} of what it can"


def _accept_queue(seen: Evidence) -> str:
    return (
        f"{seen.listen_drops:,} connections found the accept queue full,"
        f" {seen.syn_retransmits:,} handshakes were begun again"
    )
