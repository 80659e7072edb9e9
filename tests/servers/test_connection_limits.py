"""--max-connections and --limit-concurrency: clients wait or get 503, and are counted right."""

import contextlib
import os
import re
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator

import pytest

from tests.support.behaviours import ENDS
from tests.support.busy_clients import BusyClients
from tests.support.full_server import BEYOND, filled, metrics_over, serves
from tests.support.running import DEADLINE_S, Server, read_to_end, running, stopped, wait_until

LIMIT = 4
"""Connections of a worker, in each test."""


def test_at_max_connections_clients_wait_until_another_has_gone(model: str) -> None:
    flags = [f"--max-connections={LIMIT}", "--timeout-keep-alive=60"]
    with running(model, *flags) as server:
        room = LIMIT * server.workers
        with filled(server, room) as clients:
            assert not clients.any_answered(1)
            assert all(map(serves, clients.connected))  # as before
            with clients.connected.pop() as sock:
                metrics = metrics_over(sock)
            assert f'\nserver_open_connections{{protocol="http"}} {room}.0\n' in metrics
            assert f'\nserver_limit{{name="max_connections"}} {LIMIT}.0\n' in metrics
            clients.leave_in_turn()
        line = rf"[^\n]*at --max-connections \({LIMIT}\): clients wait in the backlog\n"
        assert re.fullmatch(f"({line}){{{server.workers}}}", server.log())
        assert server.stop() == 0


def test_beyond_the_concurrency_limit_clients_get_503(model: str) -> None:
    flags = [f"--limit-concurrency={LIMIT}", "--timeout-keep-alive=60"]
    with running(model, *flags) as server:
        with contextlib.ExitStack() as stack:
            socks = [
                stack.enter_context(let_in(server, f"room for client {number}"))
                for number in range(LIMIT * server.workers)
            ]
            with server.connect() as beyond:
                answer = read_to_end(beyond)
            assert answer.startswith(b"HTTP/1.1 503 ")
            assert b"\r\nRetry-After: 1\r\n" in answer and b"\r\nConnection: close\r\n" in answer
            assert answer.endswith(b"\r\n\r\nno room for this connection\n")
            for before in (b"", b"\r\n"):
                # A stopped server cannot refuse the client before its request arrives.
                with stopped(server):
                    beyond = stack.enter_context(server.connect())
                    beyond.sendall(before + b"HEAD / HTTP/1.1\r\nHost: a\r\n\r\n")
                answer = read_to_end(beyond)
                assert answer.startswith(b"HTTP/1.1 503 ") and answer.endswith(b"\r\n\r\n")
            with server.connect("echo") as beyond:
                assert read_to_end(beyond) == b""
            assert all(map(serves, socks))
        with let_in(server, "room for the next client") as sock:
            metrics = metrics_over(sock)
        refused = "server_refused_connections_total"
        assert re.search(rf'^{refused}{{protocol="http"}} [1-9]', metrics, re.MULTILINE)
        assert f'\n{refused}{{protocol="echo"}} 1.0\n' in metrics
        assert server.stop() == 0
        assert server.log() == ""


def test_at_max_connections_each_protocol_has_its_turn(model: str) -> None:
    with running(model, "--max-connections=1", workers=1) as server:
        busy = BusyClients(server)
        threads = [threading.Thread(target=busy.use_new_connections) for _ in range(4)]
        for thread in threads:
            thread.start()
        wait_until(lambda: busy.answered > 10, "clients that use the only connection")
        with server.connect("echo") as sock:
            sock.sendall(b"x")
            assert sock.recv(1) == b"x"
        busy.enough = True
        for thread in threads:
            thread.join(DEADLINE_S)
        assert busy.lost_s == []
        assert server.stop() == 0


def test_a_client_that_leaves_makes_room_for_the_next(model: str) -> None:
    with running(model, "--limit-concurrency=1", workers=1) as server:
        served = 0
        for _ in range(50):
            with server.connect() as sock:
                served += serves(sock)
        # Not all: a busy machine may end a child later than the server waits for it.
        assert served > 20
        assert server.stop() == 0
        assert server.log() == ""


@contextlib.contextmanager
def let_in(server: Server, what: str) -> Iterator[socket.socket]:
    """Hold a connection that is served, once the server has room for one."""
    tried: list[socket.socket] = []

    def is_served() -> bool:
        if tried:
            tried.pop().close()
        tried.append(server.connect())
        return serves(tried[0])

    wait_until(is_served, what)
    with tried[0] as sock:
        yield sock


def kill_its_child(sock: socket.socket, server: Server) -> None:
    for pid in server.children:  # all of them: no metric says which child serves this client
        with contextlib.suppress(ProcessLookupError):  # it has just ended
            os.kill(pid, signal.SIGKILL)


def test_connections_are_counted_right_however_they_end(model: str) -> None:
    flags = [f"--limit-concurrency={LIMIT}", "--timeout-keep-alive=0.4", "--timeout-header=0.4"]
    with running(model, *flags) as server:
        for way in [*ENDS, kill_its_child]:
            for _ in range(LIMIT + 1):  # one too many, if the server lost count
                with let_in(server, f"room before {way.__name__}") as sock:
                    way(sock, server)

        def exactly_the_limit_is_served() -> bool:
            with contextlib.ExitStack() as stack:
                for number in range(LIMIT * server.workers):
                    stack.enter_context(let_in(server, f"room for client {number}"))
                beyond = [stack.enter_context(server.connect()) for _ in range(BEYOND)]
                return not any(map(serves, beyond))

        wait_until(exactly_the_limit_is_served, "as many connections as before")
        assert server.stop() == 0
        assert server.log() == ""


@pytest.mark.parametrize("wish", ["100000000"])
def test_more_connections_than_descriptors_allow_are_a_start_up_failure(
    model: str, wish: str
) -> None:
    argv = [sys.executable, "-m", "servers", model, "--http-port=0", "--echo-port=0"]
    ended = subprocess.run(
        [*argv, f"--max-connections={wish}"], capture_output=True, text=True, check=False
    )
    assert ended.returncode == 3
    assert ended.stdout == "" and ended.stderr.count("\n") == 1
    assert "expected --max-connections up to" in ended.stderr and "; run: " in ended.stderr
