"""Workers under a supervisor: equal shares, deaths, reloads, and one set of counts."""

import contextlib
import os
import re
import signal
import time

import pytest

from servers.counting.process_tree import children_of
from servers.registry import MODELS
from tests.support.asking import HELLO, WAIT, answer_of, ask, clients
from tests.support.busy_clients import BusyClients
from tests.support.limits_of_machine import alive_in_session, cpu_s, descriptors_of
from tests.support.running import DEADLINE_S, Server, process_is_gone, running, wait_until

WORKERS = 2


def replaced(server: Server, before: list[int]) -> bool:
    """Return whether all workers have been replaced."""
    now = server.acceptors
    return len(now) == WORKERS and not set(now) & set(before)


def test_each_worker_gets_its_share_of_the_clients(model: str) -> None:
    with running(model, workers=WORKERS) as server:
        workers = server.acceptors

        def held() -> list[int]:
            if MODELS[model].own_process:
                return [len(children_of(pid)) for pid in workers]
            return [descriptors_of(pid) for pid in workers]

        before = held()
        with clients(server, 200):
            shares = [now - then for now, then in zip(held(), before, strict=True)]
        # 100 each, and a standard deviation of 7, if chance picks each client's worker.
        assert len(shares) == WORKERS
        assert all(50 < share < 150 for share in shares), shares
        assert server.stop() == 0
        assert server.log() == ""


def test_a_child_costs_no_more_memory_where_there_are_workers() -> None:
    def cost_bytes(workers: int) -> float:
        with running("forking", workers=workers) as server:
            before = server.metrics("?memory=pss")["server_proportional_bytes"]
            with clients(server, 100):
                after = server.metrics("?memory=pss")["server_proportional_bytes"]
            return (after - before) / 100

    assert cost_bytes(WORKERS) < 1.2 * cost_bytes(1)


def test_each_worker_reports_the_metrics_of_all(model: str) -> None:
    with running(model, workers=WORKERS) as server, clients(server, 30) as socks:
        for sock in socks:
            ask(sock)
        for scrapes in range(9):  # chance picks each one's worker
            metrics = server.metrics()
            assert metrics["server_requests_total{http}"] == 2 * 30 + scrapes
            assert metrics["server_accepted_connections_total{http}"] == 30 + scrapes + 1
            # The previous scrape may not have ended yet.
            assert metrics["server_open_connections{http}"] in (31, 32)
            assert metrics["server_limit{workers}"] == WORKERS
        children = 31 if MODELS[model].own_process else 0
        assert metrics["server_processes"] in range(1 + WORKERS + children, 6 + WORKERS + children)
        used_s = 0.0
        for pid in server.processes:
            with contextlib.suppress(FileNotFoundError):  # a child that served a scrape
                used_s += cpu_s(pid)
        shown_s = metrics["server_cpu_seconds_total{user}"]
        shown_s += metrics["server_cpu_seconds_total{system}"]
        assert shown_s == pytest.approx(used_s, abs=0.02 * len(server.processes))


def test_the_counts_of_a_killed_worker_are_kept(model: str) -> None:
    with running(model, workers=WORKERS) as server, clients(server, 30):
        victim = server.acceptors[0]
        before = server.metrics()
        os.kill(victim, signal.SIGKILL)
        wait_until(lambda: process_is_gone(victim), "the end of a worker")
        after = server.metrics()
        falling = [
            name
            for name, value in before.items()
            if "_total" in name and after.get(name, 0.0) < value
        ]
        assert falling == []
        assert after["server_requests_total{http}"] == before["server_requests_total{http}"] + 1
        wait_until(
            lambda: server.metrics()["server_open_connections{http}"] < 30,
            "no connection of the killed worker",
        )


