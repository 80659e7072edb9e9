"""A kernel without some feature: the server does without, or fails with one line that names it."""

import errno
import os
import re
import socket
import subprocess
import sys
import termios
from pathlib import Path

import pytest

from servers.registry import MODELS
from tests.support.asking import HELLO
from tests.support.lacking import kernel_without, mounted
from tests.support.limits_of_machine import ROOT, launch, wait_until_received
from tests.support.running import DEADLINE_S, Server, read_to_end, running, stopped

SO_ATTACH_FILTER = 26
PR_GET_PDEATHSIG, PR_SET_PDEATHSIG = 2, 1

OPTIONAL = [
    f"setsockopt {socket.SOL_SOCKET} {SO_ATTACH_FILTER}",
    f"setsockopt {socket.SOL_SOCKET} {socket.SO_REUSEADDR}",
    f"setsockopt {socket.SOL_SOCKET} {socket.SO_LINGER}",
    f"getsockopt {socket.IPPROTO_TCP} {socket.TCP_INFO}",
    f"getsockopt {socket.SOL_SOCKET} {socket.SO_KEEPALIVE}",
    f"ioctl {termios.FIONREAD} 0",
    f"ioctl {termios.TIOCOUTQ} 0",
    f"prctl {PR_GET_PDEATHSIG} 0",
    f"prctl {PR_SET_PDEATHSIG} 0",
    "setrlimit 7 0",
]
"""System calls that a server can do without."""


def assert_drains_whole(server: Server) -> None:
    """Stop a server that has a request in flight, one in its queue, and an idle client."""
    with server.connect() as busy, server.connect() as idle, server.connect("echo") as echo:
        echo.sendall(b"hello")
        assert echo.recv(100) == b"hello"
        idle.sendall(HELLO)
        assert idle.recv(1000).endswith(b"Hello, World!")
        busy.sendall(b"GET /wait?ms=500 HTTP/1.1\r\nHost: a\r\n\r\n")
        wait_until_received(server, busy)
        with stopped(server):
            late = server.connect()
            late.sendall(HELLO)
            server.process.terminate()
        with late:
            assert b"Hello, World!" in read_to_end(late)
        assert read_to_end(busy).startswith(b"HTTP/1.1 200 ")
        assert read_to_end(idle) == read_to_end(echo) == b""
    assert server.process.wait(DEADLINE_S) == 0


@pytest.mark.parametrize(
    ("error", "workers"),
    [(errno.ENOPROTOOPT, 1), (errno.ENOMEM, 1), (errno.EINVAL, 2)],
    ids=["no such option", "no memory", "invalid, with workers"],
)
def test_a_server_without_optional_kernel_features_serves_and_drains(
    model: str, error: int, workers: int
) -> None:
    with running(model, env=kernel_without(*OPTIONAL, error=error), workers=workers) as server:
        assert server.metrics()["server_accepted_connections_total{http}"] == 1
        assert_drains_whole(server)
        log = server.log()
    warned = MODELS[model].own_process or workers > 1
    assert log.count("\n") == warned and ("SIGKILL" in log) == warned, log


def test_workers_count_where_there_are_no_files_in_memory() -> None:
    with running("forking", env=kernel_without("memfd_create 0 0"), workers=2) as server:
        for _ in range(3):
            server.get("/")
        assert server.metrics()["server_requests_total{http}"] == 3
        assert server.stop() == 0
        assert server.log() == ""


