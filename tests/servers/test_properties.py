"""Properties of any input, however it is cut and whenever the server stops."""

from collections.abc import Callable, Iterator
from itertools import accumulate

import pytest
from hypothesis import assume, example, given, settings
from hypothesis import strategies as st

from servers.protocol.connection import State, Step, Wait
from servers.protocol.echo import EchoConnection
from servers.protocol.http11 import HTTPConnection
from tests.support.streams import (
    CHUNKED,
    EXPECTING,
    GOOD,
    SIZED,
    SMALL,
    Mirror,
    Talk,
    assembled,
    connect,
    cut,
    joined,
    repeatable,
    single_bytes,
    split_answer,
    statuses,
    streams,
    talk,
)

TRAILED = CHUNKED + b'5;a="b c"\r\nhello\r\n0;d\r\nX: y\r\n\r\n'
WAITING = GOOD.replace(b"/", b"/wait", 1)
CLOSE = b"\r\nConnection: close\r\n"

# -- cuts, and the end of a connection -----------------------------------------------------------


@given(cut(streams()))
@example([b"GET / HTTP/1.1\r\nHost: a:" + b"0" * 5000 + b"\r\n\r\n"])  # int() takes 4300 digits
@repeatable
def test_the_answer_does_not_depend_on_the_cuts(parts: list[bytes]) -> None:
    assert talk(parts) == talk([b"".join(parts)])


@given(streams())
@settings(repeatable, max_examples=200)
def test_the_answer_is_the_same_byte_by_byte(stream: bytes) -> None:
    assert talk(single_bytes(stream)) == talk([stream])


@given(cut(st.binary(max_size=100)))
@repeatable
def test_noise_gets_400_or_was_but_empty_lines(parts: list[bytes]) -> None:
    noise = b"".join(parts)
    assume(b"HTTP/" not in noise)  # Hypothesis also tries literals of the sources
    assert (got := talk(parts)) == talk([noise]) and got.asked == 0
    assert statuses(got.answer) == [400] or (not noise.replace(b"\r\n", b"") and not got.answer)


@given(streams())
@repeatable
def test_nothing_behind_a_close_is_answered_or_looked_at(stream: bytes) -> None:
    got = talk([stream])
    replies = split_answer(got.answer)
    assert not any(CLOSE in reply for reply in replies[:-1])
    if got.closed_by_server:
        assert CLOSE in replies[-1]
        assert talk([stream + GOOD]) == got
        assert talk([stream, GOOD]) == got


@given(cut(streams()), st.binary())
@repeatable
def test_a_closed_connection_stays_closed_and_silent(parts: list[bytes], late: bytes) -> None:
    mirror = Mirror()
    connection = connect(mirror)
    for part in [*parts, b""]:
        if connection.state is not State.CLOSED:
            joined(connection, connection.receive_data(part))
    asked = mirror.asked
    for data in (GOOD, late, b""):
        assert list(connection.receive_data(data)) == []
    assert list(connection.timed_out()) == []
    connection.drain()
    assert list(connection.receive_data(GOOD)) == []
    assert connection.state is State.CLOSED
    assert mirror.asked == asked


@given(st.lists(st.sampled_from(SMALL) | assembled() | st.just(GOOD), max_size=4), streams())
@example([GOOD[:-2] + b"Accept: b\r\n\r\n"], GOOD.replace(b"a", b"a\r\nHost: a"))
@repeatable
def test_earlier_requests_change_no_verdict(before: list[bytes], stream: bytes) -> None:
    # The parser of plain heads is reused: it must keep nothing.
    before = list(filter(is_over_and_open, before))
    got = [talk([one]) for one in [*before, stream]]
    assert talk([*before, stream]) == Talk(
        b"".join(one.answer for one in got),
        got[-1].closed_by_server,
        sum(one.asked for one in got),
    )


