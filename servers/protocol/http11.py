"""One HTTP/1.1 connection (RFC 9110, RFC 9112): bytes in, replies and waits out.

There are two ways for everything. Nearly every request arrives alone, whole and plain: it takes the
fast way (``HeadParser.parse_fast``, ``_answer_one``). The long way serves all others: requests in
parts, pipelined, with a body, or wrong (``RequestReader``, ``_answer_all``). The two answer alike,
byte for byte; ``tests/servers/test_two_ways.py`` proves it.

Whatever breaks the framing gets one 4xx, and no byte behind it is interpreted.
"""

from collections.abc import Callable, Iterator

from servers import limits
from servers.protocol.connection import REQUEST_ERRORS, REQUESTS, State, Step, Tally, Wait
from servers.protocol.head import HeadParser
from servers.protocol.messages import (
    Application,
    BadParameter,
    Refused,
    Request,
    Response,
    error,
)
from servers.protocol.request_reader import RequestReader

_IDLE, _HEAD, _BODY, _RESPONDING = State.IDLE, State.HEAD, State.BODY, State.RESPONDING
_DRAINED, _CLOSED = State.DRAINED, State.CLOSED
_YIELD = Wait(limits.YIELD_S)

_CLOSE_FIELD = b"Connection: close\r\n"
_KEEP_ALIVE_FIELD = b"Connection: keep-alive\r\n"


