"""Fairness: a busy server, or one busy client, costs the other clients nothing."""

import contextlib
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from servers.registry import MODELS
from tests.support.asking import HELLO
from tests.support.limits_of_machine import ROOT
from tests.support.running import (
    DEADLINE_S,
    Server,
    command,
    read_to_end,
    running,
    stopped,
    wait_until,
)

CLIENTS = 20


def clients_that_send(
    server: Server, clients: contextlib.ExitStack, sent: bytes, count: int = CLIENTS
) -> list[socket.socket]:
    """Return clients that have each sent a request, perhaps more, and have had one reply."""
    socks = [clients.enter_context(server.connect()) for _ in range(count)]
    for sock in socks:
        sock.sendall(sent)
    for sock in socks:
        assert sock.recv(1000).endswith(b"Hello, World!")
    return socks


def test_requests_that_arrive_while_the_server_is_busy_meet_their_deadlines(model: str) -> None:
    # The deadlines start at the replies, before the server is stopped. A busy machine may need
    # 1.5 s in between, which is not under test.
    deadline_s, sweep_s = 5, 0.5
    flags = [f"--timeout-{what}={deadline_s}" for what in ("keep-alive", "header")]
    with running(model, *flags) as server, contextlib.ExitStack() as clients:
        silent = clients_that_send(server, clients, HELLO)
        begun = clients_that_send(server, clients, HELLO + HELLO[:10])
        time.sleep(2 * sweep_s)  # for a sweep that finds the begun heads
        with stopped(server):
            for sock in silent:
                sock.sendall(HELLO)
            for sock in begun:
                sock.sendall(HELLO[10:])
            time.sleep(deadline_s + 1.5)  # under test: longer than both deadlines
        for sock in silent + begun:
            assert sock.recv(1000).endswith(b"Hello, World!")


def test_requests_that_arrive_before_a_busy_server_sees_its_signal_are_answered(model: str) -> None:
    with running(model, "--timeout-keep-alive=60") as server, contextlib.ExitStack() as clients:
        socks = clients_that_send(server, clients, HELLO, count=100)
        with stopped(server):
            for sock in socks:
                sock.sendall(HELLO)
            server.process.send_signal(signal.SIGTERM)
        for sock in socks:
            assert read_to_end(sock).endswith(b"Hello, World!")
            sock.close()
        assert server.process.wait(DEADLINE_S) == 0
        assert server.log() == ""


@pytest.mark.parametrize("protocol", ["http", "echo"])
def test_a_client_that_never_pauses_keeps_no_other_client_waiting(
    model: str, protocol: str
) -> None:
    flags = ["--timeout-graceful-shutdown=1"]
    with running(model, *flags) as server, server.connect(protocol) as flood:
        batch = HELLO * 2000
        stop = threading.Event()

        def send() -> None:
            with contextlib.suppress(OSError):  # the server has ended
                while not stop.is_set():
                    flood.sendall(batch)

        def receive() -> None:
            with contextlib.suppress(OSError):
                while not stop.is_set() and flood.recv(1 << 20):
                    pass

        threads = [threading.Thread(target=send), threading.Thread(target=receive)]
        for thread in threads:
            thread.start()
        try:
            received = f"server_received_bytes_total{{{protocol}}}"
            wait_until(lambda: server.metrics()[received] > 4 * len(batch), "a flood")
            for _ in range(10):
                assert server.get("/") == b"Hello, World!"
            start_s = time.monotonic()
            assert server.stop() == 0
            assert time.monotonic() - start_s < 10
        finally:
            stop.set()
            with contextlib.suppress(OSError):
                flood.shutdown(socket.SHUT_RDWR)
            for thread in threads:
                thread.join()


def test_a_client_that_reads_a_large_reply_keeps_no_other_client_waiting(model: str) -> None:
    with running(model) as server, server.connect() as greedy:
        greedy.sendall(b"GET /bytes?n=10000000000 HTTP/1.1\r\nHost: a\r\n\r\n")
        turns = threading.Event()

        def take() -> None:
            with contextlib.suppress(OSError):  # closed below
                while not turns.is_set() and greedy.recv(1 << 20):
                    pass

        thread = threading.Thread(target=take)
        thread.start()
        before = server.metrics()["server_sent_bytes_total{http}"]
        for _ in range(20):
            assert server.get("/") == b"Hello, World!"
        taken = server.metrics()["server_sent_bytes_total{http}"] - before
        turns.set()
        greedy.shutdown(socket.SHUT_RDWR)
        thread.join(DEADLINE_S)
        # A loop that never yields sends all ten gigabytes meanwhile; a child has a core of its own.
        assert taken > 0
        assert MODELS[model].own_process or taken < 1_000_000_000


def test_a_batch_that_computes_gives_others_their_turn(model: str) -> None:
    batch = 40
    with running(model) as server, server.connect() as computing, server.connect() as other:
        for sock in (computing, other):
            sock.sendall(HELLO)
            assert sock.recv(1000).endswith(b"Hello, World!")
        computing.sendall(batch * b"GET /cpu?n=1000000 HTTP/1.1\r\nHost: a\r\n\r\n")
        replies = computing.recv(1000)
        other.sendall(HELLO)
        assert other.recv(1000).endswith(b"Hello, World!")
        with contextlib.suppress(BlockingIOError):
            replies += computing.recv(1 << 16, socket.MSG_DONTWAIT)
        assert 0 < replies.count(b"HTTP/1.1 200 ") < batch


def test_a_closed_standard_error_changes_nothing(model: str) -> None:
    process = subprocess.Popen(
        ["sh", "-c", 'exec "$@" 2>&-', "sh", *command(model)],
        stdout=subprocess.PIPE,
        text=True,
        cwd=ROOT,
    )
    with process:
        try:
            assert process.stdout is not None
            line = process.stdout.readline()
            assert line.startswith(f"listening model={model} ")
            assert str(Path(f"/proc/{process.pid}/fd/2").readlink()) == os.devnull
            process.terminate()
            assert process.wait(DEADLINE_S) == 0
        finally:
            process.kill()


def test_a_model_whose_package_is_missing_is_a_start_up_failure() -> None:
    # -S leaves out site-packages, where both packages are.
    for name, needs in [(name, model.needs) for name, model in MODELS.items() if model.needs]:
        done = subprocess.run(
            [sys.executable, "-S", "-m", "servers", name, "--http-port=0", "--echo-port=0"],
            capture_output=True,
            text=True,
            cwd=ROOT,
            timeout=DEADLINE_S,
            check=False,
        )
        assert (done.returncode, done.stdout) == (3, "")
        assert done.stderr == (
            f"python -m servers: model '{name}' needs {needs}; run: pip install .\n"
        )
