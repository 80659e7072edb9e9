"""What clients and the machine do to a server: it lives, it rests, it serves the next client."""

import contextlib
import os
import signal
import socket
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tests.crowd import Crowd, answer_of, ask, clients
from tests.limits_of_machine import (
    HELLO,
    cpu_s,
    descriptors_at_rest,
    no_descriptor_left,
    tasks_of,
    wait_until_left,
)
from tests.running import DEADLINE_S, Server, read_to_end, running, wait_until

STREAM = b"GET /bytes?n=10000000000 HTTP/1.1\r\nHost: a\r\n\r\n"


@contextlib.contextmanager
def unharmed(server: Server) -> Iterator[None]:
    """After a block the server holds, and does, no more than before, and serves the next client."""
    descriptors = descriptors_at_rest(server)
    tasks = sum(len([*tasks_of(pid)]) for pid in server.processes)
    yield
    wait_until_left(server, descriptors)
    wait_until(
        lambda: sum(len([*tasks_of(pid)]) for pid in server.processes) <= tasks,
        "as few threads as before",
    )
    before_s, start_s = sum(map(cpu_s, server.processes)), time.monotonic()
    time.sleep(0.3)  # to see what it does when there is nothing to do
    used_s = sum(map(cpu_s, server.processes)) - before_s
    assert used_s <= 0.2 * (time.monotonic() - start_s)
    assert server.ask(HELLO).endswith(b"Hello, World!")


def test_a_storm_of_2000_short_connections_leaves_nothing_behind(model: str) -> None:
    with running(model) as server:
        with unharmed(server):
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


def test_a_server_that_was_stopped_goes_on_and_forgets_nobody(model: str) -> None:
    flags = ["--timeout-keep-alive=1", "--timeout-header=1", "--timeout-write=1"]
    with running(model, *flags) as server:
        with unharmed(server), clients(server, 10) as socks:
            crowd = Crowd(server, again=True)
            threads = [threading.Thread(target=crowd.keep_coming) for _ in range(4)]
            for thread in threads:
                thread.start()
            wait_until(lambda: crowd.answered > 100, "clients that are busy")
            processes = server.processes
            for pid in processes:
                os.kill(pid, signal.SIGSTOP)
            for sock in socks:
                sock.sendall(HELLO)
            time.sleep(1.5)  # longer than each of its deadlines
            for pid in processes:
                with contextlib.suppress(ProcessLookupError):  # a child that had just ended
                    os.kill(pid, signal.SIGCONT)
            for sock in socks:  # what had arrived counts, though nobody had read it
                assert answer_of(sock).startswith(b"HTTP/1.1 200 ")
            answered = crowd.answered
            wait_until(lambda: crowd.answered > answered + 100, "clients that are busy again")
            assert crowd.lost_s == []
            crowd.enough = True
            for thread in threads:
                thread.join(DEADLINE_S)
        assert server.stop() == 0
        assert server.log() == ""


def test_a_full_disk_behind_the_log_changes_nothing(model: str) -> None:
    with running(model, stderr_path=Path("/dev/full")) as server:
        descriptors_at_rest(server)  # it has loaded all that it needs
        with contextlib.ExitStack() as stack:
            for pid in server.acceptors:
                stack.enter_context(no_descriptor_left(pid))
            sock = stack.enter_context(server.connect())
            sock.sendall(HELLO)
            time.sleep(0.3)  # for as long as that the fault lasts
        assert server.metrics()["server_accept_errors_total{http}"] >= 1  # so something was said
        with unharmed(server):
            server.get("/")
        assert server.stop() == 0


def test_a_handler_that_raises_costs_one_connection_and_some_lines(model: str) -> None:
    with running(model) as server:
        with unharmed(server), clients(server, 2) as (sock, other):
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
    """Let a client be gone without a word, as one does whose cable is cut."""
    tcp_repair = 19  # tcp(7): what is closed in this state sends nothing
    try:
        sock.setsockopt(socket.IPPROTO_TCP, tcp_repair, 1)
    except PermissionError:
        pytest.skip("only root can let a connection vanish")
    sock.close()


def test_clients_that_vanish_without_a_word_are_not_held_for_ever(model: str) -> None:
    flags = ["--timeout-keep-alive=1", "--timeout-header=1", "--timeout-body=1"]
    flags += ["--timeout-write=1", "--timeout-echo-idle=1"]
    with running(model, *flags) as server:
        with unharmed(server):
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
    """Wait until so many clients, and the one that asks, are there."""

    def there() -> bool:
        metrics = server.metrics()
        protocols = ("http", "echo")
        return sum(metrics[f"server_open_connections{{{name}}}"] for name in protocols) >= count + 1

    wait_until(there, "clients that are served")


@pytest.mark.parametrize("protocol", ["http", "echo"])
def test_who_asks_for_much_and_takes_nothing_costs_little_and_loses_nothing(
    model: str, protocol: str
) -> None:
    # uvloop holds two of its reads of 256,000 bytes; all others hold less than 200,000.
    count, each_max = 50, 600_000
    content = STREAM if protocol == "http" else os.urandom(1 << 20) * 16
    with running(model) as server, contextlib.ExitStack() as stack:
        with clients(server, count):  # what connections cost by themselves
            before = server.metrics("?memory=pss")["server_proportional_bytes"]
        socks = [stack.enter_context(server.connect(protocol)) for _ in range(count)]
        sent = [0] * count
        for sock in socks:
            sock.setblocking(False)
        still = 0
        while still < 20:  # until nothing has moved for a while
            still += 1
            for at, sock in enumerate(socks):
                with contextlib.suppress(BlockingIOError):
                    size = sock.send(memoryview(content)[sent[at] :])
                    sent[at] += size
                    still = 0 if size else still
            time.sleep(0.01)  # for the server, which has a core less than it would like
        during = server.metrics("?memory=pss")["server_proportional_bytes"]
        assert during - before < count * each_max, (during - before) / count
        wanted = content if protocol == "echo" else server.get("/bytes?n=5000000")
        for at, sock in enumerate(socks[:5]):  # and then they read
            sock.settimeout(DEADLINE_S)
            received = b""
            if protocol == "http":
                while b"\r\n\r\n" not in received:
                    received += sock.recv(65536)
                received = received.partition(b"\r\n\r\n")[2]
                sent[at] = len(wanted)
            while len(received) < sent[at]:
                received += sock.recv(65536)
            assert received[: sent[at]] == wanted[: sent[at]]
        assert ask(stack.enter_context(server.connect())).startswith(b"HTTP/1.1 200 ")
