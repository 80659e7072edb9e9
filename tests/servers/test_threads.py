"""Which clients are closed when threads have died before they began."""

from types import SimpleNamespace
from typing import Any

import pytest

from servers import limits
from servers.waiting import threads
from servers.waiting.threads import close_failed_threads, start_thread


class FakeClient:
    """Notes whether it has been closed."""

    is_closed = False

    def close(self) -> None:
        self.is_closed = True


@pytest.fixture
def runs(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """Return the threads that have been started; none begins by itself."""
    runs: list[Any] = []
    fake = SimpleNamespace(start_new_thread=lambda run, args: runs.append(lambda: run(*args)))
    monkeypatch.setattr(threads, "_thread", fake)
    monkeypatch.setattr("sys.unraisablehook", None)  # start_thread() sets it
    monkeypatch.setattr(threads, "_starting", {})
    return runs


def die(error: Exception) -> None:
    """Let a thread die as C reports it: CPython 3.13 does not tell which one."""
    threads._failed.append(
        SimpleNamespace(exc_type=type(error), exc_value=error, err_msg=None, object=None)
    )


def started(count: int) -> list[Any]:
    clients: list[Any] = [FakeClient() for _ in range(count)]
    for client in clients:
        start_thread(lambda client: None, client)
    return clients


def test_a_thread_that_is_about_to_begin_keeps_its_client_when_another_dies(
    runs: list[Any], caplog: pytest.LogCaptureFixture
) -> None:
    dead, late = started(2)
    die(MemoryError())
    close_failed_threads()
    assert not dead.is_closed and not late.is_closed  # it may be either
    runs[1]()
    close_failed_threads()
    assert dead.is_closed and not late.is_closed
    assert caplog.messages == ["thread failed"]


def test_the_oldest_thread_that_has_not_begun_for_long_is_the_dead_one(
    runs: list[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    dead, late = started(2)
    die(MemoryError())
    monkeypatch.setattr(limits, "THREAD_BEGIN_S", 0.0)
    close_failed_threads()
    assert dead.is_closed and not late.is_closed


def test_all_clients_are_closed_whose_threads_have_died(runs: list[Any]) -> None:
    clients = started(3)
    for _ in clients:
        die(MemoryError())
    close_failed_threads()
    assert all(client.is_closed for client in clients)


def test_what_fails_elsewhere_costs_no_client(
    runs: list[Any], caplog: pytest.LogCaptureFixture
) -> None:
    (client,) = started(1)
    die(ValueError())  # not in a thread that has not begun: those run no Python
    close_failed_threads()
    assert not client.is_closed
    runs[0]()
    die(MemoryError())
    close_failed_threads()
    assert not client.is_closed and len(caplog.messages) == 2


def test_a_client_is_closed_that_its_thread_could_not_begin_to_serve(runs: list[Any]) -> None:
    def serve(client: Any) -> None:
        raise MemoryError

    client: Any = FakeClient()
    start_thread(serve, client)
    runs[0]()
    assert client.is_closed
