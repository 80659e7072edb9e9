"""What the connections of one user class have measured since the last second."""

from collections import Counter
from dataclasses import dataclass
from typing import Any

from hdrh.histogram import HdrHistogram

from loadtest.measure.errors import ReplyError
from loadtest.measure.histogram import Counts

KINDS = ("latency", "service_time", "lateness", "connect", "first_byte", "close")
"""The kinds of times. Latency: from when a request was due to the end of its reply. Service time:
from when it was sent. Lateness: from when it could have been sent (due, and its connection free) to
when it was sent, which is the generator's own delay. Connect: until the handshake is done. First
byte: from when it was sent. Close: from the end of the reply to the end of the stream. Without a
fixed rate nothing is due: there is no latency and no lateness."""


@dataclass(frozen=True)
class Taken:
    """Counts of one second.

    Attributes:
        histograms: By kind, without empty ones.
        requests: With a right reply.
        reply_bytes: Of these replies.
        errors: By name of the error.
        dropped: Requests that were not sent because they were later than the deadline.
        reconnects: Connections made again because the server had closed the one before.
        retries: Requests sent again because a kept connection ended just then (RFC 9112
            section 9.3.1), with no byte of a reply.
        given_up: Requests sent so late that the test was over before the server had had its time.
        unfinished: Of these: with a part of the reply.
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
        """Whether anything was counted."""
        return any(vars(self).values())

    def encoded(self) -> dict[str, Any]:
        """Return it for JSON, with histograms as ``HdrHistogram.encode`` makes them."""
        histograms = {kind: h.encode().decode("ascii") for kind, h in self.histograms.items()}
        return {**vars(self), "histograms": histograms}


class Tallies:
    """Counts of each kind of time, and of events without a time."""

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
        """Return what has been counted, and reset the counts."""
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
    """Counts requests inside and outside the window separately.

    A request is inside if it was due in the window, whenever its reply comes.
    """

    __slots__ = ("_close_s", "_open_s", "failures", "inside", "outside")

    def __init__(self) -> None:
        self.inside, self.outside = Tallies(), Tallies()
        self.failures: list[ReplyError] = []
        self._open_s = self._close_s = float("inf")

    def open(self, now_s: float) -> None:
        """Open the window."""
        self._open_s, self._close_s = now_s, float("inf")

    def close(self, now_s: float) -> None:
        """Close the window."""
        self._close_s = now_s

    def of(self, due_s: float) -> Tallies:
        """Return the tallies for a request that was due then."""
        return self.inside if self._open_s <= due_s < self._close_s else self.outside

    def fail(self, due_s: float, error: ReplyError) -> None:
        """Count a request that went wrong."""
        self.of(due_s).errors[type(error).__name__] += 1
        self.failures.append(error)
