"""A shutdown under load: every request that arrives before the signal is answered."""

import contextlib
import os
import signal
import threading
import time

import pytest

from tests.support.asking import HELLO, answer_of, ask
from tests.support.busy_clients import BusyClients
from tests.support.full_server import filled
from tests.support.limits_of_machine import alive_in_session, as_nobody, cpu_s, wait_until_received
from tests.support.running import (
    DEADLINE_S,
    Server,
    read_to_end,
    running,
    stopped,
    wait_until,
)
from tests.support.slow_readers import send_until_blocked
from tests.support.streams import split_answer

WAYS = pytest.mark.parametrize(
    ("signum", "to_all"),
    [(signal.SIGTERM, False), (signal.SIGINT, True), (signal.SIGTERM, True)],
    ids=["SIGTERM", "Ctrl-C", "SIGTERM to all"],
)
"""The ways of a process manager, a terminal, and systemd."""


def end(server: Server, signum: int, to_all: bool) -> None:
    if to_all:
        os.killpg(server.pid, signum)
    else:
        server.process.send_signal(signum)


@WAYS
def test_no_request_of_200_busy_clients_is_lost_that_arrived_before_the_end(
    model: str, signum: int, to_all: bool
) -> None:
    with running(model, prefix=["setsid"]) as server:
        busy = BusyClients(server)
        with busy.at_work(new=4):
            asked_s = time.monotonic()
            end(server, signum, to_all)
            assert server.process.wait(DEADLINE_S) == 0
        assert server.log() == ""
    assert busy.lost_in_time_s(asked_s) == []


@pytest.mark.parametrize("root", [True, False], ids=["root", "nobody"])
def test_clients_in_the_backlog_are_served_before_the_end(model: str, root: bool) -> None:
    # Another user may not be allowed to start the interpreter, as workers need.
    prefix, workers = ([], None) if root else (as_nobody(), 1)
    with running(model, prefix=prefix, workers=workers) as server:
        with stopped(server):
            socks = [server.connect() for _ in range(100)]
            for sock in socks:
                sock.sendall(HELLO)
            server.process.send_signal(signal.SIGTERM)
        for sock in socks:
            with sock:
                answer = b""
                while data := sock.recv(65536):
                    answer += data
                assert answer.startswith(b"HTTP/1.1 200 ")
        assert server.process.wait(DEADLINE_S) == 0
        assert server.log() == ""


def refuses(server: Server) -> bool:
    for protocol in ("http", "echo"):
        try:
            server.connect(protocol).close()
            return False
        except ConnectionResetError:  # the listener is about to close
            return False
        except ConnectionRefusedError:
            continue
    return True


@WAYS
def test_requests_in_flight_are_answered_whole_and_idle_connections_closed(
    model: str, signum: int, to_all: bool
) -> None:
    with running(model, prefix=["setsid"]) as server, contextlib.ExitStack() as clients:
        idle, new, waiting = (clients.enter_context(server.connect()) for _ in range(3))
        echo = clients.enter_context(server.connect("echo"))
        idle.sendall(HELLO)
        echo.sendall(b"hello")
        assert idle.recv(1000).endswith(b"Hello, World!")
        assert echo.recv(1000) == b"hello"
        # Long enough for a busy machine to tell the server of the signal before the reply is due.
        waiting.sendall(b"GET /wait?ms=2000 HTTP/1.1\r\nHost: a\r\n\r\n")
        wait_until_received(server, waiting, new)
        end(server, signum, to_all)
        assert idle.recv(1) == new.recv(1) == echo.recv(1) == b""
        with waiting:  # closed once it is read
            head, _, content = read_to_end(waiting).partition(b"\r\n\r\n")
        assert server.process.wait(DEADLINE_S) == 0
        assert server.log() == ""
    assert head.startswith(b"HTTP/1.1 200 OK\r\n")
    assert b"\r\nConnection: close" in head
    assert content == b"waited 2000 ms\n"


def test_begun_requests_and_replies_are_finished_while_new_clients_are_refused(model: str) -> None:
    length = 20_000_000  # more than the kernel buffers
    with running(model) as server, server.connect() as slow, server.connect() as half:
        half.sendall(b"GET /healthz HT")
        slow.sendall(b"GET /bytes?n=%d HTTP/1.1\r\nHost: a\r\n\r\n" % length)
        begun = slow.recv(1000)
        wait_until_received(server, half)
        server.process.send_signal(signal.SIGTERM)
        wait_until(lambda: refuses(server), "closed listeners")
        with slow, half:  # both ends closed: the server does not linger
            half.sendall(b"TP/1.1\r\nHost: a\r\n\r\n")
            head, _, content = read_to_end(half).partition(b"\r\n\r\n")
            assert len((begun + read_to_end(slow)).partition(b"\r\n\r\n")[2]) == length
        assert (b"\r\nConnection: close" in head, content) == (True, b"ok\n")
        assert server.process.wait(DEADLINE_S) == 0
        assert server.log() == ""


