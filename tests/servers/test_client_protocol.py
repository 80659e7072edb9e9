"""The callback adapter's states: each event in each state, on a loop and a transport made here."""

from collections.abc import Callable, Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from servers import limits
from servers.protocol.connection import RECEIVED_BYTES, SENT_BYTES, Step
from servers.waiting.client_protocol import (
    BLOCKED,
    CLOSED,
    CLOSING,
    READING,
    STARTING,
    WAITING,
    YIELDING,
    ClientState,
)
from tests.support.callback_client import LARGE, World, reply_to
from tests.support.streams import repeatable

EVENTS: dict[str, Callable[[World], object]] = {
    "bytes": lambda world: world.client.data_received(b"b"),
    "many bytes": lambda world: world.client.data_received(b"b" * limits.FAIR_READ_BYTES),
    "FIN": lambda world: world.client.eof_received(),
    "room": lambda world: world.transport.take(),
    "timer": lambda world: world.loop.run_timers(),
    "time-out": lambda world: world.client.time_out(),
    "drain": lambda world: world.client.connection.drain(),
    "check": lambda world: [world.client.close_if_idle(0), world.client.close_if_idle(0)],
    "abort": lambda world: world.client.abort(),
    "lost": lambda world: world.transport.lose(None),
    "reset": lambda world: world.transport.lose(ConnectionResetError()),
}

LEADS_TO = {
    STARTING: {"lost": CLOSED, "reset": CLOSED},
    READING: {
        "many bytes": YIELDING,
        "FIN": CLOSING,
        "time-out": CLOSING,
        "abort": CLOSING,
        "lost": CLOSED,
        "reset": CLOSED,
    },
    WAITING: {
        "timer": READING,
        "time-out": CLOSING,
        "abort": CLOSING,
        "lost": CLOSED,
        "reset": CLOSED,
    },
    BLOCKED: {
        "room": READING,
        "time-out": CLOSING,
        "abort": CLOSING,
        "lost": CLOSED,
        "reset": CLOSED,
    },
    YIELDING: {
        "timer": READING,
        "time-out": CLOSING,
        "abort": CLOSING,
        "lost": CLOSED,
        "reset": CLOSED,
    },
    CLOSING: {"lost": CLOSED, "reset": CLOSED},
    CLOSED: {},
}
"""State -> event -> the next state; an event that is missing changes nothing."""


@pytest.mark.parametrize("event", EVENTS)
@pytest.mark.parametrize("state", ClientState, ids=lambda state: state.name)
def test_each_event_in_each_state_leads_where_the_table_says(
    state: ClientState, event: str
) -> None:
    world = World()
    world.reach(state)
    EVENTS[event](world)
    assert world.state is LEADS_TO[state].get(event, state)


@pytest.mark.parametrize("state", [WAITING, BLOCKED, YIELDING], ids=lambda state: state.name)
def test_bytes_and_a_fin_that_come_while_steps_are_left_are_answered_afterwards(
    state: ClientState,
) -> None:
    world = World()
    world.reach(state)
    before = len(world.transport.written)
    world.client.data_received(b"b")
    world.client.eof_received()
    assert world.transport.written[before:] == b""
    world.loop.run_timers()
    world.transport.take()
    assert world.transport.written[before:].lstrip(b"w") == b"b"
    assert world.state is CLOSING


def test_a_client_whose_idle_connection_is_drained_is_closed_at_the_second_check() -> None:
    world = World()
    world.reach(READING)
    world.client.connection.drain()
    assert not world.client.close_if_idle(0)
    assert world.client.close_if_idle(0)
    assert world.state is CLOSING
    assert world.transport.is_closed


def test_a_client_that_sends_between_two_checks_is_answered() -> None:
    world = World()
    world.reach(READING)
    world.client.connection.drain()
    assert not world.client.close_if_idle(0)
    world.client.data_received(b"b")
    assert not world.client.close_if_idle(0)
    assert world.transport.written == b"b"
    world.transport.take()
    assert not world.client.close_if_idle(0)
    assert world.client.close_if_idle(0)


def test_a_client_refused_before_it_has_a_transport_is_closed_when_it_gets_one() -> None:
    world = World()
    world.client.connection_lost(None)
    world.connect()
    assert world.transport.is_closed
    assert world.counters.rows == []


def test_other_clients_have_their_turn_after_so_many_bytes_though_all_are_taken_at_once() -> None:
    world = World()
    world.connect()
    world.transport.is_taken_at_once = True
    world.client.data_received(b"L" * 10)
    turns = 0
    while world.state is YIELDING:
        turns += 1
        sent = len(world.transport.written) / turns
        assert limits.FAIR_WRITE_BYTES <= sent < limits.FAIR_WRITE_BYTES + len(LARGE)
        world.loop.run_timers()
    assert world.state is READING
    assert turns == 3
    assert world.transport.written == LARGE * 10


