"""Rules that all ways of waiting share: starting a client, the sweep, a shutdown's order."""

import socket
import time
from collections.abc import Collection, Iterator
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import pytest

from servers import limits
from servers.counting.counters import Counters
from servers.protocol.connection import State, Tally
from servers.sockets.listeners import Listener, Timeouts, kind_of
from servers.waiting import deadlines, fairness
from servers.waiting.accepting import Acceptor
from servers.waiting.client import Client
from servers.waiting.clients import Clients
from servers.waiting.deadlines import Watch, sweep
from servers.waiting.greenlets import close_overdue
from servers.waiting.shutdown import Shutdown, shut_down

TIMEOUTS = Timeouts(0.0, 0.0, 0.0, 0.0)


class FakeClient:
    """A client without a socket, which has been idle for long."""

    def __init__(self, *args: Any) -> None:
        self.connection: Any = SimpleNamespace(state=State.IDLE, drain=lambda: None)
        self.tally: Tally = args[2] if args else [0] * 8
        self.timeouts = TIMEOUTS
        self.watch: Watch | None = None

    def fileno(self) -> int:
        return -1

    def unacked_bytes(self) -> int:
        return 0

    def close_if_idle(self, now_s: float) -> bool:
        return True

    def abort(self) -> None: ...


@pytest.fixture
def listener() -> Iterator[Listener]:
    with socket.create_server(("127.0.0.1", 0)) as sock:
        sock.setblocking(False)
        yield Listener(
            protocol="http",
            index=0,
            sock=sock,
            backlog=8,
            kind=kind_of(sock),
            connect=lambda tally: FakeClient().connection,
            timeouts=TIMEOUTS,
            refusal=lambda begun: b"refused",
            full_because="",
        )


def refused(listener: Listener, clients: Clients[FakeClient], error: Exception | None) -> bytes:
    """Accept a client for which ``start`` raises an error; return what the client receives."""

    def start(client: FakeClient) -> None:
        if error is not None:
            raise error

    acceptor = Acceptor(clients, clients._counters, start)
    with socket.create_connection(listener.sock.getsockname(), 10) as client:
        acceptor.accept(listener)
        received = client.recv(100)
    assert len(clients) == clients._counters.open_count == 0
    is_bug = error is None or type(error) is Exception
    assert acceptor.pause_s == (0.0 if is_bug else limits.BACKOFF_FIRST_S)
    return received


@pytest.mark.parametrize(
    ("reply", "how"), [(b"refused", "refused with 503"), (b"", "closed")], ids=["http", "echo"]
)
@pytest.mark.parametrize(
    ("error", "why"),
    [
        (OSError(), "no thread left at 0 connections: client"),
        (RuntimeError(), "no thread left at 0 connections: client"),
        (MemoryError(), "no memory left: client"),
        (Exception("a bug"), None),
    ],
)
def test_a_client_that_cannot_be_started_is_refused_and_its_row_closed(
    listener: Listener,
    reply: bytes,
    how: str,
    error: Exception,
    why: str | None,
    caplog: pytest.LogCaptureFixture,
) -> None:
    listener = replace(listener, refusal=lambda begun: reply)
    clients = Clients(FakeClient, Counters(["http"], 10), "thread")
    assert refused(listener, clients, error) == reply
    assert caplog.messages == [f"{why} {how}" if why else "client not served"]
    assert ("a bug" in caplog.text) == (why is None)


@pytest.mark.parametrize("error", [OSError, RuntimeError, KeyError])
def test_a_bug_in_a_client_s_constructor_costs_that_client_and_is_logged_as_a_bug(
    listener: Listener, error: type[Exception], caplog: pytest.LogCaptureFixture
) -> None:
    def make(*_: object) -> FakeClient:
        raise error("a bug")

    assert refused(listener, Clients(make, Counters(["http"], 10), "thread"), None) == b"refused"
    assert caplog.messages == ["client not served"] and "a bug" in caplog.text


def test_a_row_that_is_closed_twice_is_counted_once() -> None:
    counters = Counters(["http", "echo"], 10)
    row = counters.open(0)
    counters.close(row)
    before = counters.read()
    counters.close(row)
    assert counters.open_count == 0 and counters.read() == before
    assert counters.open(0) is not counters.open(0)


def test_clients_that_cannot_be_reaped_for_want_of_memory_are_reaped_the_next_time() -> None:
    errors = [MemoryError()]

    def reap(_: object) -> None:
        if errors:
            raise errors.pop()
        reaped.append(1)

    reaped: list[int] = []
    clients = Clients(FakeClient, Counters(["http"], 10), "thread", reap)
    clients.reap()
    clients.reap()
    assert reaped == [1]


