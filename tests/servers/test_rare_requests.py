"""Requests that are rare: each reaches a branch of the protocol that others pass by."""

import pytest

from servers import limits
from servers.app import App
from servers.protocol.connection import State, Wait
from tests.support.conversations import CONTINUE
from tests.support.streams import (
    CHUNKED,
    EXPECTING,
    GOOD,
    SIZED,
    connect,
    joined,
    single_bytes,
    statuses,
    talk,
)

HEAD_OF_HEAD = b"HEAD / HTTP/1.1\r\nHost: a\r\n"


@pytest.mark.parametrize("length", [b"1" + b"0" * 19, b"", b"0" * 30 + b"1" * 20])
def test_a_length_that_is_no_number_or_beyond_19_digits_gets_400(length: bytes) -> None:
    assert statuses(talk([SIZED.replace(b"5", length, 1)]).answer) == [400]


@pytest.mark.parametrize("control", [b"\0", b"\n", b"\r"])
def test_a_control_character_in_a_head_beyond_its_limit_gets_400(control: bytes) -> None:
    filling = b"X: " + b"a" * limits.HEAD_BYTES_MAX
    for stream in (GOOD[:-2] + control + filling, GOOD[:-2] + b"X: " + control + filling):
        assert statuses(talk([stream]).answer) == [400]


def test_empty_lines_are_counted_anew_after_a_plain_request() -> None:
    empty_lines = b"\r\n" * limits.EMPTY_LINES_MAX
    connection = connect()
    for _ in range(3):
        assert joined(connection, connection.receive_data(empty_lines)) == b""
        assert statuses(joined(connection, connection.receive_data(GOOD))) == [200]
    joined(connection, connection.receive_data(empty_lines))
    assert statuses(joined(connection, connection.receive_data(b"\r\n"))) == [400]


def test_a_connection_yields_between_pipelined_replies_that_take_long_to_make() -> None:
    connection = connect(App(lambda with_pss: b""))
    cpu = GOOD.replace(b"/", b"/cpu?n=1", 1)
    steps = list(connection.receive_data(cpu * 3))
    assert [type(step) for step in steps] == [bytes, Wait, bytes, Wait, bytes]


def test_a_refused_head_request_gets_no_content() -> None:
    answer = talk([HEAD_OF_HEAD + b"Host: b\r\n\r\n"]).answer
    assert statuses(answer) == [400] and answer.endswith(b"\r\n\r\n")


def test_a_client_that_expects_100_gets_it_unless_part_of_its_body_has_come() -> None:
    head_end = EXPECTING.index(b"\r\n\r\n") + 4
    for part, interim in ((head_end, CONTINUE), (head_end + 1, b"")):
        connection = connect()
        assert joined(connection, connection.receive_data(EXPECTING[:part])) == interim
        assert connection.state is State.BODY
        assert statuses(joined(connection, connection.receive_data(EXPECTING[part:]))) == [200]


@pytest.mark.parametrize(
    ("body", "status"),
    [
        (b"5;a=b\r\nhello\r\n0\r\n\r\n", 200),
        (b"5\r\nhello\r\n0\r\nX: y\r\n\r\n", 200),
        (b"g", 400),
        (b"5;\0", 400),
        (b"5 ;\0", 400),
        (b"5;" + b"a" * limits.CHUNK_EXTENSION_BYTES_MAX + b"aaaaaaaaaaaaaaaaaaaaaaaaa", 413),
        (b"5\r\nhelloX", 400),
        (b"0\r\nX: \0", 400),
        (b"0\r\nX: " + b"a" * limits.HEAD_BYTES_MAX, 431),
        (b"5;a=\"b\r\n", 400),
    ],
    ids=lambda value: str(value)[:12],
)  # fmt: skip
def test_a_chunk_or_trailer_gets_the_same_verdict_in_single_bytes(body: bytes, status: int) -> None:
    assert statuses(talk([CHUNKED + body]).answer) == [status]
    assert statuses(talk([CHUNKED, *single_bytes(body)]).answer) == [status]


def test_bytes_that_can_no_longer_become_a_head_get_400_before_it_is_whole() -> None:
    for begun in (b"GET  ", b"GET / HTTP/1.1\r\nHost:\0"):
        connection = connect()
        assert statuses(joined(connection, connection.receive_data(begun))) == [400]


def test_a_head_beyond_its_limit_is_refused_for_the_first_limit_that_it_passes() -> None:
    filling = b"X: " + b"a" * limits.HEAD_BYTES_MAX
    target = b"/" + b"a" * limits.TARGET_BYTES_MAX
    assert statuses(talk([GOOD[:-2] + filling]).answer) == [431]
    assert statuses(talk([GOOD[:-2].replace(b"/", target, 1) + b"X: y\r\n" + filling]).answer) == [
        414
    ]
