"""The requests in a stream of bytes: each one whole, or the reason it is refused.

A message is read whole before the next one is parsed. Every verdict depends on the bytes alone,
never on where the stream was cut.
"""

from servers import limits
from servers.protocol.body import ChunkedBody, SizedBody
from servers.protocol.connection import State
from servers.protocol.fields import is_valid_so_far
from servers.protocol.head import HeadParser, refuse_incomplete
from servers.protocol.messages import (
    Application,
    Handler,
    Request,
    Response,
    error,
    malformed,
)
from servers.protocol.request_line import asks_for_head, can_become_request_line

_CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"


class RequestReader:
    """Reads one connection's requests.

    Args:
        app: Finds the handler of a request.
        parser: Parses heads and trailers.

    Attributes:
        data: The bytes that have arrived, from the last message on.
        position: Where the unread bytes begin in ``data``.
        empty_lines: How many have been skipped before the next request line.
    """

    __slots__ = ("_app", "_body", "_parser", "_pending", "_scanned", "data", "empty_lines",
                 "position")  # fmt: skip

    def __init__(self, app: Application, parser: HeadParser) -> None:
        self._app = app
        self._parser = parser
        self._body: SizedBody | ChunkedBody | None = None
        self._pending: tuple[Request, Handler | Response] | None = None  # until its body is whole
        self._scanned = 0  # bytes of an unfinished head already checked for control characters
        self.data = b""
        self.position = 0
        self.empty_lines = 0

    def receive(self, data: bytes) -> None:
        """Append the client's next bytes."""
        self.data = self.data + data if self.data else data

    def next_request(self, interim: list[bytes]) -> tuple[Request, Handler | Response] | None:
        """Return the next whole request and its handler, or None: more bytes are needed.

        Args:
            interim: A 100 (Continue) is appended here where the client waits for one.

        Raises:
            Refused: The bytes are no request, or one beyond a limit.
        """
        if self._body is None:
            head = self._next_head()
            if head is None:
                return None
            request, handler = head
            refused = type(handler) is Response
            if not refused and request.expectation not in (b"", b"100-continue"):
                handler = error(417, "the only expectation met is 100-continue")
                refused = True
            if not request.content_length and not request.chunked:
                return request, handler
            if request.expectation:
                if refused:
                    # RFC 9110 section 10.1.1: the client then need not send the body.
                    request.keep_alive = False
                    return request, handler
                if self.position == len(self.data):
                    interim.append(_CONTINUE)
            self._pending = request, handler
            self._body = (
                ChunkedBody(self._parser.body_bytes_max)
                if request.chunked
                else SizedBody(request.content_length)
            )
        self.position = self._body.feed(self.data, self.position)
        if not self._body.complete:
            return None
        assert self._pending is not None
        request, handler = self._pending
        request.content = bytes(self._body.content)
        self._body = self._pending = None
        return request, handler

    def drop_read(self) -> State:
        """Drop the bytes that have been read; return the state that the rest calls for."""
        self.data = self.data[self.position :]
        self.position = 0
        if self._body is not None:
            return State.BODY
        return State.HEAD if self.data else State.IDLE

    def has_begun_head(self) -> bool:
        """Return whether the request that is being read is known to be HEAD."""
        if self._pending is not None:
            return self._pending[0].method == b"HEAD"
        return asks_for_head(self.data, self.position)

    def _next_head(self) -> tuple[Request, Handler | Response] | None:
        data, start = self.data, self.position
        if data[start] == 13:  # CR: perhaps an empty line
            while data.startswith(b"\r\n", start):
                self.empty_lines += 1
                if self.empty_lines > limits.EMPTY_LINES_MAX:
                    raise malformed()
                start = self.position = start + 2
            self._scanned = 0
        end = data.find(b"\r\n\r\n", start, start + limits.HEAD_BYTES_MAX)
        if end < 0:
            self._check_unfinished(data, start)
            return None
        end += 4
        self._scanned = self.empty_lines = 0
        request = self._parser.parse(data[start:end])
        handler = self._app.find(request.method, request.path)
        self.position = end  # not before: has_begun_head() looks there if one of these raises
        return request, handler

    def _check_unfinished(self, data: bytes, start: int) -> None:
        """Refuse bytes that can no longer become a head."""
        begun = data[start : start + limits.HEAD_BYTES_MAX]
        if len(begun) == limits.HEAD_BYTES_MAX:
            raise refuse_incomplete(begun)
        if not (is_valid_so_far(begun[self._scanned :]) and can_become_request_line(begun)):
            raise malformed()
        self._scanned = len(begun) - begun.endswith(b"\r")
