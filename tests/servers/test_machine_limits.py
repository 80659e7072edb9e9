"""A machine at its limits: descriptors, processes, threads; and no process outlives a server."""

import contextlib
import os
import re
import select
import signal
import socket
import struct
import subprocess
import sys
import time
from pathlib import Path

import pytest

from servers import limits
from servers.registry import MODELS
from tests.support.asking import HELLO, answer_of
from tests.support.full_server import filled, metrics_over
from tests.support.leaks import leak_checked
from tests.support.limits_of_machine import (
    ROOT,
    alive_in_session,
    as_nobody,
    asleep,
    cpu_s,
    fails_to_start,
    falling_asleep_slowly,
    launch,
    no_descriptor_left,
    wait_until_received,
)
from tests.support.running import DEADLINE_S, Server, read_to_end, running, wait_until

IN_PROCESS = [name for name, model in MODELS.items() if not model.own_process]
NOPROC_MODELS = [name for name, model in MODELS.items() if model.unit in ("process", "thread")]
"""Those that need a process or a thread for a connection."""


def assert_waits_at_rest(server: Server, waiting: list[socket.socket]) -> None:
    """Check for a second that no client gets a reply, and that the server uses little CPU."""
    before_s, start_s = sum(map(cpu_s, server.processes)), time.monotonic()
    answered, _, _ = select.select(waiting, [], [], 1)
    assert answered == []
    used_s = sum(map(cpu_s, server.processes)) - before_s
    assert used_s < 0.3 * (time.monotonic() - start_s)


# -- descriptors -------------------------------------------------------------------------------


@pytest.mark.parametrize("nofile", ["200:200", "1000:20000"])
def test_a_low_descriptor_limit_is_raised_or_warned_of(model: str, nofile: str) -> None:
    hard = int(nofile.partition(":")[2])
    with running(model, prefix=["prlimit", f"--nofile={nofile}"]) as server:
        assert server.metrics()["server_limit{descriptors}"] == hard
        # A connection with a process of its own has that process's descriptors, too.
        warned = hard == 200 and not MODELS[model].own_process
        assert server.log().count("\n") == warned
        assert ("ulimit -n" in server.log()) == warned


def test_too_few_descriptors_are_a_start_up_failure(model: str) -> None:
    prefix = ["prlimit", f"--nofile={limits.DESCRIPTORS_RESERVED}"]
    status, out, err = launch(model, "--http-port=0", "--echo-port=0", prefix=prefix)
    assert (status, out) == (3, "")
    assert re.fullmatch(
        r"[^\n]*expected more than 64 descriptors, got 64; run: ulimit[^\n]*\n", err
    )


@pytest.mark.parametrize("workers", ["--workers=1", "--workers=2"])
@pytest.mark.parametrize("stderr", ["/dev/full", None])
def test_a_start_up_failure_has_its_status_without_a_standard_error(
    workers: str, stderr: str | None
) -> None:
    command = [sys.executable, "-m", "servers", "asyncio", "--bind=192.0.2.1", workers]
    where = "2>&-" if stderr is None else f"2>{stderr}"
    done = subprocess.run(
        ["sh", "-c", f'exec "$@" {where}', "sh", *command], stdout=subprocess.PIPE, cwd=ROOT
    )
    assert (done.returncode, done.stdout) == (3, b"")


@pytest.mark.parametrize("in_process", IN_PROCESS)
def test_clients_beyond_the_descriptors_wait_in_the_backlog(in_process: str) -> None:
    nofile = limits.DESCRIPTORS_RESERVED + 30
    prefix = ["prlimit", f"--nofile={nofile}"]
    with running(in_process, "--timeout-keep-alive=60", prefix=prefix) as server:
        warned, room = server.log(), 30 * server.workers
        with filled(server, room) as clients:
            assert_waits_at_rest(server, clients.waiting)
            # The reserve of descriptors serves /metrics.
            with clients.connected.pop() as sock:
                metrics = metrics_over(sock)
            assert f'\nserver_open_connections{{protocol="http"}} {room}.0\n' in metrics
            clients.leave_in_turn()  # each is accepted as another leaves
        log = server.log().removeprefix(warned)
        line = r"[^\n]*30 connections[^\n]*ulimit -n[^\n]*\n"
        assert re.fullmatch(f"({line}){{{server.workers}}}", log)
        assert server.stop() == 0


