"""Random streams of bytes, and conversations with them in memory."""

import re
from collections.abc import Generator, Iterable
from dataclasses import dataclass
from itertools import pairwise

from hypothesis import settings
from hypothesis import strategies as st

from servers.app import App
from servers.process.log import log_handler_failure
from servers.protocol.connection import Connection, State, Step, Wait
from servers.protocol.http11 import HTTPConnection
from servers.protocol.messages import Handler, Request, Response
from tests.support.conversations import CONTINUE, CORPUS, DATE

BODY_BYTES_MAX = 200
"""Small, so that chance gets beyond it."""

GOOD = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"
SIZED = b"POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhello"
EXPECTING = SIZED.replace(b"\r\n\r\n", b"\r\nExpect: 100-continue\r\n\r\n")
CHUNKED = b"POST /echo HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n"

repeatable = settings(derandomize=True, deadline=None, database=None, max_examples=400)

# -- streams of bytes ----------------------------------------------------------------------------

SMALL = [conversation.sent for conversation in CORPUS if len(conversation.sent) < 2000]

REQUEST_LINES = [
    b"GET / HTTP/1.1", b"GET /echo HTTP/1.1", b"POST /echo HTTP/1.1", b"HEAD / HTTP/1.1",
    b"OPTIONS * HTTP/1.1", b"OPTIONS http://a HTTP/1.1", b"GET http://a/%2f%252f?b HTTP/1.1",
    b"GET / HTTP/1.0", b"GET / HTTP/2.0", b"CONNECT a:1 HTTP/1.1", b"GET /?b%zz HTTP/1.1",
    b"PUT / HTTP/1.1", b"get / HTTP/1.1", b"GET /wait HTTP/1.1", b"GET /bytes HTTP/1.1",
    b"GET /%C3%A9 HTTP/1.1", b"GET /%C3 HTTP/1.1", b"GET https://a HTTP/1.1",
]  # fmt: skip
FIELD_LINES = [
    b"Host: a", b"host: a", b"HOST:b", b"Host: a, b", b"Host:", b"Host : a", b"Host: [::1]:80",
    b"Host: a:" + b"0" * 5000, b"Content-Length: 5", b"content-length:0", b"Content-Length: 5, 5",
    b"Content-Length: +5", b"Content-Length: 00", b"Content-Length:", b"Content_Length: 5",
    b"Content-Length: 5\t", b"Content-Length: 18446744073709551616", b"Content-Length: 201",
    b"Transfer-Encoding: chunked", b"transfer-encoding:\tChunked ", b"Transfer-Encoding: gzip",
    b"Transfer-Encoding: identity", b"Transfer-Encoding: gzip, chunked", b"Transfer-Encoding:",
    b"Transfer-Encoding: chunked, chunked", b"Transfer-Encoding: ,chunked", b"TE: trailers",
    b"Connection: close", b"Connection: keep-alive", b"connection: Upgrade, close",
    b"Connection: upgrade", b"Connection: Transfer-Encoding", b"Proxy-Connection: close",
    b"Upgrade: h2c", b"Upgrade: websocket", b"upgrade:", b"HTTP2-Settings: AAMAAABkAAQAAP__",
    b"Expect: 100-continue", b"expect: 100-Continue", b"Expect: 100-", b"Expect: continue",
    b"Expect: x", b"Expect:", b"Accept: */*", b"User-Agent:", b"Cookie: a=b", b"X", b"X: ", b": y",
    b"X: \xff", b"X: a\tb", b" X: folded", b"X: a\x0bb", b"X: " + b"a" * 8192, b"Trailer: x",
    b"Host: a:" + b"9" * 5000, b"Connection: close,", b"Connection: ,,close", b"Host: [::1",
]  # fmt: skip
BODIES = [
    b"", b"hello", b"0\r\n\r\n", b"5\r\nhello\r\n0\r\n\r\n", b"5\r\nhello0\r\n\r\n", b"\r\n",
    b"5;a=b\r\nhello\r\n0;c\r\nX: y\r\n\r\n", b"005\r\nhello\r\n00\r\n\r\n", b"F" * 17 + b"\r\n",
    b"5 ; a = \"\\\"\"\r\nhello\r\n0\r\n\r\n", b"0\r\nHost: a\r\n\r\n", b"5\r\nhello\r\n0\r\n",
    b"0\r\n\r\nGET /smuggled HTTP/1.1\r\n", b"C9\r\n" + b"x" * 201 + b"\r\n0\r\n\r\n",
    b"1;" + b"a" * 16384 + b"\r\nx\r\n0\r\n\r\n", b"0\r\nX: y\r\n X: z\r\n\r\n",
]  # fmt: skip
SNIPPETS = [
    b"", b"\r", b"\n", b"\r\n", b"\r\n\r\n", b"\0", b" ", b"\t", b":", b";", b",", b"0", b"#", b"%",
    b"\x7f", b"\x80", b"\xff", b"\r\n ", GOOD, CHUNKED, *(line + b"\r\n" for line in FIELD_LINES),
]  # fmt: skip


