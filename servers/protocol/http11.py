"""One HTTP/1.1 connection (RFC 9110, RFC 9112): bytes in, replies and waits out.

A message is read whole, then answered, then the next one is looked at, so that nothing is parsed
before its turn. Whatever breaks the framing gets one 4xx, and no byte behind it is interpreted.
Every verdict depends on the bytes alone, never on where the stream was cut.
"""

import logging
from collections.abc import Callable, Iterator

from servers import limits
from servers.protocol.body import ChunkedBody, SizedBody
from servers.protocol.connection import REQUEST_ERRORS, REQUESTS, State, Step, Tally, Wait
from servers.protocol.head import HeadParser, valid_so_far
from servers.protocol.messages import (
    Application,
    BadParameter,
    Handler,
    Refused,
    Request,
    Response,
    error,
    malformed,
)
from servers.protocol.request_line import asks_for_head, request_line_may_follow

_IDLE, _HEAD, _BODY, _RESPONDING = State.IDLE, State.HEAD, State.BODY, State.RESPONDING
_DRAINED, _CLOSED = State.DRAINED, State.CLOSED
_OTHERS_FIRST = Wait(limits.YIELD_S)

_CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"
_CLOSE_FIELD = b"Connection: close\r\n"
_KEEP_ALIVE_FIELD = b"Connection: keep-alive\r\n"

_log = logging.getLogger("servers")


