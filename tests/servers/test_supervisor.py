"""The supervisor, whatever its workers serve: failures, pauses, and reloads."""

import contextlib
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from servers.counting.process_tree import children_of
from tests.support.asking import HELLO, answer_of
from tests.support.limits_of_machine import ROOT, launch
from tests.support.running import DEADLINE_S, command, running, wait_until


def test_a_worker_that_keeps_dying_is_replaced_after_longer_and_longer_pauses() -> None:
    with running("asyncio", workers=2) as server:
        _, steady = server.acceptors
        for _ in range(4):
            [victim] = set(server.acceptors) - {steady}
            os.kill(victim, signal.SIGKILL)
            wait_until(lambda: len(set(server.acceptors) - {steady, victim}) == 1, "another")  # noqa: B023
        pauses = re.findall(r"the next one starts in (\S+) s\n", server.log())
        assert pauses == ["0", "0.1", "0.2", "0.4"]
        assert server.stop() == 0


def test_sighup_does_not_shorten_a_pause(fate: Path) -> None:
    with running("asyncio", workers=2, env={"PYTHONPATH": str(fate.parent)}) as server:
        fate.write_text("1")
        os.kill(server.acceptors[0], signal.SIGKILL)
        wait_until(lambda: "the next one starts in 0.8 s" in server.log(), "a pause")
        server.process.send_signal(signal.SIGHUP)
        time.sleep(0.5)  # a successor started now would have died by then
        assert "started in 1.6 s" not in server.log()
        fate.unlink()
        wait_until(lambda: len(server.acceptors) == 2, "a successor")
        assert server.stop() == 0


def test_a_worker_may_die_of_any_signal() -> None:
    with running("asyncio", workers=2) as server:
        victim = server.acceptors[0]
        os.kill(victim, signal.SIGRTMIN + 3)
        wait_until(lambda: f"worker {victim} ended with signal" in server.log(), "a log line")
        assert server.stop() == 0


@pytest.fixture
def fate(tmp_path: Path) -> Path:
    """Return a file: as long as it is there, workers that start exit at once with its status."""
    path = tmp_path / "fate"
    (tmp_path / "sitecustomize.py").write_text(
        "import os, pathlib, sys\n"
        f"fate = pathlib.Path({str(path)!r})\n"
        "if 'servers.process.worker' in sys.orig_argv and fate.exists():\n"
        "    os._exit(int(fate.read_text()))\n"
    )
    return path


def test_workers_that_cannot_start_are_a_start_up_failure(fate: Path) -> None:
    fate.write_text("1")
    status, out, err = launch(
        "gevent",
        "--http-port=0",
        "--echo-port=0",
        "--workers=3",
        env={"PYTHONPATH": str(fate.parent)},
    )
    assert (status, out) == (3, "")
    assert re.fullmatch(r"[^\n]*status 1 before it was ready; run [^\n]*\n", err)


def test_where_no_worker_is_left_and_none_can_be_imported_the_server_ends(fate: Path) -> None:
    with running("threaded", workers=2, env={"PYTHONPATH": str(fate.parent)}) as server:
        fate.write_text("3")
        for victim in server.acceptors:
            os.kill(victim, signal.SIGKILL)
        assert server.process.wait(DEADLINE_S) == 3
        assert server.log().endswith(" before it was ready; run with --workers 1 to see why\n")


@pytest.mark.parametrize("status", [1, 3])
def test_while_a_worker_serves_a_successor_that_fails_is_tried_again(
    status: int, fate: Path
) -> None:
    with running("threaded", workers=2, env={"PYTHONPATH": str(fate.parent)}) as server:
        fate.write_text(str(status))
        os.kill(server.acceptors[0], signal.SIGKILL)
        wait_until(
            lambda: "the next one starts in 0.1 s" in server.log(), "a successor that has died"
        )
        fate.unlink()
        wait_until(lambda: len(server.acceptors) == 2, "a successor that lives")
        assert [server.get("/") for _ in range(20)] == [b"Hello, World!"] * 20
        assert server.stop() == 0


def test_sighup_replaces_no_worker_where_a_successor_cannot_start(fate: Path) -> None:
    with running("threaded", workers=2, env={"PYTHONPATH": str(fate.parent)}) as server:
        workers = server.acceptors
        fate.write_text("3")
        server.process.send_signal(signal.SIGHUP)
        wait_until(lambda: "reload stopped" in server.log(), "a log line")
        assert server.acceptors == workers
        assert [server.get("/") for _ in range(20)] == [b"Hello, World!"] * 20
        fate.unlink()
        server.process.send_signal(signal.SIGHUP)
        wait_until(lambda: not set(server.acceptors) & set(workers), "other workers")
        assert server.stop() == 0


