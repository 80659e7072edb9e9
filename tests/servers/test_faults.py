"""Faults of clients and of the machine: the server survives, leaks nothing, and serves on."""

import contextlib
import os
import signal
import socket
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from servers.registry import MODELS
from tests.support.asking import HELLO, answer_of, ask, clients
from tests.support.behaviours import BAD, Behaviour, reset
from tests.support.busy_clients import BusyClients
from tests.support.leaks import leak_checked
from tests.support.limits_of_machine import little_memory_left, no_descriptor_left
from tests.support.running import DEADLINE_S, Server, read_to_end, running, stopped, wait_until

STREAM = b"GET /bytes?n=10000000000 HTTP/1.1\r\nHost: a\r\n\r\n"


def test_a_storm_of_2000_short_connections_leaves_nothing_behind(model: str) -> None:
    with leak_checked(model) as check:
        server = check.server
        with check.no_leak():
            before = server.metrics()

            def come(number: int) -> bytes:
                if number % 2:
                    return server.get("/")
                with server.connect("echo") as sock:
                    sock.sendall(b"x")
                    return sock.recv(1)

            with ThreadPoolExecutor(20) as pool:
                answers = [*pool.map(come, range(2000))]
            assert answers == [b"x", b"Hello, World!"] * 1000
            after = server.metrics()
        assert server.stop() == 0
        assert server.log() == ""

    def rise(name: str) -> float:
        return after[name] - before[name]

    # A scrape is counted once it is answered, a connection as soon as it is accepted.
    assert rise("server_requests_total{http}") == 1000 + 1
    assert rise("server_accepted_connections_total{http}") == 1000 + 1
    assert rise("server_accepted_connections_total{echo}") == 1000
    assert rise("server_received_bytes_total{echo}") == 1000
    assert rise("server_request_errors_total{http}") == 0


def test_bad_clients_of_every_kind_at_once_leave_nothing_behind(model: str) -> None:
    flags = [f"--timeout-{what}=0.5" for what in ("header", "body", "write", "keep-alive")]
    with leak_checked(model, *flags) as check:
        server = check.server

        def come(behave: Behaviour) -> None:
            with server.connect() as sock:
                behave(sock, server)

        with check.no_leak(), ThreadPoolExecutor(len(BAD)) as pool:
            for _ in pool.map(come, BAD * 5):  # raises a client's failed assertion
                pass
        assert server.stop() == 0
        assert server.log() == ""


def test_clients_that_reset_before_they_are_accepted_disturb_no_other_client(model: str) -> None:
    with leak_checked(model) as check:
        server = check.server
        with check.no_leak():
            with stopped(server):
                for number in range(1000):
                    with server.connect("echo" if number % 2 else "http") as sock:
                        reset(sock, server)
                later = server.connect()
                later.sendall(HELLO)
            with later:
                assert answer_of(later).startswith(b"HTTP/1.1 200 ")
        accepted = server.metrics()["server_accepted_connections_total{echo}"]
        assert accepted == 500  # Linux also hands out connections that were reset
        assert server.stop() == 0
        assert server.log() == ""


def test_killed_children_end_no_other_connection() -> None:
    with leak_checked("forking") as check:
        server = check.server
        with check.no_leak(), clients(server, 40) as socks:
            victims = server.children[:20]
            assert len(victims) == 20
            for pid in victims:
                os.kill(pid, signal.SIGKILL)
            answered = 0
            for sock in socks:
                with contextlib.suppress(ConnectionResetError, BrokenPipeError):
                    answered += ask(sock).startswith(b"HTTP/1.1 200 ")
            assert answered == 20
        alone = "server_open_connections{http}"
        wait_until(lambda: server.metrics()[alone] == 1, "no connection but the scrape")
        assert server.stop() == 0
        assert server.log() == ""


def test_a_stopped_server_continues_and_answers_every_client(model: str) -> None:
    flags = [f"--timeout-{what}=3" for what in ("keep-alive", "header", "write")]
    with leak_checked(model, *flags) as check:
        server = check.server
        with check.no_leak():
            busy = BusyClients(server, again=True)
            threads = [threading.Thread(target=busy.use_new_connections) for _ in range(4)]
            for thread in threads:
                thread.start()
            wait_until(lambda: busy.answered > 100, "clients that are busy")
            with clients(server, 10) as socks:
                with stopped(server):
                    for sock in socks:
                        sock.sendall(HELLO)
                    time.sleep(3.5)  # longer than each deadline; what has arrived counts
                assert all(answer_of(sock).startswith(b"HTTP/1.1 200 ") for sock in socks)
            answered = busy.answered
            wait_until(lambda: busy.answered > answered + 100, "clients that are busy again")
            busy.enough = True
            for thread in threads:
                thread.join(DEADLINE_S)
            assert busy.lost_s == []
        assert server.stop() == 0
        assert server.log() == ""