def test_a_killed_worker_is_replaced_and_its_queued_clients_are_served(model: str) -> None:
    with running(model, workers=WORKERS) as server, clients(server, 30) as socks:
        victim = server.acceptors[0]
        children = children_of(victim)
        os.kill(victim, signal.SIGSTOP)  # so that new clients are in its queue when it dies
        with contextlib.ExitStack() as stack:
            late = [stack.enter_context(server.connect()) for _ in range(30)]
            for sock in late:
                sock.sendall(HELLO)
            os.kill(victim, signal.SIGKILL)
            for sock in late:
                assert answer_of(sock).startswith(b"HTTP/1.1 200 ")
        survivors = 0
        for sock in socks:
            with contextlib.suppress(ConnectionResetError, BrokenPipeError):
                survivors += ask(sock).startswith(b"HTTP/1.1 200 ")
        assert 0 < survivors < 30  # those of the other worker
        wait_until(
            lambda: all(map(process_is_gone, [victim, *children])),
            "the end of its processes",
        )
        wait_until(lambda: len(server.acceptors) == WORKERS, "a successor")
        assert server.stop() == 0
        assert re.fullmatch(rf"[^\n]*worker {victim} [^\n]*SIGKILL[^\n]*\n", server.log())


def test_sighup_replaces_all_workers_under_load_and_no_request_fails(model: str) -> None:
    with running(model, "--timeout-keep-alive=20", workers=WORKERS) as server:
        busy = BusyClients(server, again=True)
        with busy.at_work(new=2):
            assert replace_and_look_on(server) == ""
            answered = busy.answered
            wait_until(lambda: busy.answered > answered + 400, "clients that are served")
            assert busy.lost_s == []
            assert server.stop() == 0
        assert server.log() == ""


def replace_and_look_on(server: Server) -> str:
    """Send SIGHUP; return an error in the replies to idle or waiting clients, or ""."""
    workers = server.acceptors
    with clients(server, 10) as idle, clients(server, 10) as waiting:
        for sock in waiting:
            sock.sendall(WAIT)
        server.process.send_signal(signal.SIGHUP)
        for sock in waiting:
            if not answer_of(sock).startswith(b"HTTP/1.1 200 "):
                return "a wait was cut short"
        for sock in idle:  # not closed while idle: a reply announces the close
            answer = b""
            while b"\r\nConnection: close\r\n" not in answer:
                answer = ask(sock)
                if not answer.startswith(b"HTTP/1.1 200 "):
                    return f"an idle connection was answered {answer!r}"
    wait_until(lambda: replaced(server, workers), "the end of the previous workers")
    return ""


def test_reloads_leave_no_descriptor_behind() -> None:
    with running("asyncio", workers=WORKERS) as server:
        descriptors = descriptors_of(server.pid)
        for _ in range(3):
            workers = server.acceptors
            server.process.send_signal(signal.SIGHUP)
            wait_until(lambda: replaced(server, workers), "other workers")  # noqa: B023
            server.get("/")
        assert descriptors_of(server.pid) == descriptors
        assert server.stop() == 0


@pytest.mark.parametrize("some_model", ["forking", "gevent"])
def test_no_worker_outlives_a_supervisor_that_is_killed(some_model: str) -> None:
    with (
        running(some_model, prefix=["setsid"], workers=WORKERS) as server,
        clients(server, 9),
    ):
        assert len(alive_in_session(server.pid)) >= 1 + WORKERS
        server.process.kill()
        wait_until(lambda: alive_in_session(server.pid) == [], "the end of every process")


@pytest.mark.parametrize("some_model", ["threaded", "asyncio"])
def test_sigterm_to_all_processes_at_once_loses_no_request(some_model: str) -> None:
    with running(some_model, prefix=["setsid"], workers=WORKERS) as server:
        busy = BusyClients(server)
        with busy.at_work(new=4):
            asked_s = time.monotonic()
            os.killpg(server.pid, signal.SIGTERM)  # as systemd does, and Ctrl-C with its own signal
            assert server.process.wait(DEADLINE_S) == 0
        assert server.log() == ""
    assert busy.lost_in_time_s(asked_s) == []


def test_a_server_without_workers_ignores_sighup(model: str) -> None:
    with running(model, workers=1) as server, clients(server, 2) as socks:
        for pid in server.processes:  # as a closing terminal does
            os.kill(pid, signal.SIGHUP)
        for sock in socks:
            assert ask(sock).startswith(b"HTTP/1.1 200 ")
        assert server.get("/") == b"Hello, World!"
        assert server.stop() == 0
        assert server.log() == ""
