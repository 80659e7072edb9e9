"""Rules that all ways of waiting share: starting a client, the sweep, a shutdown's order."""

import socket
import time
from collections.abc import Collection, Iterator
from types import SimpleNamespace
from typing import Any

import pytest

from servers import limits
from servers.counting.counters import Counters
from servers.protocol.connection import State, Tally
from servers.sockets.listeners import Listener, Timeouts, kind_of
from servers.waiting import fairness
from servers.waiting.accepting import Acceptor
from servers.waiting.clients import Clients
from servers.waiting.deadlines import Watch, sweep
from servers.waiting.shutdown import Shutdown, shut_down

TIMEOUTS = Timeouts(0.0, 0.0, 0.0, 0.0)


class FakeClient:
    """A client without a socket, which has been idle for long."""

    def __init__(self, *_: object) -> None:
        self.connection: Any = SimpleNamespace(state=State.IDLE, drain=lambda: None)
        self.tally: Tally = [0] * 8
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


@pytest.mark.parametrize(
    ("error", "why"),
    [
        (OSError(), "no thread left at 0 connections: client refused with 503"),
        (RuntimeError(), "no thread left at 0 connections: client refused with 503"),
        (MemoryError(), "no memory left: client refused with 503"),
    ],
)
def test_a_client_that_cannot_be_started_is_refused_and_its_row_closed(
    listener: Listener, error: Exception, why: str, caplog: pytest.LogCaptureFixture
) -> None:
    def start(client: FakeClient) -> None:
        raise error

    counters = Counters(["http"], 10)
    clients = Clients(FakeClient, counters, "thread")
    acceptor = Acceptor(clients, counters, start)
    with socket.create_connection(listener.sock.getsockname()) as client:
        acceptor.accept(listener)
        assert client.recv(100) == b"refused"
    assert len(clients) == counters.open_count == 0
    assert acceptor.pause_s == limits.BACKOFF_FIRST_S
    assert caplog.messages == [why]


def test_a_client_whose_deadline_cannot_be_checked_costs_no_other_its_deadline() -> None:
    first, second = FakeClient(), FakeClient()
    interrupted = []

    def interrupt(client: FakeClient) -> None:
        interrupted.append(client)
        raise MemoryError

    class Everyone(list[FakeClient]):
        def reap(self) -> None: ...

    pauses = sweep(Everyone([first, second]), interrupt, interval_s=1.0)
    assert [next(pauses), next(pauses), next(pauses)] == [1.0, 0.0, 1.0]
    assert interrupted == [first, second]


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
