"""One request at a time on one connection: connect if needed, send, read, check, count.

Its owner decides when a request is due; the requester reports how each one has ended.
"""

import select
import time
from typing import Protocol

from loadtest.client.arrivals import NEVER, Turns
from loadtest.client.connection import Connection
from loadtest.client.engine import Engine
from loadtest.client.replies import Exchange, Reading, RequestSource
from loadtest.measure.errors import (
    LeftOverError,
    ReplyError,
    ScenarioError,
    TruncatedError,
    of_the_kernel,
    silence,
)
from loadtest.measure.meter import Meter

RECV_BYTES = 64 * 1024

END_WAIT_S = 0.1
"""How long a server that has announced the connection's end may take to close. It nearly always has
by then; if not, we close, as RFC 9112 section 9.6 asks of a client. Closing first would cost us the
port for a minute: Linux's TCP_TIMEWAIT_LEN, with 28,232 ports in all towards one server."""

_clock_s = time.perf_counter


class Owner(Protocol):
    """Hears how a request has ended; may start the next one at once."""

    def succeeded(self, now_s: float) -> None:
        """Go on after a right reply, which is counted already."""

    def failed(self, error: ReplyError) -> None:
        """Count what went wrong, and reset the requester."""


class Requester:
    """Makes requests on a connection, which it opens again whenever it has ended.

    The engine calls it when its connection is ready and at the times it has asked for.

    Args:
        engine: Watches the connection.
        meter: Counts what comes of each request.
        source: Says what to request, and from where.
        turns: When the request in flight was due.
        owner: Hears how each request has ended.

    Attributes:
        heard_s: When the server last gave a sign of life, or the request was sent.
        in_flight: Whether a request has begun and not ended.
        reply_bytes: How much of its reply has come.
    """

    __slots__ = (
        "_connecting_s", "_connection", "_end_by_s", "_engine", "_exchange", "_first_byte_s",
        "_meter", "_owner", "_paused", "_quiet", "_read_rate_bytes_per_s", "_reading", "_replied_s",
        "_sent_s", "_server_closed", "_source", "_turns", "heard_s", "in_flight", "reply_bytes",
    )  # fmt: skip

    def __init__(
        self, engine: Engine, meter: Meter, source: RequestSource, turns: Turns, owner: Owner
    ) -> None:
        self._engine, self._meter, self._source = engine, meter, source
        self._turns, self._owner = turns, owner
        self._quiet, self._read_rate_bytes_per_s = source.quiet, source.read_rate_bytes_per_s
        self._connection = Connection(engine, self, source.address())
        self._exchange: Exchange
        self._reading: Reading | None = None
        self._sent_s = self._first_byte_s = self._replied_s = self._connecting_s = 0.0
        self._end_by_s = NEVER
        self._paused = False  # the reply is read slowly, on purpose
        self._server_closed = False  # the connection before, without a fault
        self.heard_s, self.in_flight, self.reply_bytes = 0.0, False, 0

    # -- for the owner -----------------------------------------------------------------------

    def start(self, now_s: float) -> None:
        """Begin a request."""
        self.heard_s = self._sent_s = now_s
        self.in_flight, self.reply_bytes = True, 0
        try:
            self._exchange = exchange = self._source.next_exchange()
        except Exception as error:  # a fault in one scenario must not stop the others
            self._owner.failed(ScenarioError(f"{type(error).__name__}: {error}"))
            return
        connection = self._connection
        if connection.in_step:
            try:
                connection.send(exchange.request)
            except OSError as error:  # the connection has ended, in whatever way
                if not self._try_again(error):
                    self._owner.failed(of_the_kernel(error, connecting=False))
        else:
            if connection.is_open:  # the rest of the request before would run into this one
                self._end_idle()
            self._connect()

    def reset(self) -> None:
        """Close the connection and forget the request in flight, without counting it."""
        self._disconnect()
        self.in_flight = False

    def abandon(self, heard_s: float) -> None:
        """Give up the request in flight, and count it: the test is over.

        Args:
            heard_s: A server silent since then, or longer, has had its time, and that is an error;
                a later request is given up because our own time was short.
        """
        due_s = self._turns.due_s
        if self.awaits_end and not self._exchange.closes:
            self._count()  # only the end of its connection is missing, and this request needs none
        elif self.heard_s <= heard_s:
            text = "the server was silent for the whole deadline, until the test was over"
            self._meter.fail(due_s, self.silence(text))
        else:
            tallies = self._meter.of(due_s)
            tallies.given_up += 1
            tallies.unfinished += bool(self.reply_bytes)
        self.reset()

    @property
    def awaits_end(self) -> bool:
        """Whether the reply is complete, and only the connection's end is missing."""
        return self.in_flight and bool(self._replied_s)

    def silence(self, text: str) -> ReplyError:
        """Return the error of a silent server, with what has come of its reply."""
        return silence(text, self.reply_bytes, complete=bool(self._replied_s))

    # -- for the engine ----------------------------------------------------------------------

    def ready(self, events: int) -> None:
        """Connect, send or receive, as far as the kernel allows."""
        connection = self._connection
        try:
            if connection.connecting:
                if connection.connected():
                    tallies = self._meter.of(self._turns.due_s)
                    tallies.connect.add(_clock_s() - self._connecting_s)
                    connection.send(self._exchange.request)
                return
            if events & ~select.EPOLLOUT:
                self._receive()  # first: it may explain why the server takes no more
            if events & select.EPOLLOUT:
                connection.send_rest()
        except BlockingIOError:  # a spurious wake-up
            return
        except OSError as error:  # the connection has ended, in whatever way
            if self._replied_s and not self._exchange.closes:
                self._end(_clock_s())  # after a last reply a reset is an end like any other
            elif not self.in_flight and not self._quiet:
                self._end_idle()
            elif not self._try_again(error):
                self._owner.failed(of_the_kernel(error, connecting=connection.connecting))
        except ReplyError as error:  # counted under its name
            self._owner.failed(error)
        except Exception as error:  # a fault in one scenario must not stop the others
            self._owner.failed(ScenarioError(f"{type(error).__name__}: {error}"))

    def wake(self, now_s: float) -> None:
        """Read on, or close a connection that the server has not closed in time."""
        if self._paused:
            self._paused = False
            self._connection.resume()
        elif self._replied_s and now_s >= self._end_by_s:
            self._end(now_s)

    def _connect(self) -> None:
        self.heard_s = self._connecting_s = _clock_s()
        if self._server_closed:
            self._server_closed = False
            self._meter.of(self._turns.due_s).reconnects += 1
        try:
            self._connection.connect()
        except OSError as error:  # whatever prevents a connection
            self._owner.failed(of_the_kernel(error, connecting=True))

    def _try_again(self, error: Exception) -> bool:
        """Send the request again, on a new connection, where a kept one ended just then.

        A server may close at any time, also before it sees the request, and a client cannot tell
        that from a server that gives the request up: RFC 9112 section 9.3.1 allows another try.
        There is one, and it is counted. Return whether.
        """
        kept = self._connecting_s < self._sent_s and self.in_flight and self._reading is None
        ended = isinstance(error, (ConnectionError, TruncatedError)) and not self._replied_s
        if not (kept and ended and self._exchange.repeatable):
            return False
        self._meter.of(self._turns.due_s).retries += 1
        self._end_idle()
        self._connect()
        return True

    def _receive(self) -> None:
        data = self._connection.recv(RECV_BYTES)
        now_s = _clock_s()
        if not self.in_flight:
            self._check_idle(data)
        elif self._replied_s:
            if data:
                raise LeftOverError(f"{len(data)} bytes came after the last reply")
            if self._quiet:
                raise TruncatedError("the server ends a connection that was to be held")
            self._end(now_s)
        elif self._reading is None and data == self._exchange.known:
            self._first_byte_s = now_s
            self.reply_bytes = len(data)
            self._replied(now_s)
        else:
            self._check(data, now_s)

    def _check(self, data: bytes, now_s: float) -> None:
        """Check the next bytes of a reply that is new, or comes in pieces."""
        self.heard_s = now_s
        if not data and self._reading is None:
            ended = TruncatedError("the server closed, expected a reply")
            if self._try_again(ended):
                return
            raise self._connection.failure or ended
        if self._reading is None:
            self._reading = Reading(self._exchange)
            self._first_byte_s = now_s
        reading = self._reading
        complete = reading.take(data)
        self.reply_bytes = reading.reply_bytes
        if complete:
            if reading.stays or self._exchange.closes:
                self._replied(now_s)
            else:
                self._await_end(now_s, ended=not data)
        elif self._read_rate_bytes_per_s is not None:
            self._paused = True
            self._connection.pause()
            self._engine.at(now_s + len(data) / self._read_rate_bytes_per_s, self)

    def _await_end(self, now_s: float, ended: bool) -> None:
        """Give the server time to close: it has announced that this reply is the last."""
        if self._quiet:
            raise TruncatedError("the server ends a connection that was to be held")
        self._replied_s = now_s
        if ended or not self._connection.in_step:  # a server may wait for the rest of the request
            self._end(now_s)
        else:
            self._end_by_s = now_s + END_WAIT_S
            self._engine.at(self._end_by_s, self)

    def _check_idle(self, data: bytes) -> None:
        """Check what comes while no request is in flight: at most the end of the connection."""
        if data:
            raise LeftOverError(f"{len(data)} bytes came without a request")
        if self._quiet:
            raise TruncatedError("the server closed a connection that was to be held")
        self._end_idle()

    def _end_idle(self) -> None:
        """Take the end of a connection that is no fault: the next request connects again."""
        self._disconnect()
        self._server_closed = True

    def _end(self, now_s: float) -> None:
        """Count a request whose reply was its connection's last."""
        self._meter.of(self._turns.due_s).close.add(now_s - self._replied_s)
        self._count()
        self.reset()
        self._server_closed = not self._exchange.closes
        self._owner.succeeded(now_s)

    def _replied(self, now_s: float) -> None:
        self._replied_s = now_s
        if not self._exchange.closes:  # else it is right only if nothing but the end follows
            self._count()
            self.in_flight, self._replied_s, self._reading = False, 0.0, None
            self._owner.succeeded(now_s)

    def _count(self) -> None:
        """Count a request with a right reply."""
        due_s, sent_s, replied_s = self._turns.due_s, self._sent_s, self._replied_s
        tallies = self._meter.of(due_s)
        tallies.requests += 1
        tallies.reply_bytes += self.reply_bytes
        tallies.service_time.add(replied_s - sent_s)
        tallies.first_byte.add(self._first_byte_s - sent_s)
        if self._turns.scheduled:
            tallies.latency.add(replied_s - due_s)

    def _disconnect(self) -> None:
        self._connection.close()
        self._reading = None
        self._replied_s = 0.0
        self._paused = False