def test_a_server_without_a_descriptor_recovers_when_descriptors_are_free(model: str) -> None:
    with leak_checked(model) as check:
        server = check.server
        with check.no_leak(), contextlib.ExitStack() as clients:
            with contextlib.ExitStack() as stuck:
                for pid in server.acceptors:
                    stuck.enter_context(no_descriptor_left(pid))
                waiting = [
                    clients.enter_context(server.connect(p)) for p in ("http", "echo", "http")
                ]
                for sock in waiting:
                    sock.sendall(HELLO)
                assert_waits_at_rest(server, waiting)
            for sock in waiting:
                assert sock.recv(1000)
        # The back-off of 10 ms to 1 s allows for fewer attempts than that.
        assert 1 <= server.metrics()["server_accept_errors_total{http}"] < 100
        line = r"[^\n]*no descriptor left[^\n]*ulimit -n[^\n]*\n"
        assert re.fullmatch(f"({line}){{1,{server.workers}}}", server.log())
        assert server.stop() == 0


def test_a_backlog_beyond_the_kernels_is_warned_of() -> None:
    most = int(Path("/proc/sys/net/core/somaxconn").read_text())
    with running("asyncio", f"--backlog={most + 1}", "--echo-port=off") as server:
        assert server.log().count("\n") == 1
        assert f"sysctl net.core.somaxconn={most + 1}" in server.log()


def test_a_port_for_root_only_is_a_start_up_failure_for_others() -> None:
    if int(Path("/proc/sys/net/ipv4/ip_unprivileged_port_start").read_text()) <= 1:
        pytest.skip("here every user may bind every port")
    why = fails_to_start("--http-port=1", prefix=as_nobody())
    assert "port 1: Permission denied" in why
    assert "--http-port" in why


# -- processes and threads ---------------------------------------------------------------------


@pytest.mark.parametrize("needy", NOPROC_MODELS)
def test_a_client_gets_503_when_no_process_or_thread_is_left(needy: str) -> None:
    # One process: another user may not be allowed to start the interpreter, as workers need.
    prefix = ["prlimit", "--nproc=6", *as_nobody()]
    with running(needy, prefix=prefix, workers=1) as server, contextlib.ExitStack() as clients:
        served = [clients.enter_context(server.connect("echo")) for _ in range(5)]
        for sock in served:  # until each has its process or thread
            sock.sendall(b"hello")
            assert sock.recv(5) == b"hello"
        for _ in range(3):
            with server.connect() as sock:
                head, _, content = read_to_end(sock).partition(b"\r\n\r\n")
            assert head.startswith(b"HTTP/1.1 503 Service Unavailable\r\n")
            assert b"\r\nConnection: close" in head
            assert f"\r\nContent-Length: {len(content)}\r\n".encode() in head
            with server.connect("echo") as sock:
                assert sock.recv(1) == b""
        for sock in served:  # undisturbed
            sock.sendall(b"still")
            assert sock.recv(5) == b"still"
            sock.close()
        why = f"no {MODELS[needy].unit} left at 5 connections: client refused with 503"
        line = rf"[^\n]*{why}\n"
        assert re.fullmatch(line, server.log())

        def served_again() -> bool:
            return server.ask(HELLO).startswith(b"HTTP/1.1 200 ")

        wait_until(served_again, "a process or thread for a client")
        assert server.metrics()["server_refused_connections_total{http}"] >= 3
        assert server.metrics()["server_refused_connections_total{echo}"] == 3
        assert server.stop() == 0


# -- nothing is left over ----------------------------------------------------------------------


