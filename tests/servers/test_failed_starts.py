"""A start that fails: one line gives the reason, and beside other workers it is repeated."""

import contextlib
import errno
import os
import re
import signal
import socket
from pathlib import Path

import pytest

from tests.support.asking import ask, clients
from tests.support.lacking import kernel_without
from tests.support.limits_of_machine import launch
from tests.support.running import running, wait_until

_WORKERS_LACK = """
import os, sys
if "servers.process.worker" in sys.orig_argv and os.path.exists({flag!r}):
    os.environ["KERNEL_LACKS"] = {rule!r}
"""


def test_a_worker_that_cannot_start_for_now_ends_no_service(model: str, tmp_path: Path) -> None:
    flag, rule = tmp_path / "full", f"pipe2 0 0 {errno.ENFILE}"
    (tmp_path / "sitecustomize.py").write_text(_WORKERS_LACK.format(flag=str(flag), rule=rule))
    env = {**kernel_without(), "PYTHONPATH": str(tmp_path)}
    flags = ["--timeout-keep-alive=60"]
    with running(model, *flags, env=env, workers=2) as server, clients(server, 20) as socks:
        assert all(ask(sock).startswith(b"HTTP/1.1 200 ") for sock in socks)
        flag.touch()
        steady, victim = server.acceptors
        os.kill(victim, signal.SIGKILL)
        wait_until(
            lambda: "the next one starts in 0.4 s" in server.log(), "workers that cannot start"
        )
        answered = 0
        for sock in socks:
            with contextlib.suppress(ConnectionResetError, BrokenPipeError):
                answered += ask(sock).startswith(b"HTTP/1.1 200 ")
        assert answered > 0  # by the other worker
        flag.unlink()
        wait_until(lambda: len(server.acceptors) == 2, "another worker")
        assert steady in server.acceptors
        assert [server.get("/") for _ in range(20)] == [b"Hello, World!"] * 20
        for sock in socks:
            sock.close()
        assert server.stop() == 0
        log = server.log()
    assert "cannot start: OSError: [Errno 23] Too many open files in system\n" in log
    assert "Traceback" not in log


@pytest.mark.parametrize(
    ("looping", "call"),
    [
        ("asyncio", f"socketpair {int(socket.AF_UNIX)} 0"),
        ("uvloop", f"socketpair {int(socket.AF_UNIX)} 0"),
        ("uvloop", "epoll_create 0 0"),
    ],
)
def test_a_failing_event_loop_is_a_start_up_failure_in_one_line(looping: str, call: str) -> None:
    env = kernel_without(call, error=errno.ENFILE)
    status, out, err = launch(looping, "--http-port=0", "--echo-port=0", env=env)
    assert (status, out) == (3, "")
    assert re.fullmatch(r"[^\n]*cannot start: OSError: \[Errno 23\][^\n]*\n", err)
