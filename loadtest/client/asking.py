"""One request at a time on a connection that is made when it is needed: sent, read, checked."""

import select
import time

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
)
from loadtest.measure.meter import Meter

RECV_BYTES = 64 * 1024

END_WAIT_S = 0.1
"""For a server to end a connection as it has said it will. It nearly always has by then; if not, we
end it, as RFC 9112 section 9.6 asks of a client. To be the first would cost us its port for a
minute: Linux's TCP_TIMEWAIT_LEN, of which 28,232 are all there are towards one server."""

_clock_s = time.perf_counter


class Asking:
    """What a channel does from when it asks to when a request has ended, well or not.

    It is apart from ``Channel`` only to be read apart: when to ask is said there.
    """

    __slots__ = (
        "_anew", "_asks", "_connecting_s", "_engine", "_exchange", "_first_byte_s", "_free_s",
        "_heard_s", "_meter", "_pipe", "_quiet", "_read_rate_bytes_per_s", "_reading",
        "_replied_s", "_reply_bytes", "_sent_s", "_turns", "_waits_to_read", "_wake_s",
    )  # fmt: skip

    _engine: Engine
    _meter: Meter
    _asks: RequestSource
    _quiet: bool
    _read_rate_bytes_per_s: float | None
    _turns: Turns
    _pipe: Connection
    _exchange: Exchange

    def _begin_new(self) -> None:
        """Be as before the first request."""
        self._wake_s = self._sent_s = NEVER  # the next wake-up; the request in flight
        self._free_s = self._heard_s = self._connecting_s = 0.0
        self._first_byte_s = self._replied_s = 0.0
        self._reply_bytes = 0
        self._reading: Reading | None = None
        self._waits_to_read = False
        self._anew = False  # whether the server has ended the connection before, without a fault

    def _done(self, now_s: float) -> None:
        """Go on after a request whose reply was right."""
        raise NotImplementedError

    def _fail(self, error: ReplyError) -> None:
        """Count what went wrong, and go on."""
        raise NotImplementedError

    def establish(self) -> None:
        """Connect and ask for a first reply."""
        raise NotImplementedError

    def wake(self, now_s: float) -> None:
        """Answer to the time that was asked for."""
        raise NotImplementedError

    def ready(self, events: int) -> None:
        """Connect, send or receive, as far as it goes."""
        pipe = self._pipe
        try:
            if pipe.connecting:
                if pipe.connected():
                    tallies = self._meter.of(self._turns.due_s)
                    tallies.connect.add(_clock_s() - self._connecting_s)
                    pipe.send(self._exchange.request)
                return
            if events & ~select.EPOLLOUT:
                self._receive()  # first: it may be why the server takes no more
            if events & select.EPOLLOUT:
                pipe.send_rest()
        except BlockingIOError:  # woken for nothing
            return
        except OSError as error:  # whatever has become of the connection
            if self._replied_s and not self._exchange.closes:
                self._end(_clock_s())  # a reset is an end, too, of what has had its last reply
            elif self._sent_s == NEVER and not self._quiet:
                self._end_idle()
            elif not self._ask_again(error):
                self._fail(of_the_kernel(error, connecting=pipe.connecting))
        except ReplyError as error:  # counted, by its name
            self._fail(error)
        except Exception as error:  # a fault of a scenario's author must not stop the others
            self._fail(ScenarioError(f"{type(error).__name__}: {error}"))

    def _start(self, due_s: float) -> None:
        self._heard_s = self._sent_s = sent_s = _clock_s()
        if self._turns.scheduled:
            late_s = sent_s - (max(self._free_s, due_s))
            self._meter.of(due_s).lateness.add(late_s)
        try:
            self._exchange = exchange = self._asks.next_exchange()
        except Exception as error:  # a fault of a scenario's author must not stop the others
            self._fail(ScenarioError(f"{type(error).__name__}: {error}"))
            return
        pipe = self._pipe
        if pipe.in_step:
            try:
                pipe.send(exchange.request)
            except OSError as error:  # whatever has become of the connection
                if not self._ask_again(error):
                    self._fail(of_the_kernel(error, connecting=False))
        else:
            if pipe.is_open:  # the rest of the request before would run into this one
                self._end_idle()
            self._connect()

    def _connect(self) -> None:
        self._heard_s = self._connecting_s = _clock_s()
        if self._anew:
            self._anew = False
            self._meter.of(self._turns.due_s).reconnects += 1
        try:
            self._pipe.connect()
        except OSError as error:  # whatever prevents a connection
            self._fail(of_the_kernel(error, connecting=True))

    def _ask_again(self, error: Exception) -> bool:
        """Ask on a new connection where a kept one ended just when the request was sent.

        A server may end a connection at any time, so also before it sees the request, and no
        client can tell that from one that gives up on it: RFC 9112 section 9.3.1 lets it try
        again. It does so once, and it is counted.
        """
        kept = self._connecting_s < self._sent_s != NEVER and self._reading is None
        ended = isinstance(error, (ConnectionError, TruncatedError)) and not self._replied_s
        if not (kept and ended and self._exchange.repeatable):
            return False
        self._meter.of(self._turns.due_s).retries += 1
        self._end_idle()
        self._connect()
        return True

    def _receive(self) -> None:
        data = self._pipe.recv(RECV_BYTES)
        now_s = _clock_s()
        if self._sent_s == NEVER:
            self._take_unasked(data)
        elif self._replied_s:
            self._take_end(data, now_s)
        elif self._reading is None and data == self._exchange.known:
            self._first_byte_s = now_s
            self._reply_bytes = len(data)
            self._replied(now_s)
        else:
            self._check(data, now_s)

    def _check(self, data: bytes, now_s: float) -> None:
        self._heard_s = now_s
        if not data and self._reading is None:
            ended = TruncatedError("the server closed, expected a reply")
            if self._ask_again(ended):
                return
            raise self._pipe.failure or ended
        if self._reading is None:
            self._reading = Reading(self._exchange)
            self._first_byte_s = now_s
        reading = self._reading
        if reading.take(data):
            self._reply_bytes = reading.reply_bytes
            if reading.stays or self._exchange.closes:
                self._replied(now_s)
            else:
                self._await_end(now_s, ended=not data)
        elif self._read_rate_bytes_per_s is not None:
            self._waits_to_read = True
            self._pipe.pause()
            self._engine.at(now_s + len(data) / self._read_rate_bytes_per_s, self)

    def _await_end(self, now_s: float, ended: bool) -> None:
        """Give the server time to end the connection: the reply was its last."""
        if self._quiet:
            raise TruncatedError("the server ends a connection that was to be held")
        self._replied_s = now_s
        if ended or not self._pipe.in_step:  # or it waits for the rest of the request
            self._end(now_s)
        else:
            self._wake_s = now_s + END_WAIT_S
            self._engine.at(self._wake_s, self)

    def _take_unasked(self, data: bytes) -> None:
        if data:
            raise LeftOverError(f"{len(data)} bytes came that nobody had asked for")
        if self._quiet:
            raise TruncatedError("the server closed a connection that was to be held")
        self._end_idle()

    def _end_idle(self) -> None:
        """Take the end of a connection that is no fault: the next request connects anew."""
        self._disconnect()
        self._anew = True

    def _take_end(self, data: bytes, now_s: float) -> None:
        if data:
            raise LeftOverError(f"{len(data)} bytes came after the last reply")
        if self._quiet:
            raise TruncatedError("the server ends a connection that was to be held")
        self._end(now_s)

    def _end(self, now_s: float) -> None:
        """Count a request whose reply was its connection's last."""
        self._meter.of(self._turns.due_s).close.add(now_s - self._replied_s)
        self._count()
        self._disconnect()
        self._anew = not self._exchange.closes
        self._wake_s = NEVER
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

    def _disconnect(self) -> None:
        self._pipe.close()
        self._reading = None
        self._replied_s = 0.0
        self._waits_to_read = False
