"""What limited a cell: one verdict each, and the evidence it rests on. Every threshold is here."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from loadtest.measure.errors import NotConnectedError, OwnLimitError, ScenarioError, TimedOutError
from loadtest.measure.first_failures import SILENCE

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

CLOSING_MAX = 0.5
"""Share of the time in use that connections may wait for their end before a verdict names it:
above, ends and not replies make the rate."""

OK = "ok"
SERVER_BOUND = "server-bound"
GENERATOR_BOUND = "generator-bound"
ACCEPT_QUEUE_BOUND = "accept-queue-bound"
RATE_NOT_HELD = "rate-not-held"
ERRORS = "errors"
NO_REPLY = "no-reply"
INVALID = "invalid"

VERDICTS = {
    OK: "the rate was held; flat out, no side was at its limit",
    SERVER_BOUND: "the server had no core left",
    ACCEPT_QUEUE_BOUND: "connections found the server's accept queue full",
    RATE_NOT_HELD: "less than was due was answered in time, and no error explains it",
    GENERATOR_BOUND: "this side was at its own limit: the times are not the server's",
    ERRORS: "the server answered wrongly or in part, refused or broke off",
    NO_REPLY: "the server was silent for as long as it was waited for",
    INVALID: "the meter could not measure",
}
"""Every verdict, and what it says."""

SPOILT = {ERRORS, NO_REPLY, INVALID}
"""Verdicts of cells that have no figure to believe."""

_SILENT = {SILENCE, TimedOutError.__name__}
_OWN_LIMIT = OwnLimitError.__name__
_OWN_FAULTS = {ScenarioError.__name__, NotConnectedError.__name__}
OWN = {_OWN_LIMIT, *_OWN_FAULTS}
"""Errors that are this side's doing; all others are the server's."""


@dataclass(frozen=True)
class Evidence:
    """What a verdict rests on; None where it is not known.

    Attributes:
        trouble: Why the cell did not come to a result; "" if it did.
        missing: Processes of the generator that were lost.
        requests: Right replies to what was due in the window.
        errors_share: Of all that was due and has come to an end, dropped requests aside; this
            side's own limits and faults are no errors of the server.
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
        given_up: Requests that were sent too late for the server to have its time.
        due: Requests that were due in the window, whatever has become of them.
        errors: By name, what the requests of the window ended with.
        silent_before: Requests of before the window that had no reply when it ended.
        without_reply: Connections that had no right first reply, by what came instead.
        unfinished: Requests whose reply had begun when it was given up.
        retries: Requests that the server broke off before any byte of a reply, and that were sent
            again.
        closing: Of ``in_flight``: connections that had their last reply and waited for their end.
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
    given_up: int = 0
    due: int = 0
    errors: Mapping[str, int] = field(default_factory=dict)
    silent_before: int = 0
    without_reply: Mapping[str, int] = field(default_factory=dict)
    unfinished: int = 0
    retries: int = 0
    closing: float = 0.0

    @property
    def waits_for_ends(self) -> bool:
        """Whether connections in use wait more for their end than for replies."""
        return self.closing > CLOSING_MAX * self.in_flight

    def share(self, count: int) -> float:
        """Return what share of the requests due in the window, and not dropped, a count is."""
        asked = self.due - self.dropped
        return count / asked if asked > 0 else 0.0


@dataclass(frozen=True)
class Verdict:
    """What limited a cell, and why that is said."""

    name: str
    why: str


def judge(seen: Evidence) -> Verdict:
    """Return what limited a cell, and what a reader must know besides."""
    verdict = _judge(seen)
    return Verdict(verdict.name, "; ".join([verdict.why, *_besides(seen)]))


def _judge(seen: Evidence) -> Verdict:
    """Return what limited a cell: the first that applies, from what spoils a number the most."""
    if seen.trouble:
        return Verdict(_name_of_trouble(seen.without_reply), seen.trouble)
    if seen.missing:
        return Verdict(INVALID, f"lost a process of the generator: {', '.join(seen.missing)}")
    spoilt = _judge_replies(seen)
    if spoilt is not None:
        return spoilt
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


def _name_of_trouble(without_reply: Mapping[str, int]) -> str:
    """Return whose doing it was that there is no window."""
    came = without_reply.keys()
    if not came or came & OWN:
        return INVALID
    return NO_REPLY if came <= _SILENT else ERRORS


