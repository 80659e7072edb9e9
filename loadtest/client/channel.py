"""One connection of the load: it connects, asks, checks, and never waits; the engine calls it."""

import itertools
import time

from loadtest.client.arrivals import NEVER, Schedule, Turns
from loadtest.client.asking import Asking
from loadtest.client.connection import Connection
from loadtest.client.engine import Engine
from loadtest.client.replies import RequestSource
from loadtest.measure.errors import ReplyError, TimedOutError, UnfinishedError
from loadtest.measure.first_failures import FirstFailure
from loadtest.measure.meter import Meter

PAUSE_AFTER_ERROR_S = 0.1
"""So that connections whose server has gone do not spin."""

_clock_s = time.perf_counter
_numbers = itertools.count()


class Channel(Asking):
    """A user's connection and its requests, one at a time.

    First it is established: it connects and has a reply to a first request. Then it holds its
    connection until ``begin``.

    Attributes:
        has_replied: Whether there has been a right reply.
    """

    __slots__ = ("_establishing", "_failed_again", "_failure", "has_replied")

    def __init__(self, engine: Engine, meter: Meter, asks: RequestSource) -> None:
        self._engine, self._meter, self._asks = engine, meter, asks
        self._quiet, self._read_rate_bytes_per_s = asks.quiet, asks.read_rate_bytes_per_s
        self._turns = Turns(next(_numbers))
        self._pipe = Connection(engine, self, asks.address())
        self._begin_new()
        self.has_replied = False
        self._failure: ReplyError | None = None  # the last one before a first right reply
        self._failed_again = False  # whether the one before was of the same kind
        self._establishing = True  # from when it has asked for its turn
        engine.establish(self)

    # -- what the load's conductor says ------------------------------------------------------

    @property
    def busy(self) -> bool:
        """Whether a request is in flight, or due before the end."""
        return self._sent_s != NEVER or (self._wake_s != NEVER and self._turns.open)

    @property
    def first_failure(self) -> FirstFailure | None:
        """What the last try ended with, or has come to; None: nothing yet, or there was a reply."""
        if self.has_replied:
            return None
        if self._failure is not None:
            return FirstFailure.of(self._failure, self._failed_again)
        if not self._begun_bytes:
            return None
        text = f"a reply that was not complete: {self._begun_bytes:,} bytes had come"
        return FirstFailure.of(UnfinishedError(text))

    @property
    def _begun_bytes(self) -> int:
        """How much has come of the reply to the request in flight."""
        if self._reading is not None:
            return self._reading.reply_bytes
        return self._reply_bytes if self._replied_s else 0

    def _silence(self, text: str) -> ReplyError:
        """Return the error of a server that has been silent, from the begin or after a part."""
        if not self._begun_bytes:
            return TimedOutError(text)
        whole = "a whole reply, whose connection did not end" if self._replied_s else "a reply"
        return UnfinishedError(f"{text}, after {self._begun_bytes:,} bytes of {whole}")

    def begin(self, schedule: Schedule | None) -> None:
        """Ask from now on: as scheduled, or without a schedule one request after the other."""
        self._turns.begin(schedule)
        if not self._establishing and self._sent_s == NEVER:
            self._free_s = _clock_s()
            self._wake_s = NEVER  # of what was due before
            self._next()  # else the request in flight is followed by the first that is due

    def finish(self, until_s: float) -> None:
        """Ask only what is due before then."""
        self._turns.finish(until_s)

    def abandon(self, heard_s: float) -> None:
        """Give up what has not been answered, and count it: the test is over.

        Args:
            heard_s: A server that has been silent since then, or longer, has had its time; what was
                sent later is given up for want of our own.
        """
        in_flight = self._sent_s != NEVER
        if in_flight and self._replied_s and not self._exchange.closes:
            self._count()  # only its connection's end was still to come, which it needs not
        elif in_flight and self._heard_s <= heard_s:
            error = self._silence("the server was silent for the whole deadline, and the test over")
            self._meter.fail(self._turns.due_s, error)
        elif in_flight:
            tallies = self._meter.of(self._turns.due_s)
            tallies.given_up += 1
            tallies.unfinished += bool(self._begun_bytes)
        if in_flight:  # what is held stays until its memory has been measured
            self._disconnect()
        if not self._quiet:
            self._turns.abandon(self._meter, in_flight)
        self._wake_s = self._sent_s = NEVER

    def close(self) -> None:
        """Break off, and count nothing."""
        self._wake_s = self._sent_s = NEVER
        self._disconnect()
        if self._engine.cancel(self):
            self._establishing = False
        self._end_establishing()

    def give_up_before(self, heard_s: float) -> None:
        """Give up a request whose server has been silent since then."""
        if self._sent_s != NEVER and self._heard_s < heard_s:
            self._fail(self._silence("the server was silent for too long"))

    # -- what the engine says ----------------------------------------------------------------

    def establish(self) -> None:
        """Connect and ask for a first reply, which is due now."""
        self._free_s = now_s = _clock_s()
        self._turns.due_s = now_s
        self._start(now_s)

    def wake(self, now_s: float) -> None:
        """Send what is due, read on, or try again."""
        if self._waits_to_read:
            self._waits_to_read = False
            self._pipe.resume()
        elif self._replied_s:
            if now_s >= self._wake_s:  # it has not ended the connection, so we do
                self._end(now_s)
        elif now_s >= self._wake_s:  # else it has been told otherwise since it asked
            self._wake_s = NEVER
            if self._quiet or not self._turns.begun:
                self._establishing = True
                self._engine.establish(self)
            elif self._turns.open:
                self._start(self._turns.due_s)

    # -- a request ---------------------------------------------------------------------------

    def _next(self) -> None:
        """Go on after a request that has ended."""
        if self._quiet or not self._turns.begun:
            return
        due_s = self._turns.next_s(self._free_s, self._meter)
        if due_s <= self._free_s:
            self._start(due_s)
        elif due_s != NEVER:
            self._wait(due_s)

    def _wait(self, when_s: float) -> None:
        self._wake_s = when_s
        self._engine.at(when_s, self)

    def _done(self, now_s: float) -> None:
        self._sent_s = NEVER
        self._replied_s = 0.0
        self._free_s = now_s
        self._reading = None
        if self._establishing:
            self.has_replied, self._failure = True, None
            self._end_establishing()
        self._next()

    def _fail(self, error: ReplyError) -> None:
        now_s, in_flight = _clock_s(), self._sent_s != NEVER
        self._meter.fail(self._turns.due_s if in_flight else now_s, error)
        if not self.has_replied:
            before, self._failure = self._failure, error
            self._failed_again = type(before) is type(error) and before.final
        self._disconnect()
        self._sent_s = NEVER
        self._free_s = now_s + PAUSE_AFTER_ERROR_S
        self._end_establishing()
        # Not at once, even if it is late: what fails at once would do so for ever.
        if self._quiet or not self._turns.begun:
            self._wait(self._free_s)
        elif not in_flight:
            if self._wake_s != NEVER:  # for the next one that is due, which has not had its turn
                self._wait(max(self._wake_s, self._free_s))
        elif (due_s := self._turns.next_s(self._free_s, self._meter)) != NEVER:
            self._wait(max(due_s, self._free_s))

    def _end_establishing(self) -> None:
        if self._establishing:
            self._establishing = False
            self._engine.established()