@pytest.mark.parametrize(
    ("call", "name"),
    [
        (f"setsockopt {socket.IPPROTO_TCP} {socket.TCP_NODELAY}", "TCP_NODELAY"),
        (f"setsockopt {socket.SOL_SOCKET} {socket.SO_KEEPALIVE}", "SO_KEEPALIVE"),
        (f"setsockopt {socket.SOL_SOCKET} {socket.SO_RCVTIMEO}", "SO_RCVTIMEO"),
        (f"setsockopt {socket.SOL_SOCKET} {socket.SO_SNDTIMEO}", "SO_SNDTIMEO"),
        (f"setsockopt {socket.SOL_SOCKET} {socket.SO_REUSEPORT}", "SO_REUSEPORT"),
    ],
    ids=lambda text: text.partition(" ")[0],
)
def test_an_option_that_a_server_needs_is_named_when_it_is_refused(call: str, name: str) -> None:
    status, out, err = launch(
        "asyncio", "--http-port=0", "--echo-port=0", "--workers=2",
        env=kernel_without(call, error=errno.ENOPROTOOPT),
    )  # fmt: skip
    assert (status, out) == (3, "")
    assert re.fullmatch(
        rf"[^\n]* the kernel refuses {name}: Protocol not available; run [^\n]*\n", err
    )


@pytest.mark.parametrize(
    ("mount", "workers"),
    [
        ("-t proc -o subset=pid proc /proc", 1),
        ("-t tmpfs none /proc", 1),
        ("-t tmpfs none /proc", 2),
    ],
    ids=["/proc/sys", "/proc", "/proc, with workers"],
)
def test_where_proc_is_hidden_a_server_serves_and_drains(
    model: str, mount: str, workers: int
) -> None:
    with running(model, prefix=mounted(mount), workers=workers) as server:
        metrics = server.metrics()
        assert metrics["server_accepted_connections_total{http}"] == 1
        seen = "subset" in mount
        assert ("server_resident_bytes" in metrics) == seen
        assert ("server_cpu_seconds_total{user}" in metrics) == (
            seen or (workers == 1 and not MODELS[model].own_process)
        )
        assert_drains_whole(server)
        assert server.log() == ""


@pytest.mark.parametrize("workers", [1, 2])
def test_a_forking_server_that_cannot_warm_up_still_serves(workers: int) -> None:
    env = kernel_without(f"send {int(socket.AF_UNIX)} 0", error=errno.ENOBUFS)
    with running("forking", env=env, workers=workers) as server:
        assert server.get("/healthz") == b"ok\n"
        assert server.stop() == 0
        assert server.log().count("no warm-up") == server.log().count("\n") == workers


@pytest.mark.parametrize("workers", [1, 2])
def test_a_model_that_cannot_start_fails_before_the_ready_line(
    tmp_path: Path, workers: int
) -> None:
    (tmp_path / "uvloop.py").write_text("raise ImportError('libuv.so.1: cannot open')\n", "ascii")
    status, out, err = launch(
        "uvloop", "--http-port=0", "--echo-port=0", f"--workers={workers}",
        env={"PYTHONPATH": str(tmp_path)},
    )  # fmt: skip
    assert (status, out) == (3, "")
    assert "libuv.so.1: cannot open" in err
    assert "Traceback" not in err and err.count("\n") <= 2 * workers


def test_where_proc_is_hidden_the_doctor_names_the_checks_it_cannot_do() -> None:
    prefix = mounted("-t proc -o subset=pid proc /proc")
    done = subprocess.run(
        [*prefix, sys.executable, "-m", "loadtest", "doctor"],
        capture_output=True, text=True, timeout=DEADLINE_S, cwd=ROOT,
        env={**os.environ, "COLUMNS": "200"},
    )  # fmt: skip
    assert done.stderr == "" and done.returncode in (0, 1)
    hidden = [line for line in done.stdout.splitlines() if "not visible: /proc" in line]
    assert len(hidden) >= 5, done.stdout
    assert not [line for line in hidden if "PROBLEM" in line]


def test_where_proc_is_hidden_another_servers_use_is_not_known() -> None:
    prefix = mounted("-t proc -o subset=pid proc /proc")
    ask = (
        "import os; from loadtest.measure.process_usage import usage_of_tree as of;"
        "print(of(os.getpid()))"
    )
    done = subprocess.run(
        [*prefix, sys.executable, "-c", ask],
        capture_output=True, text=True, timeout=DEADLINE_S, cwd=ROOT,
    )  # fmt: skip
    assert (done.returncode, done.stdout) == (0, "None\n"), done.stderr