class HTTPConnection:
    """One HTTP client. See ``servers.protocol.connection.Connection`` for the contract.

    Args:
        app: Finds who answers a request.
        date_line: Returns the current Date field line, CRLF included.
        tally: Where requests and errors are counted.
        body_bytes_max: Largest content taken, in bytes.
    """

    __slots__ = (
        "_app",
        "_body",
        "_body_bytes_max",
        "_closing",
        "_data",
        "_date_line",
        "_draining",
        "_empty_lines",
        "_handler",
        "_parser",
        "_position",
        "_request",
        "_scanned",
        "_tally",
        "state",
    )

    def __init__(
        self, app: Application, date_line: Callable[[], bytes], tally: Tally, body_bytes_max: int
    ) -> None:
        self.state = _IDLE
        self._app = app
        self._date_line = date_line
        self._tally = tally
        self._body_bytes_max = body_bytes_max
        self._parser = HeadParser(body_bytes_max)
        self._data = b""  # what has come and is not used up: from _position on
        self._position = 0
        self._scanned = 0  # bytes of an unfinished head already found free of controls
        self._empty_lines = 0
        self._request: Request | None = None  # its body is under way
        self._body: SizedBody | ChunkedBody | None = None
        self._handler: Handler | Response | None = None
        self._draining = False  # set by drain() alone, which another thread may call
        self._closing = False  # the reply under way is the last one

    def receive_data(self, data: bytes) -> Iterator[Step]:
        """Take the peer's next bytes; return the replies they complete, joined into few steps."""
        state = self.state
        if state is _IDLE or state is _DRAINED:
            request = self._parser.parse_usual(data)
            if request is not None:
                self.state = _RESPONDING
                return self._answer_one(request)
        elif state is _RESPONDING or state is _CLOSED:
            return iter(())  # what comes after the last reply is not interpreted
        if not data:
            return self._end_of_stream()
        self._data = self._data + data if self._data else data
        self.state = _RESPONDING
        return self._answer_all()

    def _answer_one(self, request: Request) -> Iterator[Step]:
        """Answer the one request there is: what all the rest of this class comes down to."""
        self._empty_lines = 0
        try:
            handler = self._app.find(request.method, request.path)
            answer = handler if type(handler) is Response else handler(request)
            response = answer if type(answer) is Response else (yield from answer)
        except Exception as failure:
            response = self._failure(request, failure)
        if response.status < 400 and not self._draining:  # and nothing else is to be said
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

    def _answer_all(self) -> Iterator[Step]:
        """Answer the requests that are there whole, one after the other, few replies a step."""
        replies: list[bytes] = []
        size = 0
        while self._position < len(self._data) and not self._closing:
            request = None
            try:
                request = self._next_request(replies)
                if request is None:
                    break
                handler = self._handler
                assert handler is not None
                answer = handler if type(handler) is Response else handler(request)
                if type(answer) is Response:
                    response = answer
                else:
                    if replies:  # the peer need not wait for these
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
            if large or response.costly:
                yield b"".join(replies)
                replies.clear()
                size = 0
                if response.costly and self._position < len(self._data):
                    yield _OTHERS_FIRST
                if response.stream is not None and request and request.method != b"HEAD":
                    yield from self._pieces(response.stream)
        if replies:
            yield b"".join(replies)
        self._update_state()

    def _pieces(self, stream: Iterator[bytes]) -> Iterator[Step]:
        """Give out a body; what is missing of one that fails is to be seen from its length."""
        try:
            yield from stream
        except Exception:  # a handler's mistake costs one connection only
            _log.exception("handler failed")
            self._closing = True

    def timed_out(self) -> Iterator[Step]:
        """Answer a request that was begun with 408, an idle connection with nothing; close."""
        if self.state is _HEAD or self.state is _BODY:
            yield self._error_reply(Refused(408, "the request took too long to arrive"))
        self._close()

    def drain(self) -> None:
        """Let the next reply be the last one."""
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

    def _update_state(self) -> None:
        """Drop the bytes that are used up, and enter the state that what is left calls for."""
        self._data = self._data[self._position :]
        self._position = 0
        if self._closing:
            self._close()
        elif self._body is not None:
            self.state = _BODY
        elif self._data:
            self.state = _HEAD
        else:
            self._become_idle()

    def _become_idle(self) -> None:
        self.state = _IDLE
        if self._draining:  # asked last: a drain() at any moment before counts
            self.state = _DRAINED

    def _close(self) -> None:
        self.state = _CLOSED
        self._closing = True
        self._data = b""
        self._body = None

    def _next_request(self, replies: list[bytes]) -> Request | None:
        """Return the next request that is there whole, or None: more bytes are needed."""
        if self._body is None:
            request = self._next_head()
            if request is None:
                return None
            wanted = type(self._handler) is not Response
            if wanted and request.expectation not in (b"", b"100-continue"):
                self._handler = error(417, "the only expectation met is 100-continue")
            if not request.content_length and not request.chunked:
                return request
            if request.expectation:
                if type(self._handler) is Response:
                    # RFC 9110 section 10.1.1: no body is wanted, so none is waited for.
                    request.keep_alive = False
                    return request
                if self._position == len(self._data):
                    replies.append(_CONTINUE)
            self._request = request
            self._body = (
                ChunkedBody(self._parser, self._body_bytes_max)
                if request.chunked
                else SizedBody(request.content_length)
            )
        self._position = self._body.feed(self._data, self._position)
        if not self._body.complete:
            return None
        request, self._request = self._request, None
        assert request is not None
        request.content = bytes(self._body.content)
        self._body = None
        return request

    def _next_head(self) -> Request | None:
        data, start = self._data, self._position
        if data[start] == 13:  # CR: an empty line, it seems
            while data.startswith(b"\r\n", start):
                self._empty_lines += 1
                if self._empty_lines > limits.EMPTY_LINES_MAX:
                    raise malformed()
                start = self._position = start + 2
            self._scanned = 0
        end = data.find(b"\r\n\r\n", start, start + limits.HEAD_BYTES_MAX)
        if end < 0:
            self._check_unfinished(data, start)
            return None
        end += 4
        self._scanned = self._empty_lines = 0
        request = self._parser.parse(data[start:end])
        self._handler = self._app.find(request.method, request.path)
        self._position = end  # only now: a refusal looks there for the method
        return request

    def _check_unfinished(self, data: bytes, start: int) -> None:
        """Refuse what can no longer become a head; else wait for the rest of it."""
        begun = data[start : start + limits.HEAD_BYTES_MAX]
        if len(begun) == limits.HEAD_BYTES_MAX:
            raise self._parser.refuse_incomplete(begun)
        if not (valid_so_far(begun[self._scanned :]) and request_line_may_follow(begun)):
            raise malformed()
        self._scanned = len(begun) - begun.endswith(b"\r")

    def _failure(self, request: Request | None, failure: Exception) -> Response:
        """Return the answer to a request that could not be read or that its handler failed at."""
        if not isinstance(failure, Refused):  # a handler's mistake costs one connection only
            _log.error("handler failed", exc_info=failure)
            failure = Refused(500, "internal server error")
        if request is None or not isinstance(failure, BadParameter):
            self._closing = True
        response = error(failure.status, failure.detail)
        if request is None:
            begun = self._request  # its body is under way; or there is not even a head
            if begun.method == b"HEAD" if begun else asks_for_head(self._data, self._position):
                response.body = b""  # RFC 9110 section 9.3.2: never any content
        return response

    def _render(self, request: Request | None, response: Response) -> bytes:
        """Return the bytes of a reply; None for the request: it could not be read."""
        self._tally[REQUESTS] += 1
        if response.status >= 400:
            self._tally[REQUEST_ERRORS] += 1
        connection = b""
        body = response.body
        if request is None or self._closing:
            connection = _CLOSE_FIELD
        else:
            if not request.keep_alive or (self._draining and self._position == len(self._data)):
                self._closing = True
                connection = _CLOSE_FIELD
            elif request.http_1_0:
                connection = _KEEP_ALIVE_FIELD
        if request is not None and request.method == b"HEAD":
            body = b""
        return b"%b%b%b\r\n%b" % (response.head, self._date_line(), connection, body)
