"""The questions a reader brings, each with the cells that can answer it."""

from dataclasses import dataclass
from enum import StrEnum

from loadtest.bundle.plan import FLAT_OUT, RATE


class Situation(StrEnum):
    """What a reader's clients do; advice is given for each situation."""

    WAITING = "waiting"
    SHORT_CONNECTIONS = "short-connections"
    COMPUTING = "computing"
    SMALL_REQUESTS = "small-requests"
    LARGE_REPLIES = "large-replies"
    MANY_CONNECTIONS = "many-connections"


@dataclass(frozen=True)
class Question:
    """One question: which contender does best by one metric under one kind of load.

    Attributes:
        situation: Links the question to its advice; the title is for display only.
        scenarios: Candidates, in order of preference: the first one with cells answers.
        load: ``RATE`` or ``FLAT_OUT``.
        metric: A key of ``METRICS``.
    """

    situation: Situation
    title: str
    scenarios: tuple[str, ...]
    load: str
    metric: str


_SMALL = ("hello", "echo", "get")
_ANY = ("hello", "wait", "connect", "idle", "echo")

QUESTIONS = (
    Question(Situation.SMALL_REQUESTS, "Small requests: CPU per request", _SMALL, RATE, "cpu"),
    Question(Situation.SMALL_REQUESTS, "Small requests: p99 latency", _SMALL, RATE, "p99"),
    Question(Situation.WAITING, "Back-end waits: CPU per request", ("wait",), RATE, "cpu"),
    Question(Situation.WAITING, "Back-end waits: peak throughput", ("wait",), FLAT_OUT, "rate"),
    Question(
        Situation.SHORT_CONNECTIONS, "Short connections: CPU per request", ("connect",), RATE, "cpu"
    ),
    Question(
        Situation.SHORT_CONNECTIONS,
        "Short connections: peak throughput",
        ("connect",),
        FLAT_OUT,
        "rate",
    ),
    Question(
        Situation.COMPUTING, "Python in the handler: peak throughput", ("cpu",), FLAT_OUT, "rate"
    ),
    Question(
        Situation.COMPUTING, "C code in the handler: peak throughput", ("hash",), FLAT_OUT, "rate"
    ),
    Question(
        Situation.COMPUTING, "Light requests beside heavy ones: p99 latency", ("convoy",), RATE,
        "p99",
    ),
    Question(Situation.LARGE_REPLIES, "Large replies: CPU per reply", ("stream",), RATE, "cpu"),
    Question(Situation.MANY_CONNECTIONS, "Memory per connection", _ANY, RATE, "memory"),
)  # fmt: skip