def test_a_full_disk_behind_standard_error_changes_nothing(model: str) -> None:
    with leak_checked(model, stderr_path=Path("/dev/full")) as check:
        server = check.server
        with check.no_leak(), contextlib.ExitStack() as stack:
            for pid in server.acceptors:
                stack.enter_context(no_descriptor_left(pid))
            sock = stack.enter_context(server.connect())
            sock.sendall(HELLO)
            time.sleep(0.3)  # under test: the fault lasts for so long
        assert server.metrics()["server_accept_errors_total{http}"] >= 1  # so it wrote a line
        assert server.stop() == 0


@pytest.mark.parametrize("journal", [False, True])
def test_a_blocked_standard_error_delays_no_client(model: str, journal: bool) -> None:
    if journal:  # what systemd gives a service
        reader, writer = (end.detach() for end in socket.socketpair())
    else:
        reader, writer = os.pipe()
    os.set_blocking(writer, False)
    with contextlib.suppress(BlockingIOError):
        while True:
            os.write(writer, b"x" * 4096)
    os.set_blocking(writer, True)  # the server shares this file description
    flags = ["--max-connections=1", "--timeout-keep-alive=60"]
    with running(model, *flags, stderr_fd=writer, workers=1) as server, server.connect() as inside:
        assert ask(inside).endswith(b"Hello, World!")
        with server.connect() as waiting:  # worth a line in the log
            waiting.sendall(HELLO)
            assert ask(inside).endswith(b"Hello, World!")
            inside.close()
            assert answer_of(waiting).endswith(b"Hello, World!")
        assert server.stop() == 0
    os.close(reader)
    os.close(writer)


def test_a_lack_of_memory_costs_only_the_clients_that_needed_it(model: str) -> None:
    upload = b"POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 1000000\r\n\r\n" + bytes(800_000)
    flags = ["--timeout-keep-alive=1", "--timeout-body=1", "--timeout-header=1"]
    with running(model, *flags) as server:
        with contextlib.ExitStack() as stack:
            for pid in server.acceptors:
                stack.enter_context(little_memory_left(pid, 5_000_000))
            for _ in range(300):
                with contextlib.suppress(OSError):  # refused, or not read
                    sock = stack.enter_context(server.connect())
                    sock.settimeout(0.05)
                    sock.sendall(upload)

        def all_have_left() -> bool:
            return server.metrics()["server_open_connections{http}"] == 1  # the scrape

        wait_until(all_have_left, "no connection but the scrape")
        assert server.get("/") == b"Hello, World!"
        assert server.stop() == 0
        assert len(log := server.log()) < 10_000 * server.workers
        assert MODELS[model].own_process or "emory" in log or "no thread left" in log


def test_a_handler_that_raises_costs_one_connection_and_some_lines(model: str) -> None:
    with leak_checked(model) as check:
        server = check.server
        with check.no_leak(), clients(server, 2) as (sock, other):
            with contextlib.ExitStack() as stack:
                for pid in server.processes:
                    stack.enter_context(no_descriptor_left(pid))
                sock.sendall(b"GET /metrics HTTP/1.1\r\nHost: a\r\n\r\n")  # it reads /proc
                answer = read_to_end(sock)
                assert ask(other).endswith(b"Hello, World!")
            head, _, content = answer.partition(b"\r\n\r\n")
            assert head.startswith(b"HTTP/1.1 500 ") and b"\r\nConnection: close" in head
            assert content == b"internal server error\n"
        assert server.stop() == 0
        assert server.log().count("handler failed\n") == 1
        assert server.log().count("\n") < 60


def vanish(sock: socket.socket) -> None:
    """Close a client's socket without a FIN or reset, as if its cable were cut."""
    tcp_repair = 19  # tcp(7): a socket closed in this state sends nothing
    try:
        sock.setsockopt(socket.IPPROTO_TCP, tcp_repair, 1)
    except PermissionError:
        pytest.skip("only root can close a connection without a FIN")
    sock.close()


def test_connections_of_clients_that_disappear_are_closed_by_their_deadlines(model: str) -> None:
    flags = ["--timeout-keep-alive=1", "--timeout-header=1", "--timeout-body=1"]
    flags += ["--timeout-write=1", "--timeout-echo-idle=1"]
    with leak_checked(model, *flags) as check:
        server = check.server
        with check.no_leak():
            lost = [server.connect() for _ in range(5)] + [server.connect("echo") for _ in range(5)]
            for sent in (
                HELLO[:10],
                b"POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 9\r\n\r\nhel",
                b"GET /wait?ms=700 HTTP/1.1\r\nHost: a\r\n\r\n",
                STREAM,
            ):
                for _ in range(5):
                    lost.append(server.connect())
                    lost[-1].sendall(sent)
            wait_until_accepted(server, len(lost))
            for sock in lost:
                vanish(sock)
            wait_until(lambda: server.metrics()["server_open_connections{http}"] == 1, "their end")
        assert server.stop() == 0
        assert server.log() == ""


def wait_until_accepted(server: Server, count: int) -> None:
    """Wait until the server has accepted ``count`` clients and the scrape."""

    def accepted() -> bool:
        metrics = server.metrics()
        protocols = ("http", "echo")
        return sum(metrics[f"server_open_connections{{{name}}}"] for name in protocols) >= count + 1

    wait_until(accepted, "accepted clients")
