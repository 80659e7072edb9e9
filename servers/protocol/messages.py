"""Requests, responses and refusals: what the protocol and the application exchange."""

from collections.abc import Callable, Generator, Iterator
from typing import Protocol, final

from servers.protocol.connection import Wait


class Refused(Exception):
    """Why a request gets an error reply and loses its connection.

    Attributes:
        status: The status code of the reply.
        detail: One fixed sentence for its body; never a byte of the request.
    """

    def __init__(self, status: int, detail: str) -> None:
        super().__init__(status, detail)
        self.status = status
        self.detail = detail


def malformed() -> Refused:
    """Return the refusal of bytes that break the grammar: one sentence for all."""
    return Refused(400, "malformed request")


class Request:
    """A request as the application gets it, its ``content`` whole."""

    http_1_0 = False
    keep_alive = True
    content_length = 0
    chunked = False
    expectation = b""
    content = b""

    def __init__(self, method: bytes, path: bytes, query: bytes) -> None:
        self.method = method
        self.path = path
        self.query = query


class BadParameter(Refused):
    """A parameter beyond its bound: the request was well framed, so the connection stays open."""


REASONS = {
    200: "OK",
    204: "No Content",
    400: "Bad Request",
    404: "Not Found",
    405: "Method Not Allowed",
    408: "Request Timeout",
    413: "Content Too Large",
    414: "URI Too Long",
    417: "Expectation Failed",
    421: "Misdirected Request",
    431: "Request Header Fields Too Large",
    500: "Internal Server Error",
    501: "Not Implemented",
    503: "Service Unavailable",
    505: "HTTP Version Not Supported",
}


@final
class Response:
    """A reply: its head, rendered once except Date and Connection, and its body.

    Args:
        status: A status code of ``REASONS``.
        body: All the content.
        stream: Instead of ``body``: pieces of ``length`` bytes in all, made as they are sent.
        length: The content's length in bytes; None: that of ``body``.
        allow: The Allow field's value, for 405 and OPTIONS.
        yields_after: It took so long to make that the connection yields to others before it
            answers the same client's next request.
    """

    __slots__ = ("body", "head", "status", "stream", "tail", "yields_after")

    def __init__(
        self,
        status: int,
        body: bytes = b"",
        content_type: str = "text/plain",
        stream: Iterator[bytes] | None = None,
        length: int | None = None,
        allow: str = "",
        yields_after: bool = False,
    ) -> None:
        self.yields_after = yields_after
        self.status = status
        self.body = body
        self.stream = stream
        lines = [f"HTTP/1.1 {status} {REASONS[status]}"]
        if allow:
            lines.append(f"Allow: {allow}")
        if status != 204:
            lines.append(f"Content-Type: {content_type}")
            lines.append(f"Content-Length: {len(body) if length is None else length}")
        self.tail = b"\r\n" + body
        self.head = "\r\n".join([*lines, ""]).encode("ascii")


Answer = Response | Generator[Wait, None, Response]
Handler = Callable[[Request], Answer]


class Application(Protocol):
    """The routes, and a handler for each."""

    def find(self, method: bytes, path: bytes) -> Handler | Response:
        """Return the handler of a request, or its reply where no handler is needed."""
        ...


def error(status: int, detail: str, allow: str = "") -> Response:
    """Return an error reply whose body is one fixed sentence."""
    return Response(status, f"{detail}\n".encode("ascii"), allow=allow)
