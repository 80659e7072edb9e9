"""A connection of the load never waits, and counts what happens to it: over real sockets."""

import select
import socket
import time

import gevent
import pytest

from loadtest.client.address import Address
from loadtest.client.replies import EchoExchange, Exchange, HTTPExchange
from loadtest.measure.histogram import quantile_s
from servers.registry import MODELS
from tests.support.driving import RIGHT, User, answering, at_rate, driving, right
from tests.support.running import Server, running


def test_a_connection_closed_before_any_byte_is_no_reply() -> None:
    with (
        answering(lambda sock, number: False) as address,
        driving(User(address)) as driven,
    ):
        driven.until(lambda: driven.errors["TruncatedError"] >= 2)
        assert driven.requests == 0 and not driven.channel.has_replied


def test_a_connection_waits_for_begin_then_makes_one_request_after_the_other() -> None:
    with answering(right) as address, driving(User(address)) as driven:
        driven.established()
        gevent.sleep(0.05)
        driven.look()
        assert driven.requests == 1
        driven.channel.begin(None)
        driven.until(lambda: driven.requests > 100)
        assert not driven.errors


def test_a_second_begin_replaces_the_first() -> None:
    def only_one(sock: socket.socket, number: int) -> bool:
        time.sleep(0.01)
        return not select.select([sock], [], [], 0)[0] and right(sock, number)

    with answering(only_one) as address, driving(User(address)) as driven:
        driven.established()
        driven.channel.begin(at_rate(0.2))
        driven.until(lambda: driven.requests == 2)
        driven.channel.begin(None)  # when the third would have been due, another is in flight
        driven.until(lambda: driven.requests == 50 or bool(driven.errors))
        assert not driven.errors


def test_a_kept_connection_that_the_server_closes_is_reopened_without_an_error() -> None:
    def once(sock: socket.socket, number: int) -> bool:
        sock.sendall(RIGHT)
        return False

    with answering(once) as address, driving(User(address)) as driven:
        driven.established()
        driven.channel.begin(at_rate(0.05))
        driven.until(lambda: driven.requests >= 5)
        assert not driven.errors


def test_latency_counts_from_when_a_request_was_due_while_the_server_was_silent() -> None:
    def silent_once(sock: socket.socket, number: int) -> bool:
        if number == 3:
            time.sleep(0.5)
        return right(sock, number)

    with answering(silent_once) as address, driving(User(address)) as driven:
        driven.established()
        driven.channel.begin(at_rate(0.02))
        driven.until(lambda: driven.requests >= 40)
        # One request was sent into the silence; 25 were due in it, half of them waited 0.25 s.
        late = [quantile_s(driven.times["latency"], q) or 0 for q in (0.75, 1.0)]
        sent = quantile_s(driven.times["service_time"], 1.0) or 0
        assert late[0] > 0.2 and late[1] > 0.49 and sent > 0.49
        assert (quantile_s(driven.times["service_time"], 0.75) or 1) < late[0]


def test_requests_later_than_the_deadline_are_dropped_and_counted() -> None:
    def silent_once(sock: socket.socket, number: int) -> bool:
        if number == 3:
            time.sleep(0.5)
        return right(sock, number)

    with answering(silent_once) as address, driving(User(address)) as driven:
        driven.established()
        driven.channel.begin(at_rate(0.01, deadline_s=0.1))
        driven.until(lambda: driven.dropped >= 30)


def test_a_channel_is_idle_once_every_due_request_has_its_reply() -> None:
    with answering(right) as address, driving(User(address)) as driven:
        driven.established()
        driven.channel.begin(at_rate(0.01))
        gevent.sleep(0.2)
        driven.channel.finish(time.perf_counter())
        driven.until(lambda: not driven.channel.busy)
        driven.look()
        done = driven.requests
        gevent.sleep(0.05)
        driven.look()
        assert driven.requests == done and not driven.errors


@pytest.mark.parametrize(
    ("deadline_s", "errors", "given_up"), [(0.1, {"TimedOutError": 1}, 0), (60.0, {}, 1)]
)
def test_a_request_without_a_reply_at_the_end_is_an_error_only_after_the_deadline(
    deadline_s: float, errors: dict[str, int], given_up: int
) -> None:
    def then_silent(sock: socket.socket, number: int) -> bool:
        return number > 0 or right(sock, number)

    with answering(then_silent) as address, driving(User(address)) as driven:
        driven.established()
        driven.channel.begin(at_rate(0.01))
        gevent.sleep(0.2)
        driven.channel.finish(time.perf_counter())
        assert driven.channel.busy
        driven.channel.abandon(time.perf_counter() - deadline_s)
        driven.look()
        assert driven.errors == errors and driven.given_up == given_up
        assert driven.dropped >= 10
        assert not driven.channel.busy


def test_a_stopped_server_is_tried_again_and_each_try_is_counted() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        address = Address(*listener.getsockname())
    with driving(User(address)) as driven:
        driven.until(lambda: driven.errors["RefusedError"] >= 3)
        assert driven.requests == 0


def test_bytes_without_a_request_are_an_error() -> None:
    def talkative(sock: socket.socket, number: int) -> bool:
        right(sock, number)
        time.sleep(0.05)
        sock.sendall(b"and another thing")
        return True

    with answering(talkative) as address, driving(User(address)) as driven:
        driven.until(lambda: driven.errors["LeftOverError"] >= 1)


def test_bytes_after_a_last_reply_make_it_wrong() -> None:
    def more(sock: socket.socket, number: int) -> bool:
        right(sock, number)
        time.sleep(0.05)
        sock.sendall(b"more")
        return False

    with answering(more) as address:
        exchange = HTTPExchange(address, expected=b"hello", closes=True)
        with driving(User(address, exchange)) as driven:
            driven.until(lambda: driven.errors["LeftOverError"] >= 2)
            assert driven.requests == 0


def test_the_end_of_a_held_connection_is_an_error() -> None:
    class Held(User):
        quiet = True

    def ends(sock: socket.socket, number: int) -> bool:
        right(sock, number)
        return False

    with answering(ends) as address:
        exchange = HTTPExchange(address, expected=b"hello", headers=["Connection: close"])
        with driving(Held(address, exchange)) as driven:
            driven.until(lambda: driven.errors["TruncatedError"] >= 2)
            assert driven.requests == 0 and not driven.channel.has_replied


def test_an_exception_in_a_scenario_is_a_scenario_error() -> None:
    class Faulty(User):
        def next_exchange(self) -> Exchange:
            raise ZeroDivisionError("my own fault")

    with answering(right) as address, driving(Faulty(address)) as driven:
        driven.until(lambda: driven.errors["ScenarioError"] >= 2)


def test_a_connection_for_each_request_is_closed_before_the_next() -> None:
    with running(next(iter(MODELS))) as server:
        assert server.http is not None
        address = Address(*server.http)
        exchange = HTTPExchange(address, expected=b"Hello, World!", closes=True)
        with driving(User(address, exchange)) as driven:
            driven.established()
            driven.channel.begin(None)
            driven.until(lambda: driven.requests >= 10)
            assert not driven.errors
        accepted = server.metrics()["server_accepted_connections_total{http}"]
        assert accepted >= 10


@pytest.mark.parametrize("length", [1, 1000, 1_000_000])
def test_every_model_echoes_any_length(server: Server, length: int) -> None:
    assert server.echo is not None
    payload = bytes(i % 251 for i in range(length))
    user = User(Address(*server.echo), EchoExchange(payload))
    with driving(user) as driven:
        driven.established()
        driven.channel.begin(None)
        driven.until(lambda: driven.requests >= 5)
        assert not driven.errors