def test_clients_that_connect_and_reset_at_once_disturb_no_other_client(model: str) -> None:
    with leak_checked(model) as check:
        server = check.server
        with check.no_leak(), server.connect() as steady:
            steady.sendall(HELLO)
            answer_of(steady)
            for number in range(500):
                sock = server.connect("echo" if number % 2 else "http")
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                sock.close()
            steady.sendall(HELLO)
            assert answer_of(steady).startswith(b"HTTP/1.1 200 ")

        def open_connections() -> tuple[float, float]:
            metrics = server.metrics()
            return metrics["server_open_connections{http}"], metrics[
                "server_open_connections{echo}"
            ]

        wait_until(lambda: open_connections() == (1, 0), "no connection but the scrape")
        assert server.stop() == 0
        assert server.log() == ""


def test_a_signal_is_not_lost_that_comes_just_before_the_server_waits(model: str) -> None:
    with running(model, env=falling_asleep_slowly()) as server:
        wait_until(lambda: asleep(server), "a server with nothing to do")
        server.process.send_signal(signal.SIGTERM)
        assert server.process.wait(DEADLINE_S) == 0


_BLOCK = """
import os, signal, sys
signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals())
os.execvp(sys.argv[1], sys.argv[1:])
"""


@pytest.mark.parametrize("workers", [1, 2])
def test_signals_that_a_parent_has_blocked_are_handled(workers: int) -> None:
    prefix = [sys.executable, "-c", _BLOCK]
    with running("forking", prefix=prefix, workers=workers) as server:
        for _ in range(5):
            server.get("/")
        wait_until(lambda: server.children == [], "no child, not even a zombie")
        victim = server.acceptors[0]
        if workers > 1:
            os.kill(victim, signal.SIGKILL)
            wait_until(lambda: len({*server.acceptors} - {victim}) == workers, "a successor")
        assert server.stop() == 0


# -- no orphan ---------------------------------------------------------------------------------


def test_no_process_outlives_a_server_that_is_killed(model: str) -> None:
    with running(model, prefix=["setsid"]) as server, contextlib.ExitStack() as clients:
        for _ in range(50):
            clients.enter_context(server.connect("echo"))
        for sent in (
            b"GET /wait?ms=60000 HTTP/1.1\r\nHost: a\r\n\r\n",
            b"GET /bytes?n=10000000000 HTTP/1.1\r\nHost: a\r\n\r\n",
            b"POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 9\r\n\r\nhel",
        ):
            sock = clients.enter_context(server.connect())
            sock.sendall(sent)
            wait_until_received(server, sock)
        processes = 54 if MODELS[model].own_process else 1
        processes += server.workers if server.workers > 1 else 0
        wait_until(lambda: len(alive_in_session(server.pid)) == processes, "all processes")
        server.process.kill()
        wait_until(lambda: alive_in_session(server.pid) == [], "the end of every process")


@pytest.mark.parametrize("attempt", range(3))
def test_no_process_outlives_a_server_that_is_killed_while_it_forks(attempt: int) -> None:
    with running("forking", prefix=["setsid"]) as server, contextlib.ExitStack() as clients:
        for _ in range(40):
            clients.enter_context(server.connect("echo"))
        wait_until(lambda: len(server.children) > 8 * attempt, "children")
        server.process.kill()
        wait_until(lambda: alive_in_session(server.pid) == [], "the end of every process")


@pytest.mark.parametrize("part", range(4))
def test_no_process_outlives_a_server_that_is_killed_while_it_starts(model: str, part: int) -> None:
    process = subprocess.Popen(
        [sys.executable, "-m", "servers", model, "--http-port=0", "--echo-port=0"],
        stdout=subprocess.DEVNULL,
        cwd=ROOT,
        start_new_session=True,
    )
    time.sleep(part * 0.04)  # under test: the moment of its start at which it is killed
    process.kill()
    assert process.wait() == -signal.SIGKILL
    wait_until(lambda: alive_in_session(process.pid) == [], "the end of every process")