class HTTPConnection:
    """One HTTP client. See ``servers.protocol.connection.Connection`` for the contract.

    Args:
        app: Finds the handler of a request.
        date_line: Returns the current Date field line, CRLF included.
        tally: Counts requests and errors.
        body_bytes_max: Largest content accepted, in bytes.
        on_failure: Called with what a handler raised, so that the server can log it. The client
            gets a 500, or loses its connection where a reply has begun.
    """

    __slots__ = (
        "_app",
        "_closing",
        "_date_line",
        "_draining",
        "_on_failure",
        "_parser",
        "_reader",
        "_tally",
        "state",
    )

    def __init__(
        self,
        app: Application,
        date_line: Callable[[], bytes],
        tally: Tally,
        body_bytes_max: int,
        on_failure: Callable[[Exception], None],
    ) -> None:
        self.state = _IDLE
        self._app = app
        self._date_line = date_line
        self._tally = tally
        self._on_failure = on_failure
        self._parser = HeadParser(body_bytes_max)
        self._reader: RequestReader | None = None  # from the first request that takes the long way
        self._draining = False  # only drain() sets it, perhaps from another thread
        self._closing = False  # the reply under way is the last one

    def receive_data(self, data: bytes) -> Iterator[Step]:
        """Take the client's next bytes; return the replies they complete, joined into few steps."""
        if self.state is _IDLE or self.state is _DRAINED:
            request = self._parser.parse_fast(data)
            if request is not None:
                self.state = _RESPONDING
                return self._answer_one(request)
        elif self.state is _RESPONDING or self.state is _CLOSED:
            return iter(())  # bytes behind the last reply are not interpreted
        if not data:
            return self._end_of_stream()
        reader = self._reader
        if reader is None:
            reader = self._reader = RequestReader(self._app, self._parser)
        reader.receive(data)
        self.state = _RESPONDING
        return self._answer_all(reader)

    def _answer_one(self, request: Request) -> Iterator[Step]:
        """Answer a request that arrived alone: the fast way, which the long one must equal."""
        if self._reader is not None:
            self._reader.empty_lines = 0
        try:
            handler = self._app.find(request.method, request.path)
            answer = handler if type(handler) is Response else handler(request)
            response = answer if type(answer) is Response else (yield from answer)
        except Exception as failure:
            response = self._failure(request, failure)
        if response.status < 400 and not self._draining:  # as _render(), without the call
            self._tally[REQUESTS] += 1
            yield response.head + self._date_line() + response.tail
        else:
            yield self._render(request, response)
        if response.stream is not None:
            yield from self._pieces(response.stream)
        if self._closing:
            self._close()
        else:  # as _become_idle(), without the call
            self.state = _IDLE
            if self._draining:
                self.state = _DRAINED

    def _answer_all(self, reader: RequestReader) -> Iterator[Step]:
        """Answer all requests that have arrived whole, in order, with few replies a step."""
        replies: list[bytes] = []
        size = 0
        while reader.position < len(reader.data) and not self._closing:
            request = None
            try:
                whole = reader.next_request(replies)
                if whole is None:
                    break
                request, handler = whole
                answer = handler if type(handler) is Response else handler(request)
                if type(answer) is Response:
                    response = answer
                else:
                    if replies:  # the client need not wait for these
                        yield b"".join(replies)
                        replies.clear()
                        size = 0
                    response = yield from answer
            except Exception as failure:
                response = self._failure(request, failure)
            reply = self._render(request, response)
            replies.append(reply)
            size += len(reply)
            large = response.stream is not None or size >= limits.REPLY_BYTES_JOINED
            if large or response.yields_after:
                yield b"".join(replies)
                replies.clear()
                size = 0
                if response.yields_after and reader.position < len(reader.data):
                    yield _YIELD
                if response.stream is not None and request and request.method != b"HEAD":
                    yield from self._pieces(response.stream)
        if replies:
            yield b"".join(replies)
        self._update_state(reader)

    def _pieces(self, stream: Iterator[bytes]) -> Iterator[Step]:
        """Yield a streamed body; if it fails, the client sees that bytes are missing."""
        try:
            yield from stream
        except Exception as failure:  # a handler's mistake costs one connection only
            self._on_failure(failure)
            self._closing = True

    def timed_out(self) -> Iterator[Step]:
        """Answer an unfinished request with 408, an idle connection with nothing; close."""
        if self.state is _HEAD or self.state is _BODY:
            yield self._error_reply(Refused(408, "the request took too long to arrive"))
        self._close()

    def drain(self) -> None:
        """Make the next reply the last one."""
        self._draining = True
        if self.state is _IDLE:
            self.state = _DRAINED

    def _end_of_stream(self) -> Iterator[Step]:
        if self.state is _HEAD or self.state is _BODY:
            yield self._error_reply(Refused(400, "the request is incomplete"))
        self._close()

    def _error_reply(self, refusal: Refused) -> bytes:
        self.state = _RESPONDING
        return self._render(None, self._failure(None, refusal))

    def _update_state(self, reader: RequestReader) -> None:
        """Enter the state that the bytes behind the last reply call for."""
        state = reader.drop_read()
        if self._closing:
            self._close()
        elif state is _IDLE:
            self._become_idle()
        else:
            self.state = state

    def _become_idle(self) -> None:
        self.state = _IDLE
        if self._draining:  # read after the write above: a drain() before or between is not lost
            self.state = _DRAINED

    def _close(self) -> None:
        self.state = _CLOSED
        self._closing = True
        self._reader = None

    def _failure(self, request: Request | None, failure: Exception) -> Response:
        """Return the reply to a request that was refused, or whose handler failed."""
        if not isinstance(failure, Refused):  # a handler's mistake costs one connection only
            self._on_failure(failure)
            failure = Refused(500, "internal server error")
        if request is None or not isinstance(failure, BadParameter):
            self._closing = True
        response = error(failure.status, failure.detail)
        if request is None:
            assert self._reader is not None
            if self._reader.has_begun_head():
                response.body = b""  # RFC 9110 section 9.3.2: never any content
        return response

    def _render(self, request: Request | None, response: Response) -> bytes:
        """Return the bytes of a reply; the request is None if it could not be read."""
        self._tally[REQUESTS] += 1
        if response.status >= 400:
            self._tally[REQUEST_ERRORS] += 1
        connection = b""
        body = response.body
        if request is None or self._closing:
            connection = _CLOSE_FIELD
        elif not request.keep_alive or (self._draining and not self._has_unread()):
            self._closing = True
            connection = _CLOSE_FIELD
        elif request.http_1_0:
            connection = _KEEP_ALIVE_FIELD
        if request is not None and request.method == b"HEAD":
            body = b""
        return b"%b%b%b\r\n%b" % (response.head, self._date_line(), connection, body)

    def _has_unread(self) -> bool:
        reader = self._reader
        return reader is not None and reader.position < len(reader.data)
