"""The verdict of a cell: what limited it, with the evidence. Every threshold is here."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from loadtest.measure.errors import NotConnectedError, OwnLimitError, ScenarioError, TimedOutError
from loadtest.measure.first_failures import SILENCE
from loadtest.measure.wording import counted

RATE_HELD_MIN = 0.99
"""Below this share of the due requests, the times belong to another load. Precedent: zrk 0.99."""

GENERATOR_BUSY_MAX = 0.8
"""Share of a core that a generator may use, or wait for: above it, its own queue is part of every
time. Precedent: k6's documentation, 80 %."""

LATENESS_P99_MAX_MS = 10.0
"""A generator that sends one request in 100 later than this has measured itself, whatever its CPU
time: it had no core when the request was due. A scheduler's tick is 1 to 10 ms; a virtual machine
that shares its cores pauses as long."""

ERRORS_MAX = 0.001
"""Above this share of errors p99.9 is meaningless: it may be one of them."""

SERVER_BUSY_MIN = 0.9
"""A server that uses this share of its cores is at its limit: the rest goes to context switches and
to other tasks of the machine."""

LITTLE_MAX = 0.1
"""How far the number of connections may differ from rate x time, where every connection always
awaits a reply (Little's law). Beyond it, a clock or a count is wrong."""

CONNECTIONS_BUSY_MIN = 0.9
"""With this share of the connections in use, a rate that is not held lacks connections."""

CLOSING_MAX = 0.5
"""Share of the time in use that connections may await their end before a verdict names it: above
it, ends and not replies limit the rate."""

OK = "ok"
SERVER_BOUND = "server-bound"
GENERATOR_BOUND = "generator-bound"
ACCEPT_QUEUE_BOUND = "accept-queue-bound"
RATE_NOT_HELD = "rate-not-held"
ERRORS = "errors"
NO_REPLY = "no-reply"
INVALID = "invalid"

VERDICTS = {
    OK: "the rate was held; flat out: neither side was at its limit",
    SERVER_BOUND: "the server had no core left",
    ACCEPT_QUEUE_BOUND: "connections found the server's accept queue full",
    RATE_NOT_HELD: "fewer requests than due had a reply in time, without errors",
    GENERATOR_BOUND: "the generator was at its limit: the times are not the server's",
    ERRORS: "the server sent wrong or partial replies, or refused or broke connections",
    NO_REPLY: "the server stayed silent until the deadline",
    INVALID: "the measurement failed",
}
"""Verdict -> its meaning."""

SPOILT = {ERRORS, NO_REPLY, INVALID}
"""Verdicts of cells without a valid figure."""

_SILENT = {SILENCE, TimedOutError.__name__}
_OWN_LIMIT = OwnLimitError.__name__
_OWN_FAULTS = {ScenarioError.__name__, NotConnectedError.__name__}
OWN = {_OWN_LIMIT, *_OWN_FAULTS}
"""Errors of the generator; all others are the server's."""


