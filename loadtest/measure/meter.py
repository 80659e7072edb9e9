"""What the connections of one scenario have measured, until somebody takes it once a second."""

from collections import Counter
from dataclasses import dataclass
from typing import Any

from hdrh.histogram import HdrHistogram

from loadtest.measure.errors import ReplyError
from loadtest.measure.histogram import Counts

KINDS = ("latency", "service_time", "lateness", "connect", "first_byte", "close")
"""What is timed. Latency: from when a request was due to the end of its reply. Service time: from
when it was sent. Lateness: from when it could have been sent (due, and its connection free) to
when it was: the generator's own. Connect: until the handshake is done; first byte: from sent;
close: from the reply's end to the stream's. At no fixed rate nothing is due: no latency then, and
no lateness."""


@dataclass(frozen=True)
class Taken:
    """What was counted in some time.

    Attributes:
        histograms: By kind; those that are not empty.
        requests: With a right reply.
        reply_bytes: Of these replies.
        errors: By name of the error.
        dropped: Requests that were not sent because they were late beyond the deadline.
        reconnects: Connections made anew because the server had ended the one before.
        retries: Requests sent again because a kept connection ended just then (RFC 9112
            section 9.3.1), with no byte of a reply.
        given_up: Requests that were sent so late that the test was over before the server's time.
        unfinished: Of these: a part of the reply had come.
    """

    histograms: dict[str, HdrHistogram]
    requests: int
    reply_bytes: int
    errors: dict[str, int]
    dropped: int
    reconnects: int
    retries: int
    given_up: int = 0
    unfinished: int = 0

    @property
    def any(self) -> bool:
        """Whether there is anything."""
        return any(vars(self).values())

    def encoded(self) -> dict[str, Any]:
        """Return it as JSON can have it, histograms as ``HdrHistogram.encode`` gives them."""
        histograms = {kind: h.encode().decode("ascii") for kind, h in self.histograms.items()}
        return {**vars(self), "histograms": histograms}


class Tallies:
    """Counts of one kind of time each, and of what has no time."""

    __slots__ = (
        "dropped", "errors", "given_up", "reconnects", "reply_bytes", "requests", "retries",
        "unfinished", *KINDS,
    )  # fmt: skip

    def __init__(self) -> None:
        self.latency = Counts()
        self.service_time = Counts()
        self.lateness = Counts()
        self.connect = Counts()
        self.first_byte = Counts()
        self.close = Counts()
        self._reset()

    def _reset(self) -> None:
        self.requests = self.reply_bytes = self.dropped = self.given_up = 0
        self.reconnects = self.retries = self.unfinished = 0
        self.errors: Counter[str] = Counter()

    def take(self) -> Taken:
        """Return what has been counted, and begin anew."""
        histograms = {}
        for kind in KINDS:
            histogram = getattr(self, kind).take()
            if histogram is not None:
                histograms[kind] = histogram
        taken = Taken(
            histograms,
            self.requests,
            self.reply_bytes,
            dict(self.errors),
            self.dropped,
            self.reconnects,
            self.retries,
            self.given_up,
            self.unfinished,
        )
        self._reset()
        return taken


class Meter:
    """Counts what belongs to the window apart from what does not.

    A request belongs to the window in which it was due, whenever its reply comes.
    """

    __slots__ = ("_close_s", "_open_s", "failures", "inside", "outside")

    def __init__(self) -> None:
        self.inside, self.outside = Tallies(), Tallies()
        self.failures: list[ReplyError] = []
        self._open_s = self._close_s = float("inf")

    def open(self, now_s: float) -> None:
        """Let the window begin."""
        self._open_s, self._close_s = now_s, float("inf")

    def close(self, now_s: float) -> None:
        """Let the window end."""
        self._close_s = now_s

    def of(self, due_s: float) -> Tallies:
        """Return where a request is counted that was due then."""
        return self.inside if self._open_s <= due_s < self._close_s else self.outside

    def fail(self, due_s: float, error: ReplyError) -> None:
        """Count a request that went wrong."""
        self.of(due_s).errors[type(error).__name__] += 1
        self.failures.append(error)