def is_over_and_open(stream: bytes) -> bool:
    """Return whether the whole stream is answered and another request may follow."""
    connection = connect()
    joined(connection, connection.receive_data(stream))
    reader = connection._reader
    return connection.state is State.IDLE and (reader is None or not reader.empty_lines)


# -- what is missing in the end --------------------------------------------------------------------


@given(cut(streams()), st.integers(0, 20), st.booleans())
@repeatable
def test_at_any_moment_a_time_out_is_answered_with_408_or_nothing_was_begun(
    parts: list[bytes], moment: int, by_the_peer: bool
) -> None:
    connection = connect()
    for part in parts[:moment]:
        joined(connection, connection.receive_data(part)) if part else None
    begun = connection.state in (State.HEAD, State.BODY)
    end = connection.receive_data(b"") if by_the_peer else connection.timed_out()
    last_words = joined(connection, end)
    assert statuses(last_words) == ([400 if by_the_peer else 408] if begun else [])
    assert last_words.count(CLOSE) == begun
    assert connection.state is State.CLOSED


@pytest.mark.parametrize("drained", [False, True], ids=["", "drained"])
@pytest.mark.parametrize("before", [[], [GOOD], [WAITING + SIZED]], ids=["first", "2nd", "3rd"])
@pytest.mark.parametrize(
    "request_bytes",
    [GOOD, b"\r\n" + GOOD, SIZED, EXPECTING, TRAILED, GOOD.replace(b"/", b"http://a/?", 1)],
    ids=["GET", "empty line", "sized", "expecting", "chunked", "absolute"],
)
def test_a_request_that_stops_half_way_gets_408_in_time_and_400_at_the_end_of_the_stream(
    request_bytes: bytes, before: list[bytes], drained: bool
) -> None:
    head_end = request_bytes.index(b"\r\n\r\n") + 4
    for length in range(1, len(request_bytes)):
        for arrival in ([request_bytes[:length]], single_bytes(request_bytes[:length])):
            for status in (408, 400):
                connection = connect()
                for part in [*before, *arrival]:
                    joined(connection, connection.receive_data(part))
                if request_bytes[:length] == b"\r\n":
                    assert connection.state is State.IDLE
                    continue
                if drained:
                    connection.drain()
                state = connection.state
                assert state is (State.HEAD, State.BODY)[length >= head_end]
                end = connection.timed_out() if status == 408 else connection.receive_data(b"")
                answer = joined(connection, end)
                assert statuses(answer) == [status]
                assert CLOSE in answer
                assert connection.state is State.CLOSED


# -- the server's own moments ----------------------------------------------------------------------

Happening = Callable[[HTTPConnection], Iterator[Step]]


def _received(data: bytes) -> Happening:
    return lambda connection: connection.receive_data(data)


def _drained(connection: HTTPConnection) -> Iterator[Step]:
    connection.drain()
    return iter(())


@given(
    st.lists(
        (streams() | st.just(GOOD)).map(_received)
        | st.sampled_from([HTTPConnection.timed_out, _drained])
    ),
    st.integers(0, 4),
)
@repeatable
def test_no_moment_is_too_odd_to_drain_or_to_time_out(
    happenings: list[Happening], drained_at_step: int
) -> None:
    connection = connect()
    drained = False
    for happening in happenings:
        was_closed = connection.state is State.CLOSED
        for number, _ in enumerate(happening(connection)):
            assert connection.state is State.RESPONDING
            if number == drained_at_step:
                connection.drain()
                drained = True
        drained |= happening is _drained
        assert connection.state is State.CLOSED or not was_closed
        idle = State.DRAINED if drained else State.IDLE
        assert connection.state in {idle, State.HEAD, State.BODY, State.CLOSED}