@dataclass(frozen=True)
class Evidence:
    """The evidence for a verdict; None where a value is unknown.

    Attributes:
        trouble: Why the cell has no result; "" if it has one.
        missing: Load processes that were lost.
        requests: Right replies to requests that were due in the window.
        errors_share: The server's errors among the requests that have ended, without dropped ones.
        rate_wanted_hz: 0: flat out.
        rate_held_share: Of the requests due in the window; None if flat out.
        generator_busy: Share of a core that the busiest load process used or waited for.
        generator_cpu: Share of a core that the busiest load process used.
        lateness_p99_ms: Of the generator; None if flat out.
        server_busy: Share of its cores that the server used.
        listen_drops: Connections that found the accept queue full.
        syn_retransmits: Opening packets that the kernel sent again.
        retransmits: Segments sent again.
        in_flight: Mean number of requests in flight: rate x mean time (Little's law).
        connections: That made requests.
        dropped: Requests that were later than the deadline.
        given_up: Requests that were sent too late for the server to have its time.
        due: Requests that were due in the window, however they ended.
        errors: Name -> requests of the window that ended so.
        silent_before: Requests from before the window that had no reply when it closed.
        without_reply: Connections without a right first reply, by the error they had instead.
        unfinished: Requests given up with a part of their reply.
        retries: Requests that the server broke off before any byte of a reply; sent again.
        closing: Part of ``in_flight``: connections with their last reply that awaited their end.
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
        """Whether connections in use await their end more than replies."""
        return self.closing > CLOSING_MAX * self.in_flight

    def share(self, count: int) -> float:
        """Return a count as a share of the requests due in the window and not dropped."""
        sent = self.due - self.dropped
        return count / sent if sent > 0 else 0.0


@dataclass(frozen=True)
class Verdict:
    """What limited a cell, and the reason for this verdict."""

    name: str
    why: str


def judge(evidence: Evidence) -> Verdict:
    """Return what limited a cell, with remarks that a reader needs beside it."""
    verdict = _judge(evidence)
    return Verdict(verdict.name, "; ".join([verdict.why, *_besides(evidence)]))


def _judge(evidence: Evidence) -> Verdict:
    """Return the first verdict that applies, from what spoils a number the most."""
    if evidence.trouble:
        return Verdict(_name_of_trouble(evidence.without_reply), evidence.trouble)
    if evidence.missing:
        return Verdict(INVALID, f"lost a process of the generator: {', '.join(evidence.missing)}")
    spoilt = _judge_replies(evidence)
    if spoilt is not None:
        return spoilt
    if evidence.generator_busy > GENERATOR_BUSY_MAX:
        waited = evidence.generator_busy - evidence.generator_cpu
        return Verdict(
            GENERATOR_BOUND,
            f"a process of the generator used {evidence.generator_cpu:.0%} of a core and waited"
            f" {waited:.0%} of the time for one",
        )
    if evidence.lateness_p99_ms is not None and evidence.lateness_p99_ms > LATENESS_P99_MAX_MS:
        return Verdict(
            GENERATOR_BOUND,
            f"one request in 100 was sent {evidence.lateness_p99_ms:.1f} ms late or more",
        )
    return _judge_flat_out(evidence) if evidence.rate_held_share is None else _judge_rate(evidence)


def _name_of_trouble(without_reply: Mapping[str, int]) -> str:
    """Return the verdict of a cell without a window: which side is the reason."""
    kinds = without_reply.keys()
    if not kinds or kinds & OWN:
        return INVALID
    return NO_REPLY if kinds <= _SILENT else ERRORS


def _judge_replies(evidence: Evidence) -> Verdict | None:
    """Return the verdict if the replies alone decide it."""
    own_limit = evidence.share(evidence.errors.get(_OWN_LIMIT, 0))
    if own_limit > ERRORS_MAX:
        return Verdict(
            GENERATOR_BOUND,
            f"the generator had no descriptor, port or memory left for {own_limit:.2%} of requests",
        )
    for name in sorted(_OWN_FAULTS & evidence.errors.keys()):
        if (share := evidence.share(evidence.errors[name])) > ERRORS_MAX:
            return Verdict(INVALID, f"{share:.2%} of the requests never went out: {name}")
    nothing = (
        not evidence.requests and not evidence.unfinished and evidence.errors.keys() <= _SILENT
    )
    if nothing and (evidence.due or evidence.silent_before):
        return Verdict(NO_REPLY, "the server answered none of the window's requests, not even late")
    if evidence.errors_share > ERRORS_MAX:
        counts = ", ".join(f"{name} {count:,}" for name, count in evidence.errors.items())
        return Verdict(
            ERRORS, f"{evidence.errors_share:.2%} of all requests failed{counts and f': {counts}'}"
        )
    if evidence.unfinished and not evidence.requests:
        return Verdict(
            ERRORS,
            f"no reply was complete at the deadline; {evidence.unfinished:,} had begun",
        )
    return None if evidence.requests else Verdict(INVALID, "nothing was due in the window")


def _judge_rate(evidence: Evidence) -> Verdict:
    share = evidence.rate_held_share
    assert share is not None
    held = f"{share:.2%} of the due requests had a reply in time{_given_up(evidence)}"
    if share >= RATE_HELD_MIN and evidence.share(evidence.given_up) <= ERRORS_MAX:
        return Verdict(OK, held)
    if evidence.listen_drops or evidence.syn_retransmits:
        return Verdict(ACCEPT_QUEUE_BOUND, f"{held}; {_accept_queue(evidence)}")
    if evidence.server_busy is not None and evidence.server_busy >= SERVER_BUSY_MIN:
        return Verdict(SERVER_BOUND, f"{held}; {_server(evidence)}")
    if evidence.in_flight >= CONNECTIONS_BUSY_MIN * evidence.connections:
        return Verdict(RATE_NOT_HELD, f"{held}; {_use(evidence)}")
    return Verdict(RATE_NOT_HELD, f"{held}, and neither side was busy")


def _use(evidence: Evidence) -> str:
    connections = f"all connections ({evidence.connections:,})"
    if evidence.waits_for_ends:
        return (
            f"{connections} were in use: the server must close sooner, or the load needs more"
            " connections"
        )
    return (
        f"{connections} awaited replies: the server is slow without being busy, or the load needs"
        " more connections"
    )


def _judge_flat_out(evidence: Evidence) -> Verdict:
    if (share := evidence.share(evidence.given_up)) > ERRORS_MAX:
        return Verdict(
            RATE_NOT_HELD, f"{share:.2%} of all replies took too long{_given_up(evidence)}"
        )
    if abs(evidence.in_flight / evidence.connections - 1) > LITTLE_MAX:
        return Verdict(
            INVALID,
            f"{counted(evidence.connections, 'connection')}, but Little's law gives"
            f" {evidence.in_flight:,.1f} in flight",
        )
    if evidence.listen_drops or evidence.syn_retransmits:
        return Verdict(ACCEPT_QUEUE_BOUND, _accept_queue(evidence))
    if evidence.server_busy is not None and evidence.server_busy >= SERVER_BUSY_MIN:
        return Verdict(SERVER_BOUND, _server(evidence))
    doing = "in use" if evidence.waits_for_ends else "with a request in flight"
    connections = counted(evidence.connections, "connection")
    return Verdict(OK, f"flat out: {connections}, each {doing} all the time")


def _besides(evidence: Evidence) -> Iterator[str]:
    """Yield remarks about what is no error, but not what a reader expects either."""
    if (share := evidence.share(evidence.retries)) > ERRORS_MAX:
        yield (
            f"{share:.2%} of the requests were broken off by the server before any byte of a reply"
            " and sent again; that is no error where a server closes idle connections (RFC 9112"
            " section 9.3.1)"
        )
    if evidence.waits_for_ends:
        yield (
            f"{evidence.closing / evidence.in_flight:.0%} of the time in use, connections had their"
            " last reply and waited for the server to close"
        )


def _given_up(evidence: Evidence) -> str:
    if not evidence.given_up:
        return ""
    requests = counted(evidence.given_up, "request")
    return f"; {requests} given up at the deadline without a complete reply"


def _server(evidence: Evidence) -> str:
    return f"the server used {evidence.server_busy:.0%} of its cores"


def _accept_queue(evidence: Evidence) -> str:
    return (
        f"{counted(evidence.listen_drops, 'connection')} found the accept queue full,"
        f" {counted(evidence.syn_retransmits, 'SYN retransmit')}"
    )