def test_no_reply_is_made_for_a_client_that_has_gone() -> None:
    world = World()
    world.connect()
    world.transport.is_closed = True
    world.client.data_received(b"LLL")
    assert world.state is CLOSING
    assert world.client.tally[SENT_BYTES] == len(LARGE)


@pytest.mark.parametrize("event", ["lost", "abort"])
@pytest.mark.parametrize("state", [WAITING, YIELDING], ids=lambda state: state.name)
def test_a_client_that_ends_leaves_no_timer(state: ClientState, event: str) -> None:
    world = World()
    world.reach(state)
    EVENTS[event](world)
    assert not world.loop.run_timers()


@pytest.mark.parametrize("state", [WAITING, BLOCKED, YIELDING], ids=lambda state: state.name)
def test_a_client_for_whose_next_step_there_is_no_memory_is_closed(state: ClientState) -> None:
    def fail(data: bytes) -> None:
        raise MemoryError

    world = World()
    world.reach(state)
    world.client.data_received(b"b")
    world.transport.write = fail  # type: ignore[method-assign]
    world.loop.run_timers()
    world.transport.take()
    assert world.state is CLOSING
    assert world.transport.is_closed


@pytest.mark.parametrize("state", [WAITING, BLOCKED, YIELDING], ids=lambda state: state.name)
def test_a_bug_in_a_step_resets_the_client_and_goes_on_to_the_log(state: ClientState) -> None:
    def fail(data: bytes) -> None:
        raise ZeroDivisionError

    world = World()
    world.reach(state)
    world.client.data_received(b"b")
    world.transport.write = fail  # type: ignore[method-assign]
    go_on = world.transport.take if state is BLOCKED else world.loop.run_timers
    with pytest.raises(ZeroDivisionError):
        go_on()
    assert world.state is CLOSING
    assert world.transport.is_closed


def test_a_connection_that_does_not_close_at_the_fin_is_not_asked_again_and_again() -> None:
    world = World()
    world.reach(YIELDING)
    fins = []
    world.connection.receive_data = lambda data: fins.append(data) or iter(())  # type: ignore[method-assign, func-returns-value]
    world.client.eof_received()
    world.loop.run_timers()
    assert fins == [b""]
    assert world.state is READING


def test_each_step_is_counted_before_the_next_one_is_made() -> None:
    world = World()
    world.connect()
    counts = []

    def steps(data: bytes) -> Iterator[Step]:
        for _ in range(3):
            yield b"12345"
            counts.append(world.client.tally[SENT_BYTES])
        raise MemoryError

    world.connection.receive_data = steps  # type: ignore[method-assign]
    with pytest.raises(MemoryError):
        world.client.data_received(b"b")
    assert counts == [5, 10, 15]
    assert world.client.tally[SENT_BYTES] == 15


def test_a_client_that_has_gone_keeps_no_steps() -> None:
    world = World()
    world.connect()
    world.transport.is_closed = True
    world.client.data_received(b"LLL")
    assert world.client._steps is None


sends = st.tuples(
    st.just("bytes"),
    st.lists(
        st.sampled_from([b"a", b"b", b"w", b"L", b"c", b"x" * limits.FAIR_READ_BYTES]), max_size=5
    ).map(b"".join),
)
others = st.tuples(st.sampled_from(["FIN", "room", "timer", "drain"]), st.just(b""))


@given(st.lists(sends | others, max_size=12))
@repeatable
def test_whatever_the_order_of_events_no_byte_is_lost(script: list[tuple[str, bytes]]) -> None:
    world = World()
    world.connect()
    client, transport, received, fin = world.client, world.transport, b"", False
    for event, data in script:
        if event == "bytes" and data and not fin and world.state is not CLOSING:
            received += data
            client.data_received(data)  # also where reading is paused
        elif event != "bytes" and not (fin and event == "FIN"):
            fin = fin or (event == "FIN" and world.state is not CLOSING)
            if event != "FIN" or world.state is not CLOSING:
                EVENTS[event](world)
        assert transport.is_paused == (world.state is BLOCKED)
        assert world.state is CLOSING or transport.is_reading == (world.state is READING)
    for _ in range(len(received) + 2):
        if world.state in (READING, CLOSING):
            break
        world.loop.run_timers()
        transport.take()
    answered = received.partition(b"c")
    assert transport.written == b"".join(map(reply_to, answered[0] + answered[1]))
    assert client.tally[RECEIVED_BYTES] == len(received)
    assert client.tally[SENT_BYTES] == len(transport.written)
    assert (world.state is CLOSING) == (fin or b"c" in received)
    transport.lose(None)
    assert world.state is CLOSED
    assert world.counters.rows == []
    assert not world.loop.run_timers()
