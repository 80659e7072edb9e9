"""HEAD gets no content, whatever the answer is (RFC 9110 section 9.3.2).

Not in a refusal either: a client that asked with HEAD takes what stands behind a reply's head for
the next reply. So it holds from the byte on that makes the method known, which is the space behind
it; before that the method may become another one.
"""

import logging
import re
import threading
from collections.abc import Callable, Iterator

import pytest
from hypothesis import given

from servers import limits
from servers.app import App
from servers.process.log import log_handler_failure
from servers.protocol.connection import State
from servers.protocol.http11 import HTTPConnection
from servers.protocol.messages import Handler, Request, Response
from tests.support.conversations import CORPUS, DATE, Conversation
from tests.support.running import Server, read_to_end
from tests.support.streams import (
    BODY_BYTES_MAX,
    connect,
    cut,
    joined,
    repeatable,
    single_bytes,
    statuses,
    streams,
)

LINE = b"HEAD / HTTP/1.1\r\n"
HEAD = LINE + b"Host: a\r\n"
CHUNKED = HEAD + b"Transfer-Encoding: chunked\r\n\r\n"

REFUSED = {
    "no Host": (LINE + b"\r\n", 400),
    "two Hosts": (HEAD + b"Host: a\r\n\r\n", 400),
    "a bad length": (HEAD + b"Content-Length: x\r\n\r\n", 400),
    "a length and a coding": (
        HEAD + b"Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n",
        400,
    ),
    "a bad chunk": (CHUNKED + b"x\r\n", 400),
    "a bad trailer": (CHUNKED + b"0\r\nHost: a\r\n\r\n", 400),
    "a bad target": (b"HEAD /%% HTTP/1.1\r\nHost: a\r\n\r\n", 400),
    "a fragment": (b"HEAD /# HTTP/1.1\r\nHost: a\r\n\r\n", 400),
    "a control character": (b"HEAD /\0", 400),
    "two spaces": (b"HEAD  / HTTP/1.1\r\n", 400),
    "a bad version": (b"HEAD / HTTP/x", 400),
    "a bad field": (HEAD + b" X: y\r\n\r\n", 400),
    "nothing but the method, then the end": (b"HEAD ", 400),
    "half a line, then the end": (b"HEAD / HT", 400),
    "half a head, then the end": (HEAD, 400),
    "half a body, then the end": (HEAD + b"Content-Length: 5\r\n\r\nhell", 400),
    "half a chunk, then the end": (CHUNKED + b"5\r\nhell", 400),
    "an empty line before it": (b"\r\n" + LINE + b"\r\n", 400),
    "not found": (b"HEAD /nope HTTP/1.1\r\nHost: a\r\n\r\n", 404),
    "not allowed": (b"HEAD /echo HTTP/1.1\r\nHost: a\r\n\r\n", 405),
    "much content": (HEAD + b"Content-Length: 99999999\r\n\r\n", 413),
    "a large chunk": (CHUNKED + b"ffffffff\r\n", 413),
    "long extensions": (CHUNKED + b"1;" + b"a" * 2 * limits.CHUNK_EXTENSION_BYTES_MAX, 413),
    "a long target": (
        b"HEAD /" + b"a" * limits.TARGET_BYTES_MAX + b" HTTP/1.1\r\nHost: a\r\n\r\n",
        414,
    ),
    "an endless target": (b"HEAD /" + b"a" * 2 * limits.HEAD_BYTES_MAX, 414),
    "an unmet expectation": (HEAD + b"Expect: tea\r\n\r\n", 417),
    "an unmet expectation of content": (HEAD + b"Expect: tea\r\nContent-Length: 5\r\n\r\n", 417),
    "another scheme": (b"HEAD https://a/ HTTP/1.1\r\nHost: a\r\n\r\n", 421),
    "an endless field": (HEAD + b"X: " + b"a" * 2 * limits.HEAD_BYTES_MAX, 431),
    "many fields": (HEAD + b"X: y\r\n" * limits.FIELDS_MAX + b"\r\n", 431),
    "long trailers": (CHUNKED + b"0\r\nX: " + b"a" * 2 * limits.HEAD_BYTES_MAX, 431),
    "a bad parameter": (b"HEAD /wait?ms=x HTTP/1.1\r\nHost: a\r\n\r\n", 400),
    "an unknown coding": (HEAD + b"Transfer-Encoding: gzip, chunked\r\n\r\n", 501),
    "another version": (b"HEAD / HTTP/2.0\r\nHost: a\r\n\r\n", 505),
}
"""What is sent, its sending side closed after it, and the status of its only answer."""

each_refusal = pytest.mark.parametrize(("stream", "status"), REFUSED.values(), ids=REFUSED)


def final_reply(answer: bytes) -> bytes:
    return answer.removeprefix(b"HTTP/1.1 100 Continue\r\n\r\n")


def assert_refused_without_content(answer: bytes, status: int) -> None:
    assert statuses(answer) == [status]
    assert re.search(rb"\r\nContent-Length: [1-9]", answer)  # what GET would have got, less content
    assert answer.endswith(b"\r\n\r\n")