@st.composite
def assembled(draw: st.DrawFn) -> bytes:
    """A request put together from parts, each right or wrong by itself."""
    lines = [draw(st.sampled_from(REQUEST_LINES))]
    lines += draw(st.lists(st.sampled_from(FIELD_LINES), max_size=4))
    if draw(st.booleans()):
        lines.insert(draw(st.integers(1, len(lines))), b"Host: a")
    body = draw(st.sampled_from(BODIES))
    framing = [b"Content-Length: %d" % len(body), b"Transfer-Encoding: chunked"]
    lines += draw(st.lists(st.sampled_from(framing), max_size=1))
    return b"\r\n".join([*lines, b"", body])


@st.composite
def right(draw: st.DrawFn) -> bytes:
    """A correct request, so that requests behind it are parsed, too."""
    line = draw(st.sampled_from([b"POST /echo HTTP/1.1", b"GET / HTTP/1.1", b"HEAD /?a HTTP/1.1"]))
    head = [line, b"Host: a", *draw(st.lists(st.sampled_from([b"X: y", b"Accept:"]), max_size=2))]
    kind = draw(st.sampled_from(["none", "sized", "chunked"]))
    chunks = draw(st.lists(st.sampled_from([b"h", b"hello", b"\r\n", b"0\r\n\r\n"]), max_size=3))
    body = b"".join(chunks) if kind == "sized" else b""
    if kind == "sized":
        head.append(b"Content-Length: %d" % len(body))
    elif kind == "chunked":
        head.append(b"Transfer-Encoding: chunked")
        extension = draw(st.sampled_from([b"", b";a", b' ; a="b"']))
        parts = [b"%X%b\r\n%b\r\n" % (len(chunk), extension, chunk) for chunk in chunks]
        trailers = draw(st.lists(st.just(b"X: y\r\n"), max_size=2))
        body = b"".join([*parts, b"0\r\n", *trailers, b"\r\n"])
    return b"\r\n".join([*head, b"", body])


@st.composite
def mutated(draw: st.DrawFn, streams: st.SearchStrategy[bytes]) -> bytes:
    """A stream in which, at a few places, bytes are deleted, inserted, replaced or doubled."""
    stream = draw(streams)
    for _ in range(draw(st.integers(0, 3))):
        start = draw(st.integers(0, len(stream)))
        end = min(len(stream), start + draw(st.integers(0, 10)))
        new = draw(st.sampled_from(SNIPPETS) | st.binary(min_size=1, max_size=1))
        if draw(st.booleans()):
            new += stream[start:end]
        stream = stream[:start] + new + stream[end:]
    return stream


@st.composite
def spliced(draw: st.DrawFn, streams: st.SearchStrategy[bytes]) -> bytes:
    """The start of one stream, then the end of another."""
    first, second = draw(streams), draw(streams)
    return first[: draw(st.integers(0, len(first)))] + second[draw(st.integers(0, len(second))) :]


def streams() -> st.SearchStrategy[bytes]:
    """What a hostile or a broken client might send."""
    one = st.sampled_from(SMALL) | assembled()
    some = st.lists(right(), min_size=1, max_size=3).map(b"".join)
    return mutated(st.lists(one, min_size=1, max_size=3).map(b"".join)) | spliced(one) | some


