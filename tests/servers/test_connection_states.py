"""The states of a connection: the table in the docstring of ``State`` is what connections do."""

import inspect
from collections.abc import Callable, Iterator
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from servers.protocol.connection import Connection, State, Step
from servers.protocol.echo import EchoConnection
from tests.support.streams import GOOD, SIZED, connect, repeatable

Event = Callable[[Connection], Iterator[Step]]
Transitions = set[tuple[State, State]]

CLOSING = GOOD[:-2] + b"Connection: close\r\n\r\n"


def _received(data: bytes) -> Event:
    return lambda connection: connection.receive_data(data)


def _drain(connection: Connection) -> Iterator[Step]:
    connection.drain()
    return iter(())


def _time_out(connection: Connection) -> Iterator[Step]:
    return connection.timed_out()


def _documented() -> tuple[Transitions, dict[State, str]]:
    """Return the transitions and the deadlines that the docstring's table allows."""
    assert State.__doc__ is not None
    _, head, body, *_ = inspect.cleandoc(State.__doc__).split("===\n")
    columns = {name: head.index(name) for name in ("deadline", "next")}
    transitions, deadlines = set(), {}
    for line in body.splitlines():
        name = line[: len("RESPONDING  ")].strip()
        if name in State.__members__:
            state = State[name]
            deadlines[state] = line[columns["deadline"] : columns["next"]].strip()
        for after in line[columns["next"] :].split():
            if after in State.__members__:
                transitions.add((state, State[after]))
    return transitions, deadlines


def _observed(connection: Connection, events: list[Event]) -> Transitions:
    """Return the transitions that events lead to, each event's steps taken to the end."""
    states = [connection.state]
    for event in events:
        steps = event(connection)
        states.append(connection.state)
        states += [connection.state for _ in steps]
        states.append(connection.state)
    return {(old, new) for old, new in pairwise(states) if old is not new}


HTTP: list[list[Event]] = [
    [_received(GOOD), _received(GOOD[:5]), _received(GOOD[5:])],
    [_received(SIZED[:-1]), _received(SIZED[-1:]), _received(CLOSING), _received(GOOD)],
    [_received(GOOD[:5]), _time_out, _time_out],
    [_received(SIZED[:-1]), _received(b"")],
    [_time_out],
    [_received(b"")],
    [_drain, _drain, _received(GOOD)],
    [_drain, _received(b"\r\n"), _received(b"")],
    [_drain, _time_out],
    [_drain, _received(GOOD[:5]), _received(GOOD[5:])],
]

ECHO: list[list[Event]] = [
    [_received(b"hello"), _drain, _received(b"hello"), _received(b"")],
    [_received(b"hello"), _time_out],
    [_drain, _time_out],
]


def test_an_http_connection_does_all_that_the_table_says_and_nothing_else() -> None:
    transitions, _ = _documented()
    assert set().union(*(_observed(connect(), events) for events in HTTP)) == transitions


def test_an_echo_connection_does_nothing_but_what_the_table_says() -> None:
    transitions, _ = _documented()
    observed = set().union(*(_observed(EchoConnection(), events) for events in ECHO))
    requests = {pair for pair in transitions if {State.HEAD, State.BODY} & set(pair)}
    assert observed == transitions - requests - {(State.RESPONDING, State.CLOSED)}


def test_the_table_names_a_deadline_for_every_state() -> None:
    _, deadlines = _documented()
    assert deadlines == {
        State.IDLE: "idle",
        State.HEAD: "header",
        State.BODY: "body",
        State.RESPONDING: "write",
        State.DRAINED: "idle",
        State.CLOSED: "linger",
    }


some_bytes = st.sampled_from([GOOD, SIZED, CLOSING, b"\r\n", b""]).flatmap(
    lambda data: st.integers(0, len(data)).map(lambda length: data[:length])
)


@pytest.mark.parametrize("new", [connect, EchoConnection])
@given(st.lists(some_bytes.map(_received) | st.sampled_from([_drain, _time_out])))
@repeatable
def test_no_order_of_events_leads_beyond_the_table(
    new: Callable[[], Connection], events: list[Event]
) -> None:
    assert _observed(new(), events) <= _documented()[0]


@pytest.mark.parametrize("new", [connect, EchoConnection])
@pytest.mark.parametrize("event", [_drain, _time_out])
def test_a_drain_or_a_time_out_during_a_reply_takes_effect_after_it(
    new: Callable[[], Connection], event: Event
) -> None:
    connection = new()
    steps = connection.receive_data(GOOD)
    next(steps)
    assert list(event(connection)) == []
    assert list(steps) == []
    assert connection.state is (State.DRAINED if event is _drain else State.CLOSED)
