"""One user's place in the load: when its connection makes a request. It never waits itself."""

import itertools
import time

from loadtest.client.arrivals import NEVER, Schedule, Turns
from loadtest.client.engine import Engine
from loadtest.client.replies import RequestSource
from loadtest.client.requester import Requester
from loadtest.measure.errors import ReplyError, UnfinishedError
from loadtest.measure.first_failures import FirstFailure
from loadtest.measure.meter import Meter

PAUSE_AFTER_ERROR_S = 0.1
"""So that connections whose server has gone do not spin."""

_clock_s = time.perf_counter
_numbers = itertools.count()


class Channel:
    """A connection and its requests, one at a time, from the first reply to the end of the test.

    First it is established: it connects and gets a reply to a first request. Then it holds its
    connection until ``begin``.

    Attributes:
        has_replied: Whether there has been a right reply.
    """

    __slots__ = (
        "_engine", "_establishing", "_failed_again", "_failure", "_free_s", "_meter", "_quiet",
        "_requester", "_turns", "_wake_s", "has_replied",
    )  # fmt: skip

    def __init__(self, engine: Engine, meter: Meter, source: RequestSource) -> None:
        self._engine, self._meter, self._quiet = engine, meter, source.quiet
        self._turns = Turns(next(_numbers))
        self._requester = Requester(engine, meter, source, self._turns, self)
        self._wake_s = NEVER  # the next wake-up
        self._free_s = 0.0  # when the last request ended
        self.has_replied = False
        self._failure: ReplyError | None = None  # the last one before a first right reply
        self._failed_again = False  # whether the one before was of the same kind
        self._establishing = True  # from when it waits for its turn until there is a reply
        engine.establish(self)

    # -- for the load process ----------------------------------------------------------------

    @property
    def busy(self) -> bool:
        """Whether a request is in flight, or due before the end."""
        return self._requester.in_flight or (self._wake_s != NEVER and self._turns.open)

    @property
    def first_failure(self) -> FirstFailure | None:
        """What the last try ended with, or has come to; None: nothing yet, or a right reply."""
        if self.has_replied:
            return None
        if self._failure is not None:
            return FirstFailure.of(self._failure, self._failed_again)
        if not (self._requester.in_flight and self._requester.reply_bytes):
            return None
        text = f"a reply that was not complete: {self._requester.reply_bytes:,} bytes had come"
        return FirstFailure.of(UnfinishedError(text))

    def begin(self, schedule: Schedule | None) -> None:
        """Make requests from now on: on a schedule, or without one each after the last."""
        self._turns.begin(schedule)
        if not self._establishing and not self._requester.in_flight:
            self._free_s = _clock_s()
            self._wake_s = NEVER  # a wake-up for an earlier schedule no longer counts
            self._next()  # else the first request that is due follows the one in flight

    def finish(self, until_s: float) -> None:
        """Make only the requests that are due before then."""
        self._turns.finish(until_s)

    def abandon(self, heard_s: float) -> None:
        """Give up what has no reply, and count it: the test is over.

        Args:
            heard_s: See ``Requester.abandon``.
        """
        in_flight = self._requester.in_flight
        if in_flight:  # a connection that is only held stays until its memory has been measured
            self._requester.abandon(heard_s)
        if not self._quiet:
            self._turns.abandon(self._meter, in_flight)
        self._wake_s = NEVER

    def close(self) -> None:
        """Close the connection, and count nothing."""
        self._wake_s = NEVER
        self._requester.reset()
        if self._engine.cancel(self):
            self._establishing = False
        self._end_establishing()

    def give_up_before(self, heard_s: float) -> None:
        """Give up a request whose server has been silent since then."""
        if self._requester.in_flight and self._requester.heard_s < heard_s:
            self.failed(self._requester.silence("the server was silent for too long"))

    # -- for the engine ----------------------------------------------------------------------

    def establish(self) -> None:
        """Connect and make a first request, which is due now."""
        self._free_s = now_s = _clock_s()
        self._turns.due_s = now_s
        self._start(now_s)

    def wake(self, now_s: float) -> None:
        """Make the request that is due, or try again to get a first reply."""
        if now_s < self._wake_s:  # this wake-up no longer counts
            return
        self._wake_s = NEVER
        if self._quiet or not self._turns.begun:
            self._establishing = True
            self._engine.establish(self)
        elif self._turns.open:
            self._start(self._turns.due_s)

    # -- for the requester -------------------------------------------------------------------

    def succeeded(self, now_s: float) -> None:
        """Go on after a right reply."""
        self._free_s = now_s
        if self._establishing:
            self.has_replied, self._failure = True, None
            self._end_establishing()
        self._next()

    def failed(self, error: ReplyError) -> None:
        """Count what went wrong, and go on after a pause."""
        now_s, in_flight = _clock_s(), self._requester.in_flight
        self._meter.fail(self._turns.due_s if in_flight else now_s, error)
        if not self.has_replied:
            before, self._failure = self._failure, error
            self._failed_again = type(before) is type(error) and before.final
        self._requester.reset()
        self._free_s = now_s + PAUSE_AFTER_ERROR_S
        self._end_establishing()
        # Not at once, even if the next request is late: an immediate failure would repeat for ever.
        if self._quiet or not self._turns.begun:
            self._wait(self._free_s)
        elif not in_flight:
            if self._wake_s != NEVER:  # the next request is due, and has not been made yet
                self._wait(max(self._wake_s, self._free_s))
        elif (due_s := self._turns.next_s(self._free_s, self._meter)) != NEVER:
            self._wait(max(due_s, self._free_s))

    # -- when to make a request --------------------------------------------------------------

    def _start(self, due_s: float) -> None:
        now_s = _clock_s()
        if self._turns.scheduled:
            self._meter.of(due_s).lateness.add(now_s - max(self._free_s, due_s))
        self._requester.start(now_s)

    def _next(self) -> None:
        """Go on after a request has ended."""
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

    def _end_establishing(self) -> None:
        if self._establishing:
            self._establishing = False
            self._engine.established()