@st.composite
def cut(draw: st.DrawFn, streams: st.SearchStrategy[bytes]) -> list[bytes]:
    """A stream as it may arrive: in pieces, or byte by byte."""
    stream = draw(streams)
    where = draw(st.sampled_from(["anywhere", "at lines", "everywhere"]))
    if where == "anywhere":
        points = set(draw(st.lists(st.integers(0, len(stream)), max_size=6)))
    elif where == "at lines":  # where a line ends is where most decisions are made
        lines = [at for at in range(len(stream)) if stream[at : at + 1] in b"\r\n"]
        points = set(draw(st.lists(st.sampled_from([0, *lines]), max_size=20)))
    else:
        points = set(range(min(len(stream), 400)))
    return split(stream, points)


def split(stream: bytes, points: Iterable[int]) -> list[bytes]:
    """Cut a stream at the points."""
    ends = sorted({0, len(stream), *points})
    return [stream[start:end] for start, end in pairwise(ends)]


def single_bytes(stream: bytes) -> list[bytes]:
    """Cut a stream everywhere."""
    return split(stream, range(len(stream)))


# -- conversations -------------------------------------------------------------------------------


class Mirror(App):
    """An application that answers with the request, and computes nothing."""

    def __init__(self) -> None:
        super().__init__(lambda with_pss: b"")
        self.asked = 0

    def find(self, method: bytes, path: bytes) -> Handler | Response:
        self.asked += 1
        found = super().find(method, path)
        if isinstance(found, Response):
            return found
        handlers: dict[bytes, Handler] = {b"/wait": _wait, b"/bytes": _stream}
        return handlers.get(path, _mirror)


def _mirror(request: Request) -> Response:
    asked = (request.method, request.path, request.query, request.content)
    return Response(200, repr(asked).encode("ascii"))


def _wait(request: Request) -> Generator[Wait, None, Response]:
    yield Wait(0)
    return _mirror(request)


def _stream(request: Request) -> Response:
    return Response(200, stream=iter([b"piece", b"by", b"piece"]), length=12)


def connect(app: App | None = None, body_bytes_max: int = BODY_BYTES_MAX) -> HTTPConnection:
    """Return a connection with a stopped clock, by default to a mirror."""
    return HTTPConnection(
        app or Mirror(), lambda: DATE, [0] * 8, body_bytes_max, log_handler_failure
    )


def joined(connection: Connection, steps: Iterable[Step]) -> bytes:
    """Take all steps, as a model does, and return what they send."""
    sent = bytearray()
    for step in steps:
        assert connection.state is State.RESPONDING
        if not isinstance(step, Wait):
            sent += step
    return bytes(sent)


def split_answer(answer: bytes) -> list[bytes]:
    """Split an answer into replies. No body contains what looks like a status line."""
    return re.split(rb"(?=HTTP/1\.1 [0-9]{3} [A-Z])", answer)[1:]


def statuses(answer: bytes) -> list[int]:
    return [int(reply[9:12]) for reply in split_answer(answer)]


@dataclass(frozen=True)
class Talk:
    """The answer to a stream, which side closed, and the requests that the application received."""

    answer: bytes
    closed_by_server: bool
    asked: int


def talk(parts: Iterable[bytes]) -> Talk:
    """Send the parts of a stream and, if the server has not closed before, the end of it.

    Interim answers are left out: whether one is still of use depends on how much of the body came
    with the head.
    """
    mirror = Mirror()
    connection = connect(mirror)
    answer = b""
    for part in parts:
        answer += joined(connection, connection.receive_data(part)) if part else b""
        if connection.state is State.CLOSED:
            break
        assert connection.state is not State.RESPONDING
    closed_by_server = connection.state is State.CLOSED
    if not closed_by_server:
        answer += joined(connection, connection.receive_data(b""))
    assert connection.state is State.CLOSED
    # No handler here fails, so a 500 would be an exception that a peer has called forth.
    assert b"internal server error" not in answer
    return Talk(answer.replace(CONTINUE, b""), closed_by_server, mirror.asked)