@each_refusal
def test_a_refused_head_gets_no_content_however_it_is_cut(stream: bytes, status: int) -> None:
    for parts in ([stream], single_bytes(stream)):
        connection = connect(App(lambda with_pss: b""))
        answer = b""
        for part in [*parts, b""]:
            if connection.state is not State.CLOSED:
                answer += joined(connection, connection.receive_data(part))
        assert_refused_without_content(final_reply(answer), status)


def test_every_model_refuses_head_without_content(server: Server) -> None:
    wrong = {}

    def ask(name: str, stream: bytes, status: int) -> None:
        with server.connect() as sock:
            sock.sendall(stream)
            sock.shutdown(1)
            answer = final_reply(read_to_end(sock))
        try:
            assert_refused_without_content(answer, status)
        except AssertionError:
            wrong[name] = answer

    threads = [
        threading.Thread(target=ask, args=(name, *refused)) for name, refused in REFUSED.items()
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong


@pytest.mark.parametrize(
    "conversation", [c for c in CORPUS if c.sent.startswith(b"POST /echo ")], ids=lambda c: c.name
)
def test_head_is_refused_as_post_is_but_without_content(
    conversation: Conversation,
) -> None:
    stream = b"HEAD" + conversation.sent.removeprefix(b"POST")
    connection = connect(App(lambda with_pss: b""), 1024 * 1024)
    answer = joined(connection, connection.receive_data(stream))
    if connection.state is not State.CLOSED:
        answer += joined(connection, connection.receive_data(b""))
    head, _, behind = final_reply(answer).partition(b"\r\n\r\n")
    assert 400 <= int(head[9:12]) < 600  # /echo knows no HEAD, if nothing worse is the matter
    assert behind == b"" or behind.startswith(b"HTTP/1.1 ")


Ending = Callable[[HTTPConnection], Iterator[bytes]]


@pytest.mark.parametrize(
    ("ending", "status"),
    [(HTTPConnection.timed_out, 408), (lambda connection: connection.receive_data(b""), 400)],
    ids=["time-out", "end"],
)
@pytest.mark.parametrize("before", [b"", b"GET / HTTP/1.1\r\nHost: a\r\n\r\n", b"\r\n"])
@pytest.mark.parametrize(
    "stream",
    [HEAD + b"\r\n", HEAD + b"Content-Length: 5\r\n\r\nhello", CHUNKED + b"5\r\nhello\r\n0\r\n"],
    ids=["no body", "sized", "chunked"],
)
def test_a_cut_request_gets_content_only_before_its_method_is_known(
    stream: bytes, before: bytes, ending: Ending, status: int
) -> None:
    for length in range(1, len(stream)):
        connection = connect()
        joined(connection, connection.receive_data(before + stream[:length]))
        assert connection.state in (State.HEAD, State.BODY)
        answer = joined(connection, ending(connection))
        assert statuses(answer) == [status]
        assert answer.endswith(b"\r\n\r\n") == (length > len(b"HEAD"))


@pytest.mark.parametrize("method", [b"HEA", b"HEADS", b"head", b"GET", b"\r\n\r\n\r\n\r\n\r\nHEAD"])
def test_another_method_than_head_is_refused_with_content(method: bytes) -> None:
    connection = connect()
    answer = joined(connection, connection.receive_data(method + b" / HTTP/2.0\r\n\r\n"))
    assert answer.endswith(b"\n") and not answer.endswith(b"\r\n\r\n")


def test_a_refusal_behind_head_or_before_it_has_its_content() -> None:
    for first, second in ((b"HEAD", b"GET"), (b"GET", b"HEAD")):
        connection = connect()
        stream = b"%b / HTTP/1.1\r\nHost: a\r\n\r\n%b / HTTP/1.1\r\n\r\n" % (first, second)
        head, _, last = joined(connection, connection.receive_data(stream)).partition(
            b"HTTP/1.1 400"
        )
        assert head.startswith(b"HTTP/1.1 200") and head.endswith(b"\r\n\r\n") == (first == b"HEAD")
        assert last.endswith(b"\r\n\r\n") == (second == b"HEAD")


@given(cut(streams()))
@repeatable
def test_chance_finds_no_content_behind_a_refused_head(parts: list[bytes]) -> None:
    connection = connect(body_bytes_max=BODY_BYTES_MAX)
    answer = b""
    for part in [LINE[:5], *parts, b""]:
        if connection.state is not State.CLOSED and (part or answer == b""):
            answer += joined(connection, connection.receive_data(part))
    _, _, behind = final_reply(answer).partition(b"\r\n\r\n")
    assert behind == b"" or behind.startswith(b"HTTP/1.1 ")


def test_a_mistake_while_the_handler_is_looked_for_costs_head_no_content_either(
    caplog: pytest.LogCaptureFixture,
) -> None:
    class Failing(App):
        def find(self, method: bytes, path: bytes) -> Handler | Response:
            return self._fail if path == b"/late" else self._fail(Request(method, path, b""))

        def _fail(self, request: Request) -> Response:
            raise ZeroDivisionError

    for target in (b"/", b"/late"):
        connection = HTTPConnection(
            Failing(lambda with_pss: b""), lambda: DATE, [0] * 8, 100, log_handler_failure
        )
        with caplog.at_level(logging.ERROR, "servers"):
            stream = HEAD.replace(b"/", target, 1) + b"\r\n"
            answer = joined(connection, connection.receive_data(stream))
        assert_refused_without_content(answer, 500)