@pytest.mark.parametrize("step", ["announce_shutdown", "close_idle"])
def test_a_client_that_cannot_be_drained_is_aborted_and_costs_no_other_its_drain(
    listener: Listener, step: str, caplog: pytest.LogCaptureFixture
) -> None:
    done: list[FakeClient] = []
    aborted: list[FakeClient] = []

    class Failing(FakeClient):
        def __init__(self, *args: Any) -> None:
            super().__init__(*args)
            self.connection.drain = self.drain

        def drain(self) -> None:
            done.append(self)
            if len(done) == 2:
                raise MemoryError

        def close_if_idle(self, now_s: float) -> bool:
            self.drain()
            return True

        def abort(self) -> None:
            aborted.append(self)

    clients = Clients(Failing, Counters(["http"], 10), "thread")
    for _ in range(3):
        clients.add(listener.sock, listener)
    if step == "announce_shutdown":
        clients.announce_shutdown()
    else:
        assert clients.close_idle(0.0) == limits.DRAIN_POLL_S  # the one that failed comes again
    assert {*done} == {*clients} and aborted == [done[1]]
    assert caplog.messages == ["client not drained"]


def test_failed_greenlets_are_looked_for_once_a_sweep_though_memory_lacks(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    happened = []

    def sleep(pause_s: float) -> None:
        happened.append(pause_s)
        if len(happened) == 2:
            raise MemoryError  # it is made in spite of that
        if len(happened) == 7:
            raise KeyboardInterrupt

    def close_failed(clients: Clients[Client]) -> None:
        happened.append(-1.0)
        raise MemoryError

    monkeypatch.setattr(time, "sleep", sleep)
    listeners: Any = [SimpleNamespace(timeouts=Timeouts(60.0, 60.0, 60.0, 60.0))]
    clients: Any = Clients(FakeClient, Counters(["http"], 10), "greenlet")
    clients._clients.add(FakeClient())
    with pytest.raises(KeyboardInterrupt):
        close_overdue(clients, listeners, lambda _: None, close_failed)
    assert happened == [-1.0, 1.0, 1.0, 0.0, -1.0, 1.0, 0.0]


class Mute:
    """A logger that finds no memory."""

    def exception(self, *_: object) -> None:
        raise MemoryError


@pytest.mark.parametrize("has_memory", [True, False])
def test_a_client_whose_deadline_cannot_be_checked_costs_no_other_its_deadline(
    has_memory: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    first, second = FakeClient(), FakeClient()
    interrupted = []

    def interrupt(client: FakeClient) -> None:
        interrupted.append(client)
        raise MemoryError

    if not has_memory:  # not even for a line in the log
        monkeypatch.setattr(deadlines, "_log", Mute())
    pauses = sweep([first, second], interrupt, interval_s=1.0)
    assert [next(pauses), next(pauses), next(pauses)] == [1.0, 0.0, 1.0]
    assert interrupted == [first, second]


def test_a_sweep_that_finds_no_memory_goes_on_the_next_time(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    errors = [MemoryError()]

    class Everyone(list[FakeClient]):
        def __iter__(self) -> Iterator[FakeClient]:
            if errors:
                raise errors.pop()
            return super().__iter__()

    monkeypatch.setattr(deadlines, "_log", Mute())
    interrupted: list[FakeClient] = []
    pauses = sweep(Everyone([client := FakeClient()]), interrupted.append, interval_s=1.0)
    assert [next(pauses) for _ in range(4)] == [1.0, 1.0, 0.0, 1.0]
    assert interrupted == [client]


def test_a_shutdown_has_the_same_order_for_all_that_wait(listener: Listener) -> None:
    done = []

    class Everything:
        poll_s = 0.5
        left = 1

        def __init__(self) -> None:
            self.starting: Collection[object] = ["a client"]

        def __len__(self) -> int:
            return self.left

        def empty(self, *_: object) -> None:
            done.append("empty the queues")

        def reap(self) -> None: ...

        def announce_shutdown(self) -> None:
            assert listener.sock.fileno() >= 0  # a client that is refused knows of this
            done.append("announce")

        def close_idle(self, now_s: float) -> float:
            assert listener.sock.fileno() == -1
            done.append("close idle")
            return 60.0

        def abort(self) -> None:
            done.append("abort")

    everything, shutdown = Everything(), Shutdown(grace_s=30.0)
    pauses = shut_down([listener], everything, everything, shutdown)
    assert next(pauses) == 0.0 and done == ["empty the queues"]
    everything.starting = []
    assert next(pauses) == 0.5
    assert done == ["empty the queues", "announce", "close idle"]
    everything.left = 0
    assert [*pauses] == [] and done[-1] == "abort"


def test_a_thread_makes_no_system_call_to_give_way(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(time, "sleep", lambda _: pytest.fail("a call that only greenlets need"))
    fairness.give_way()