def test_a_client_that_waits_for_a_worker_is_served_before_the_end(fate: Path) -> None:
    with running("asyncio", workers=2, env={"PYTHONPATH": str(fate.parent)}) as server:
        fate.write_text("1")
        os.kill(server.acceptors[0], signal.SIGKILL)
        wait_until(lambda: "the next one starts in 0.8 s" in server.log(), "a pause")
        with contextlib.ExitStack() as stack:
            socks = [stack.enter_context(server.connect()) for _ in range(30)]
            for sock in socks:
                sock.sendall(HELLO)
            fate.unlink()
            server.process.send_signal(signal.SIGTERM)
            for sock in socks:
                assert answer_of(sock).startswith(b"HTTP/1.1 200 ")
        assert server.process.wait(DEADLINE_S) == 0


def test_a_second_sighup_replaces_the_workers_that_the_first_started() -> None:
    with running("asyncio", workers=2) as server:
        first = set(server.acceptors)
        server.process.send_signal(signal.SIGHUP)
        wait_until(lambda: len(set(server.acceptors) - first) == 1, "a successor")
        [second] = set(server.acceptors) - first
        server.process.send_signal(signal.SIGHUP)
        wait_until(lambda: second not in server.acceptors, "its own successor")
        wait_until(lambda: len(server.acceptors) == 2, "two workers")
        assert server.stop() == 0
        assert server.log() == ""


def test_a_worker_that_does_not_leave_is_ended_after_the_grace_period() -> None:
    with running("asyncio", "--timeout-graceful-shutdown=0.5", workers=2) as server:
        stopped = server.acceptors
        for pid in stopped:
            os.kill(pid, signal.SIGSTOP)
        server.process.send_signal(signal.SIGHUP)
        wait_until(lambda: not set(stopped) & set(server.acceptors), "two other workers")
        assert server.get("/") == b"Hello, World!"
        assert server.stop() == 0
        assert server.log().count("has not drained in time: killed\n") == 2


@pytest.mark.parametrize("signum", [signal.SIGHUP, signal.SIGINT, signal.SIGTERM])
def test_a_signal_to_all_does_not_end_a_worker_that_cannot_answer_yet(signum: int) -> None:
    argv = command("asyncio", "--workers=3")
    with subprocess.Popen(
        argv, stdout=subprocess.PIPE, stderr=subprocess.PIPE, cwd=ROOT, process_group=0
    ) as process:
        try:
            wait_until(lambda: len(children_of(process.pid)) == 3, "workers that start")
            os.killpg(process.pid, signum)
            assert process.stdout is not None and process.stderr is not None
            if signum == signal.SIGHUP:
                assert process.stdout.readline().startswith(b"listening ")
                process.terminate()
            assert process.wait(DEADLINE_S) == 0
            assert process.stderr.read() == b""
        finally:
            process.kill()


def test_a_worker_that_hangs_is_ended_after_the_grace_period() -> None:
    with running("asyncio", "--timeout-graceful-shutdown=0.5", workers=2) as server:
        os.kill(server.acceptors[0], signal.SIGSTOP)
        assert server.stop() == 0


def test_more_workers_than_descriptors_allow_are_a_start_up_failure() -> None:
    status, out, err = launch("asyncio", "--workers=1000000")
    assert (status, out) == (3, "")
    assert re.fullmatch(
        r"[^\n]*expected --workers up to \d+, [^\n]*got 1000000; run: ulimit[^\n]*\n", err
    )


@pytest.mark.parametrize(
    ("flags", "env", "workers"),
    [
        ([], {"WEB_CONCURRENCY": "2"}, 2),
        ([], {"WEB_CONCURRENCY": "2", "SERVERS_WORKERS": "3"}, 3),
        (["--workers=2"], {"WEB_CONCURRENCY": "4", "SERVERS_WORKERS": "3"}, 2),
    ],
)
def test_the_flag_comes_before_its_own_variable_and_that_before_web_concurrency(
    flags: list[str], env: dict[str, str], workers: int
) -> None:
    with running("asyncio", *flags, env=env, workers=0) as server:
        assert len(children_of(server.pid)) == workers
        assert server.metrics()["server_limit{workers}"] == workers
        assert server.stop() == 0


def test_workers_run_under_the_interpreters_flags() -> None:
    argv = [sys.executable, "-X", "dev", "-W", "error", "-m", "servers", "asyncio", "--workers=2"]
    argv += ["--http-port=0", "--echo-port=0"]
    with subprocess.Popen(argv, stdout=subprocess.PIPE, cwd=ROOT) as process:
        try:
            assert process.stdout is not None
            assert process.stdout.readline().startswith(b"listening ")
            for pid in children_of(process.pid):
                given = Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
                assert {b"-X", b"dev", b"-Werror"} <= set(given)
            process.terminate()
            assert process.wait(DEADLINE_S) == 0
        finally:
            process.kill()


def test_a_port_of_another_server_with_workers_is_in_use() -> None:
    with running("asyncio", workers=2) as server:
        assert server.http is not None
        flags = [f"--http-port={server.http[1]}", "--echo-port=off", "--workers=2"]
        status, out, err = launch("asyncio", *flags)
        assert (status, out) == (3, "")
        assert re.fullmatch(r"[^\n]*cannot listen on [^\n]*in use; run with another [^\n]*\n", err)
        assert server.stop() == 0
