"""One connection of the load: it connects, asks, checks, and never waits; the engine calls it."""

import itertools
import select
import time

from loadtest.arrivals import NEVER, Schedule, Turns
from loadtest.engine import Engine
from loadtest.errors import (
    LeftOverError,
    ReplyError,
    ScenarioError,
    TimedOutError,
    TruncatedError,
    of_the_kernel,
)
from loadtest.meter import Meter
from loadtest.pipe import Pipe
from loadtest.replies import Asks, Exchange, Reply

RECV_BYTES = 64 * 1024

LEARNT_BYTES_MAX = 16 * 1024
"""Longer replies are checked piece by piece: to put them together first would cost more."""

PAUSE_AFTER_ERROR_S = 0.1
"""So that connections whose server has gone do not spin."""

_clock_s = time.perf_counter
_numbers = itertools.count()


class Channel:
    """A user's connection and its requests, one at a time.

    First it is established: it connects and has a reply to a first request. Then it holds its
    connection until ``begin``.

    Attributes:
        has_replied: Whether there has been a right reply.
    """

    __slots__ = (
        "_asks", "_engine", "_establishing", "_exchange", "_first_byte_s", "_free_s", "_heard_s",
        "_meter", "_pipe", "_quiet", "_read_rate_bytes_per_s", "_received", "_replied_s",
        "_reply", "_reply_bytes", "_sent_s", "_turns", "_waits_to_read", "_wake_s", "has_replied",
    )  # fmt: skip

    def __init__(self, engine: Engine, meter: Meter, asks: Asks) -> None:
        self._engine, self._meter, self._asks = engine, meter, asks
        self._quiet, self._read_rate_bytes_per_s = asks.quiet, asks.read_rate_bytes_per_s
        self._turns = Turns(next(_numbers))
        self._pipe = Pipe(engine, self, asks.address())
        self._exchange: Exchange
        self._wake_s = self._sent_s = NEVER  # the next wake-up; the request in flight
        self._free_s = self._heard_s = 0.0
        self._first_byte_s = self._replied_s = 0.0
        self._reply_bytes = 0
        self._reply: Reply | None = None
        self._received: list[bytes] = []
        self._waits_to_read = self.has_replied = False
        self._establishing = True  # from when it has asked for its turn
        engine.establish(self)

    # -- what the load's conductor says ------------------------------------------------------

    @property
    def busy(self) -> bool:
        """Whether a request is in flight, or due before the end."""
        return self._sent_s != NEVER or (self._wake_s != NEVER and self._turns.open)

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

    def abandon(self) -> None:
        """Give up what has not been answered, and count it: the client has gone."""
        in_flight = self._sent_s != NEVER
        if in_flight:
            error = TimedOutError("no reply when the time was up")
            self._meter.fail(self._turns.due_s, error)
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
            self._fail(TimedOutError("the server was silent for too long"))

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
        elif now_s >= self._wake_s:  # else it has been told otherwise since it asked
            self._wake_s = NEVER
            if self._quiet or not self._turns.begun:
                self._establishing = True
                self._engine.establish(self)
            elif self._turns.open:
                self._start(self._turns.due_s)

    def ready(self, events: int) -> None:
        """Connect, send or receive, as far as it goes."""
        pipe = self._pipe
        try:
            if pipe.connecting:
                pipe.connected()
                self._meter.of(self._turns.due_s).connect.add(_clock_s() - self._sent_s)
                pipe.send(self._exchange.request)
                return
            if events & select.EPOLLOUT:
                pipe.send_rest()
            if events & ~select.EPOLLOUT:
                self._receive()
        except BlockingIOError:  # woken for nothing
            return
        except OSError as error:  # whatever has become of the connection
            if self._sent_s == NEVER and not self._quiet:
                self._disconnect()  # a server may end what is idle; the next one connects anew
            else:
                self._fail(of_the_kernel(error, connecting=pipe.connecting))
        except ReplyError as error:  # counted, by its name
            self._fail(error)

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

    def _start(self, due_s: float) -> None:
        self._heard_s = self._sent_s = sent_s = _clock_s()
        if self._turns.scheduled:
            late_s = sent_s - (max(self._free_s, due_s))
            self._meter.of(due_s).lateness.add(late_s)
        try:
            self._exchange = exchange = self._asks.next_exchange()
            if self._pipe.is_open:
                self._pipe.send(exchange.request)
            else:
                self._pipe.connect()
        except OSError as error:  # whatever has become of the connection
            self._fail(of_the_kernel(error, connecting=not self._pipe.is_open))
        except Exception as error:  # a fault of a scenario's author must not stop the others
            self._fail(ScenarioError(f"{type(error).__name__}: {error}"))

    def _receive(self) -> None:
        data = self._pipe.recv(RECV_BYTES)
        now_s = _clock_s()
        if self._sent_s == NEVER:
            self._take_unasked(data)
        elif self._replied_s:
            self._take_end(data, now_s)
        elif self._reply is None and data == self._exchange.known:
            self._first_byte_s = now_s
            self._reply_bytes = len(data)
            self._replied(now_s)
        else:
            self._check(data, now_s)

    def _check(self, data: bytes, now_s: float) -> None:
        self._heard_s = now_s
        exchange = self._exchange
        if self._reply is None:
            self._reply = exchange.new_reply()
            self._first_byte_s = now_s
            self._reply_bytes = 0
        self._reply_bytes += len(data)
        small = exchange.learns and self._reply_bytes <= LEARNT_BYTES_MAX
        if small:
            self._received.append(data)
        if self._reply.feed(data):
            if small:
                exchange.learn(b"".join(self._received))
            self._replied(now_s)
        elif self._read_rate_bytes_per_s is not None:
            self._waits_to_read = True
            self._pipe.pause()
            self._engine.at(now_s + len(data) / self._read_rate_bytes_per_s, self)

    def _take_unasked(self, data: bytes) -> None:
        if data:
            raise LeftOverError(f"{len(data)} bytes came that nobody had asked for")
        if self._quiet:
            raise TruncatedError("the server closed a connection that was to be held")
        self._disconnect()  # a server may end what is idle; the next request connects anew

    def _take_end(self, data: bytes, now_s: float) -> None:
        if data:
            raise LeftOverError(f"{len(data)} bytes came after the last reply")
        self._meter.of(self._turns.due_s).close.add(now_s - self._replied_s)
        self._count()
        self._disconnect()
        self._done(now_s)

    def _replied(self, now_s: float) -> None:
        self._replied_s = now_s
        if not self._exchange.closes:  # else it is right only if nothing comes but the end
            self._count()
            self._done(now_s)

    def _count(self) -> None:
        """Count a request whose reply was right."""
        due_s, sent_s, replied_s = self._turns.due_s, self._sent_s, self._replied_s
        tallies = self._meter.of(due_s)
        tallies.requests += 1
        tallies.reply_bytes += self._reply_bytes
        tallies.service_time.add(replied_s - sent_s)
        tallies.first_byte.add(self._first_byte_s - sent_s)
        if self._turns.scheduled:
            tallies.latency.add(replied_s - due_s)

    def _done(self, now_s: float) -> None:
        self._sent_s = NEVER
        self._replied_s = 0.0
        self._free_s = now_s
        if self._reply is not None:
            self._reply = None
            self._received.clear()
        if self._establishing:
            self.has_replied = True
            self._end_establishing()
        self._next()

    def _fail(self, error: ReplyError) -> None:
        now_s, in_flight = _clock_s(), self._sent_s != NEVER
        self._meter.fail(self._turns.due_s if in_flight else now_s, error)
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

    def _disconnect(self) -> None:
        self._pipe.close()
        self._reply = None
        self._replied_s = 0.0
        self._waits_to_read = False
        self._received.clear()