def _judge_replies(seen: Evidence) -> Verdict | None:
    """Return the verdict if the replies alone decide it."""
    own_limit = seen.share(seen.errors.get(_OWN_LIMIT, 0))
    if own_limit > ERRORS_MAX:
        return Verdict(
            GENERATOR_BOUND,
            f"for {own_limit:.2%} of the requests this side had no descriptor, port or memory left",
        )
    for name in sorted(_OWN_FAULTS & seen.errors.keys()):
        if (share := seen.share(seen.errors[name])) > ERRORS_MAX:
            return Verdict(INVALID, f"{share:.2%} of the requests never went out: {name}")
    nothing = not seen.requests and not seen.unfinished and seen.errors.keys() <= _SILENT
    if nothing and (seen.due or seen.silent_before):
        return Verdict(
            NO_REPLY, "the server answered nothing that was due in the window, not even later"
        )
    if seen.errors_share > ERRORS_MAX:
        counts = ", ".join(f"{name} {count:,}" for name, count in seen.errors.items())
        return Verdict(
            ERRORS, f"{seen.errors_share:.2%} of all requests went wrong{counts and f': {counts}'}"
        )
    if seen.unfinished and not seen.requests:
        return Verdict(
            ERRORS,
            f"no reply was complete when the deadline was over; {seen.unfinished:,} had begun",
        )
    return None if seen.requests else Verdict(INVALID, "nothing was due in the window")


def _judge_rate(seen: Evidence) -> Verdict:
    share = seen.rate_held_share
    assert share is not None
    held = f"{share:.2%} of what was due was answered in time{_given_up(seen)}"
    if share >= RATE_HELD_MIN and seen.share(seen.given_up) <= ERRORS_MAX:
        return Verdict(OK, held)
    if seen.listen_drops or seen.syn_retransmits:
        return Verdict(ACCEPT_QUEUE_BOUND, f"{held}; {_accept_queue(seen)}")
    if seen.server_busy is not None and seen.server_busy >= SERVER_BUSY_MIN:
        return Verdict(SERVER_BOUND, f"{held}; {_server(seen)}")
    if seen.in_flight >= CONNECTIONS_BUSY_MIN * seen.connections:
        return Verdict(RATE_NOT_HELD, f"{held}; all {seen.connections:,} connections {_use(seen)}")
    return Verdict(RATE_NOT_HELD, f"{held}, and nothing was busy")


def _use(seen: Evidence) -> str:
    if seen.waits_for_ends:
        return "were in use: a server that ends them sooner, or more connections, are needed"
    return (
        "were waiting for replies: the server is slow without being busy, or more connections are"
        " needed"
    )


def _judge_flat_out(seen: Evidence) -> Verdict:
    if (share := seen.share(seen.given_up)) > ERRORS_MAX:
        return Verdict(RATE_NOT_HELD, f"{share:.2%} of all replies took too long{_given_up(seen)}")
    if abs(seen.in_flight / seen.connections - 1) > LITTLE_MAX:
        return Verdict(
            INVALID,
            f"{seen.connections:,} connections, but rate x time makes {seen.in_flight:,.1f}",
        )
    if seen.listen_drops or seen.syn_retransmits:
        return Verdict(ACCEPT_QUEUE_BOUND, _accept_queue(seen))
    if seen.server_busy is not None and seen.server_busy >= SERVER_BUSY_MIN:
        return Verdict(SERVER_BOUND, _server(seen))
    doing = "in use" if seen.waits_for_ends else "with a request in flight"
    return Verdict(OK, f"flat out: {seen.connections:,} connections, each {doing} all the time")


def _besides(seen: Evidence) -> Iterator[str]:
    """Yield what is no error, and yet not what a reader takes for granted."""
    if (share := seen.share(seen.retries)) > ERRORS_MAX:
        yield (
            f"{share:.2%} of the requests were broken off by the server before any byte of a reply"
            " and sent again, which is no error where a server ends idle connections (RFC 9112"
            " section 9.3.1)"
        )
    if seen.waits_for_ends:
        yield (
            f"{seen.closing / seen.in_flight:.0%} of the time in use, connections had their last"
            " reply and waited for the server to end them"
        )


def _given_up(seen: Evidence) -> str:
    if not seen.given_up:
        return ""
    return f"; {seen.given_up:,} were given up without a whole reply when the deadline was over"


def _server(seen: Evidence) -> str:
    return f"the server used {seen.server_busy:.0%} of what it can"


def _accept_queue(seen: Evidence) -> str:
    return (
        f"{seen.listen_drops:,} connections found the accept queue full,"
        f" {seen.syn_retransmits:,} handshakes were begun again"
    )