@pytest.mark.parametrize(
    ("first", "rest"),
    [
        (b"POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 13\r\n\r\n", b"Hello, World!"),
        (HELLO[:10], HELLO[10:]),
        (HELLO + HELLO[:10], HELLO[10:]),
    ],
    ids=["body", "head", "second head"],
)
def test_requests_that_began_to_arrive_before_the_signal_are_answered(
    model: str, first: bytes, rest: bytes
) -> None:
    with running(model) as server, contextlib.ExitStack() as stack:
        socks = [stack.enter_context(server.connect()) for _ in range(20)]
        for sock in socks:
            assert ask(sock).endswith(b"Hello, World!")
        with stopped(server):  # so that the signal arrives before the server has read
            for sock in socks:
                sock.sendall(first)
            server.process.send_signal(signal.SIGTERM)
        wait_until(lambda: refuses(server), "closed listeners")
        time.sleep(0.1)  # time enough to close them, if the server took them for idle
        for sock in socks:
            sock.sendall(rest)
        for sock in socks:
            *before, answer = split_answer(read_to_end(sock))
            assert len(before) == first.count(b"\r\n\r\nGET")
            assert b"\r\nConnection: close\r\n" in answer
            assert answer.startswith(b"HTTP/1.1 200 ") and answer.endswith(b"Hello, World!")
            sock.close()
        assert server.process.wait(DEADLINE_S) == 0
        assert server.log() == ""


def test_clients_beyond_max_connections_are_served_before_the_end(model: str) -> None:
    flags = ["--max-connections=2", "--timeout-keep-alive=60"]
    with running(model, *flags) as server, filled(server, 2 * server.workers) as clients:
        server.process.send_signal(signal.SIGTERM)
        for sock in clients.waiting:
            assert answer_of(sock).startswith(b"HTTP/1.1 200 ")
            sock.close()
        assert server.process.wait(DEADLINE_S) == 0


def test_all_bytes_sent_to_echo_come_back_before_the_end(model: str) -> None:
    content = os.urandom(1 << 20) * 16
    with running(model) as server, server.connect("echo") as sock:
        [sent] = send_until_blocked([sock], content)
        server.process.send_signal(signal.SIGTERM)
        wait_until(lambda: refuses(server), "closed listeners")
        sock.settimeout(DEADLINE_S)
        assert read_to_end(sock) == content[:sent]
        sock.close()
        assert server.process.wait(DEADLINE_S) == 0
        assert server.log() == ""


def test_a_client_that_never_pauses_does_not_delay_the_end(model: str) -> None:
    with running(model) as server, server.connect("echo") as sock:

        def play() -> None:
            with contextlib.suppress(OSError):  # the server has closed
                while True:
                    sock.sendall(b"ping")
                    if not sock.recv(4):
                        return

        thread = threading.Thread(target=play)
        thread.start()
        start_s = time.monotonic()
        assert server.stop() == 0
        assert time.monotonic() - start_s < 15  # less than the grace period of 30 s
        thread.join(DEADLINE_S)


def test_the_grace_period_is_kept_while_a_handler_computes(model: str) -> None:
    with running(model, "--timeout-graceful-shutdown=0.5") as server, server.connect() as sock:
        sock.sendall(b"GET /cpu?n=100000000 HTTP/1.1\r\nHost: a\r\n\r\n")  # ten seconds, or more
        wait_until(lambda: max(map(cpu_s, server.processes)) > 1, "a handler that computes")
        start_s = time.monotonic()
        assert server.stop() == 0
        assert time.monotonic() - start_s < 5
        assert server.log() == ""


def stuck_clients(server: Server, clients: contextlib.ExitStack) -> None:
    """Connect clients whose requests do not end by themselves, each for another reason."""
    for sent in (
        b"GET / HT",
        b"POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 9\r\n\r\nhel",
        b"GET /wait?ms=60000 HTTP/1.1\r\nHost: a\r\n\r\n",
        b"GET /bytes?n=10000000000 HTTP/1.1\r\nHost: a\r\n\r\n",
    ):
        sock = clients.enter_context(server.connect())
        sock.sendall(sent)
        wait_until_received(server, sock)


def test_connections_still_open_after_the_grace_period_are_closed(model: str) -> None:
    flags = ["--timeout-graceful-shutdown=0.5", "--timeout-keep-alive=60"]
    with running(model, *flags) as server, contextlib.ExitStack() as clients:
        stuck_clients(server, clients)
        start_s = time.monotonic()
        assert server.stop() == 0
        assert 0.4 < time.monotonic() - start_s < 10
        assert server.log() == ""


@pytest.mark.parametrize("signum", [signal.SIGTERM, signal.SIGINT])
def test_a_second_signal_ends_it_at_once(model: str, signum: int) -> None:
    flags = ["--timeout-keep-alive=60"]
    with running(model, *flags, prefix=["setsid"]) as server, contextlib.ExitStack() as clients:
        stuck_clients(server, clients)
        server.process.send_signal(signum)
        wait_until(lambda: refuses(server), "closed listeners")
        server.process.send_signal(signum)
        assert server.process.wait(10) == 1  # the grace period is 30 s
        wait_until(lambda: not alive_in_session(server.pid), "the end of its children")
        assert server.log() == ""