@given(
    st.lists(st.sampled_from([GOOD, WAITING, SIZED, TRAILED]), min_size=1, max_size=4), st.data()
)
@repeatable
def test_a_drained_connection_answers_the_begun_request_and_no_more(
    requests: list[bytes], data: st.DataObject
) -> None:
    parts = data.draw(cut(st.just(b"".join(requests))))
    moment = data.draw(st.integers(0, len(parts)))
    connection = connect()
    answer = b""
    for part in parts[:moment]:
        answer += joined(connection, connection.receive_data(part))
    answered_before = len(statuses(answer))
    connection.drain()
    for part in parts[moment:]:
        if connection.state in (State.DRAINED, State.CLOSED):
            break
        answer += joined(connection, connection.receive_data(part))

    # It is over as soon as all that has arrived is answered, be it now or with some later part.
    ends = [0, *accumulate(map(len, requests))]
    arrived = [0, *accumulate(map(len, parts))]
    last = ends.index(next(end for end in arrived[moment:] if end in ends))
    assert connection.state is (State.CLOSED if last > answered_before else State.DRAINED)
    replies = split_answer(answer)
    assert [CLOSE in reply for reply in replies] == [
        number == last and last > answered_before for number in range(1, last + 1)
    ]
    assert talk(requests).answer.startswith(answer.replace(CLOSE, b"\r\n"))


@pytest.mark.parametrize("behind", [b"", GOOD, GOOD + SIZED], ids=["", "1 behind", "2 behind"])
@pytest.mark.parametrize("before", [[], [GOOD], [TRAILED]], ids=["first", "usual", "chunked"])
def test_the_last_reply_before_a_drained_connection_closes_has_connection_close(
    before: list[bytes], behind: bytes
) -> None:
    connection = connect()
    for part in before:
        joined(connection, connection.receive_data(part))
    steps = connection.receive_data(WAITING + behind)
    assert next(steps) == Wait(0)
    connection.drain()
    replies = split_answer(joined(connection, steps))
    assert len(replies) == 1 + behind.count(b" HTTP/1.1")
    assert [CLOSE in reply for reply in replies] == [False] * (len(replies) - 1) + [True]
    assert connection.state is State.CLOSED


@pytest.mark.parametrize("behind", [b"", GOOD], ids=["", "1 behind"])
@pytest.mark.parametrize(
    "late",
    [GOOD, GOOD.replace(b"GET", b"HEAD"), SIZED, TRAILED],
    ids=["GET", "HEAD", "5", "chunked"],
)
def test_any_bytes_that_arrive_while_an_idle_connection_drains_are_answered(
    late: bytes, behind: bytes
) -> None:
    # A blocking model may be woken by it after drain(): recv() returns what had arrived before.
    connection = connect()
    connection.drain()
    answer = joined(connection, connection.receive_data(late + behind))
    assert statuses(answer) == [200] * (1 + bool(behind))
    assert connection.state is State.CLOSED


# -- echo ----------------------------------------------------------------------------------------


@given(st.lists(st.binary(min_size=1)))
@repeatable
def test_echo_returns_the_bytes_that_came_and_ends_when_the_peer_does(parts: list[bytes]) -> None:
    connection = EchoConnection()
    for part in parts:
        assert connection.state is State.IDLE
        assert joined(connection, connection.receive_data(part)) == part
        assert connection.state is State.IDLE
    assert list(connection.receive_data(b"")) == []
    assert connection.state is State.CLOSED


@pytest.mark.parametrize("over", [EchoConnection.drain, EchoConnection.timed_out])
@given(parts=st.lists(st.binary(min_size=1), min_size=1))
@settings(repeatable, max_examples=50)
def test_echo_still_returns_bytes_under_way_at_its_end(
    over: Callable[[EchoConnection], Iterator[Step] | None], parts: list[bytes]
) -> None:
    connection = EchoConnection()
    for part in parts[:-1]:
        joined(connection, connection.receive_data(part))
    steps = connection.receive_data(parts[-1])
    assert next(steps) == parts[-1]
    assert not list(over(connection) or ())
    assert list(steps) == []
    drained = over is EchoConnection.drain
    assert connection.state is (State.DRAINED if drained else State.CLOSED)
