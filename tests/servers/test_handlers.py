"""Handlers that fail: the connection answers 500, or ends."""

import logging
from collections.abc import Iterator

import pytest

from servers.app import App
from servers.process.log import log_handler_failure
from servers.protocol.connection import State
from servers.protocol.http11 import HTTPConnection
from servers.protocol.messages import Handler, Request, Response
from tests.support.conversations import DATE
from tests.support.streams import joined

GET = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"


class Failing(App):
    """Stands in for an application with a mistake in it."""

    def __init__(self) -> None:
        super().__init__(lambda with_pss: b"")

    def find(self, method: bytes, path: bytes) -> Handler | Response:
        return self._fail

    def _fail(self, request: Request) -> Response:
        raise ZeroDivisionError(request.path)


@pytest.mark.parametrize("behind", [b"", GET])
@pytest.mark.parametrize("method", [b"GET", b"HEAD", b"POST"])
def test_a_handler_that_fails_costs_one_connection_and_a_line_in_the_log(
    method: bytes, behind: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    connection = HTTPConnection(Failing(), lambda: DATE, [0] * 8, 100, log_handler_failure)
    with caplog.at_level(logging.ERROR, "servers"):
        steps = list(connection.receive_data(GET.replace(b"GET", method) + behind))
    (answer,) = steps
    assert isinstance(answer, bytes)
    head, _, content = answer.partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 500 Internal Server Error\r\n")
    assert b"\r\nConnection: close" in head
    assert content == (b"" if method == b"HEAD" else b"internal server error\n")
    assert connection.state is State.CLOSED
    assert [record.message for record in caplog.records] == ["handler failed"]


def test_a_body_that_fails_ends_its_connection_where_it_stops(
    caplog: pytest.LogCaptureFixture,
) -> None:
    def pieces() -> Iterator[bytes]:
        yield b"hello"
        raise ZeroDivisionError

    class Breaking(Failing):
        def _fail(self, request: Request) -> Response:
            return Response(200, stream=pieces(), length=10)

    for behind in (b"", GET):
        connection = HTTPConnection(Breaking(), lambda: DATE, [0] * 8, 100, log_handler_failure)
        with caplog.at_level(logging.ERROR, "servers"):
            answer = joined(connection, connection.receive_data(GET + behind))
        assert answer.endswith(b"\r\n\r\nhello") and answer.count(b"HTTP/1.1 ") == 1
        assert connection.state is State.CLOSED
    assert [record.message for record in caplog.records] == ["handler failed"] * 2
