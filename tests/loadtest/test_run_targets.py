"""python -m loadtest run against servers that are not ours."""

import io
import json
import os
import re
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path
from typing import Any, Self

import pytest

from loadtest.host import tables, terminal
from loadtest.measure.result import result_of
from loadtest.measure.table import cell_table
from loadtest.running.target import process_is_there
from tests.support.bundles import Cell, matrix, observation
from tests.support.commands import folder_of, run

RUN = [sys.executable, "-m", "loadtest", "run"]
QUICK = ["--duration", "1", "--warmup", "0.2"]


@contextmanager
def python_http_server(folder: Path, version: str = "HTTP/1.0") -> Iterator[tuple[str, int]]:
    """Run Python's own server for the length of a block; yield its URL and its pid."""
    command = [sys.executable, "-u", "-m", "http.server", "0", "--bind", "127.0.0.1"]
    with subprocess.Popen(
        [*command, "--protocol", version],
        cwd=folder,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    ) as server:
        try:
            assert server.stdout is not None
            port = re.search(r"port (\d+)", server.stdout.readline())
            assert port is not None
            yield f"http://127.0.0.1:{port[1]}", server.pid
        finally:
            server.kill()


def only_class_of(output: str) -> dict[str, Any]:
    (path,) = folder_of(output).glob("*/cell.json")
    (class_,) = json.loads(path.read_text())["classes"].values()
    return dict(class_)


def test_a_server_that_closes_after_each_reply_is_measured_flat_out(tmp_path: Path) -> None:
    (tmp_path / "page").write_bytes(b"x" * 100)
    with python_http_server(tmp_path) as (url, _):
        argv = [*RUN, *QUICK, "--target", url, "--scenario", "get", "--path", "/page"]
        ended = run([*argv, "--connections", "4", "--out", str(tmp_path)])
    assert ended.returncode == 0, ended.stderr
    seen = only_class_of(ended.stdout)
    assert seen["errors"] == {} and seen["requests"] > 0
    assert seen["reconnects"] > seen["requests"] / 2
    assert re.search(r"[\d,]+ reconnections, as the server closed", ended.stdout)


def test_a_search_against_a_target_with_wrong_replies_ends_flat_out_with_the_reason(
    tmp_path: Path,
) -> None:
    with python_http_server(tmp_path) as (url, _):
        argv = [*RUN, *QUICK, "--target", f"{url}/nosuch", "--find-capacity", "p99=50ms"]
        ended = run([*argv, "--connections", "4", "--out", str(tmp_path)])
    assert ended.returncode == 1, ended.stderr
    output = " ".join(ended.stdout.split())
    assert "no search for p99=50ms: flat out, no request had a right reply" in output
    assert "verdict: errors: " in output and "404" in output
    cells = folder_of(ended.stdout).glob("*/cell.json")
    assert [path.parent.name for path in cells] == ["get-4-flat-out"]


class Recorder:
    """A server that keeps the head of every request, and answers it rightly."""

    def __init__(self) -> None:
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=100)
        self.heads: list[bytes] = []
        self.url = f"http://127.0.0.1:{self._listener.getsockname()[1]}"

    def __enter__(self) -> Self:
        threading.Thread(target=self._accept, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()

    def _accept(self) -> None:
        with suppress(OSError):  # the test has ended
            while True:
                sock, _ = self._listener.accept()
                threading.Thread(target=self._answer, args=(sock,), daemon=True).start()

    def _answer(self, sock: socket.socket) -> None:
        with sock, suppress(OSError):
            while head := sock.recv(65536):
                self.heads.append(head)
                sock.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 13\r\n\r\nHello, World!")

    def asked(self) -> set[bytes]:
        """Return the heads of the load, without the meter's own."""
        return {head for head in self.heads if not head.startswith(b"GET /metrics")}


def test_a_targets_path_is_requested_with_the_given_headers(tmp_path: Path) -> None:
    with Recorder() as server:
        argv = [*RUN, *QUICK, "--target", f"{server.url}/münchen v1?x=1".replace(" ", "%20")]
        argv += ["--scenario", "get", "--header", "Authorization: secret", "--header=X-A:b"]
        ended = run([*argv, "--rate", "50", "--connections", "2", "--out", str(tmp_path)])
    assert ended.returncode == 0, ended.stderr
    assert only_class_of(ended.stdout)["errors"] == {}
    (head,) = server.asked()
    lines = head.decode("ascii").split("\r\n")
    assert lines[0] == "GET /m%C3%BCnchen%20v1?x=1 HTTP/1.1"
    assert lines[2].startswith("User-Agent: concurrency-showcase/")
    assert lines[3:5] == ["Authorization: secret", "X-A: b"]
    kept = (folder_of(ended.stdout) / "run.json").read_text()
    assert "Authorization" in kept and "secret" not in kept


def test_compare_requests_each_targets_path_and_resumes_only_with_the_same_headers(
    tmp_path: Path,
) -> None:
    compare = [sys.executable, "-m", "loadtest", "compare"]
    argv = [*compare, "--repeats", "1", "--scenarios", "get", "--connections", "10"]
    argv += ["--loads", "rate", "--duration", "0.5", "--warmup", "0.1", "--out", str(tmp_path)]
    with Recorder() as one, Recorder() as two:
        argv += ["--target", f"one={one.url}/api", "--target", f"two={two.url}", "--path=/b"]
        ended = run([*argv, "--header", "X-A: secret"])
        assert ended.returncode == 0, ended.stderr
        for server, asked in ((one, b"GET /api "), (two, b"GET /b ")):
            (head,) = server.asked()
            assert head.startswith(asked) and b"\r\nX-A: secret\r\n" in head
        (folder,) = tmp_path.iterdir()
        assert "secret" not in (folder / "run.json").read_text()
        again = run([*compare, "--resume", str(folder), "--header", "X-B: secret"])
        assert again.returncode == 2
        assert "expected each --header that the run began with: X-A" in again.stderr
        ended = run([*argv[:-1], "--scenarios", "get,hello"])
        assert ended.returncode == 2 and "a target with a path, got get,hello" in ended.stderr


def test_locust_takes_the_path_of_its_host_and_headers(tmp_path: Path) -> None:
    argv = [sys.executable, "-m", "locust", "-f", "loadtest/locustfile.py", "--headless"]
    argv += ["--only-summary", "--users=2", "--rate=50", "--warmup=0.2", "--window=0.5"]
    with Recorder() as server:
        argv += ["--header", "X-A: b", f"--cell={tmp_path}"]
        ended = run([*argv, f"--host={server.url}/api?x=1", "Get"])
        assert ended.returncode == 0, ended.stderr
        (head,) = server.asked()
        assert head.startswith(b"GET /api?x=1 HTTP/1.1\r\n") and b"\r\nX-A: b\r\n" in head


@pytest.mark.parametrize(
    ("flags", "why"),
    [
        (["--host=http://127.0.0.1:9/api", "Hello"], "Hello: expected a host without a path"),
        (["--host=http://127.0.0.1:9/api", "Echo"], "Echo: expected a host without a path"),
        (["--host=http://127.0.0.1:9/api", "--path=/x", "Get"], "a host without a path to request"),
        (["--host=http://u:p@127.0.0.1:9", "Hello"], "expected no credentials"),
        (["--host=http://127.0.0.1:9/#a", "Get"], "expected no fragment"),
        (["--host=http://..", "Get"], "expected a host of 1 to 63 characters between dots"),
        (["--host=tcp://127.0.0.1:9", "Hello"], "Hello: expected http://HOST:PORT"),
        (["-u101", "--header=Connection: close", "Active", "Held"], "Held: expected no 'Conn"),
        (["--path=x", "Get"], "expected a path that begins with a slash"),
        (["--header=X", "Get"], "expected 'Name: value' in visible ASCII"),
        (["--echo-host=a:1/x", "Echo"], "expected HOST:PORT without a path"),
        (["--server-pid=4194304", "Hello"], "a process that runs here, got 4194304"),
    ],
)
def test_locust_refuses_at_once_requests_that_its_users_cannot_make(
    flags: list[str], why: str
) -> None:
    argv = [sys.executable, "-m", "locust", "-f", "loadtest/locustfile.py", "--headless"]
    ended = run([*argv, *flags])
    assert ended.returncode == 2, ended.stderr
    assert why in ended.stderr and "Traceback" not in ended.stderr


AT = ["--target", "{url}"]
IDLE = ["--scenario", "idle", "--connections", "101"]


@pytest.mark.parametrize(
    ("flags", "why"),
    [
        (["--target", ""], "expected http://HOST:PORT or tcp://HOST:PORT, got ''"),
        (["--target", "http://"], "expected http://HOST:PORT or HOST:PORT, got 'http://'"),
        (["--target", "http://" + "a" * 64 + ".test"], "a host of 1 to 63 characters between"),
        (["--target", "http://a..b"], "expected a host of 1 to 63 characters between dots"),
        (["--target", "http://" + "a." * 127 + "b"], "between dots and 253 in all"),
        (["--target", "{url}/#a", "--scenario", "get"], "expected no fragment"),
        (["--target", "http://u:p@{host}", "--scenario", "get"], "expected no credentials"),
        (["--target", "{url}/a b", "--scenario", "get"], "expected no space"),
        (["--target", "{url}/api/v1?x=1", "--scenario", "hello"], "expected the scenario get"),
        (["--target", "{url}/a", "--scenario", "get", "--path", "/b"], "expected one path"),
        ([*AT, "--scenario", "get", "--path", ""], "a path that begins with a slash, got ''"),
        ([*AT, "--scenario", "get", "--path", "a"], "a path that begins with a slash, got 'a'"),
        ([*AT, "--scenario", "get", "--path", "/a\r\nX: y"], "without control characters"),
        ([*AT, "--scenario", "hello", "--path", "/a"], "expected the scenario get with --path"),
        ([*AT, "--scenario", "get", "--header", "X"], "expected 'Name: value'"),
        ([*AT, "--scenario", "get", "--header", ""], "expected 'Name: value'"),
        ([*AT, "--scenario", "get", "--pid", "4194304"], "a process that runs here, got 4194304"),
        ([*AT, "--scenario", "get", "--find-capacity", ""], "expected"),
        ([*AT, *IDLE, "--header", "Connection: Close"], "which holds its connections"),
        (["asyncio", "--scenario", "echo", "--header", "X: y"], "over HTTP with --header"),
    ],
)
def test_options_that_would_be_ignored_or_sent_wrongly_are_refused_at_once(
    flags: list[str], why: str, tmp_path: Path
) -> None:
    with Recorder() as server:
        places = {"url": server.url, "host": server.url.removeprefix("http://")}
        given = [flag.format(**places) for flag in flags]
        ended = run([*RUN, *given, "--out", str(tmp_path)])
        assert not server.heads
    assert ended.returncode == 2, ended.stdout + ended.stderr
    assert why in ended.stderr and ended.stderr.count("\n") == 1
    assert [*tmp_path.iterdir()] == []


def test_a_thread_or_an_ended_process_is_no_process_to_measure() -> None:
    assert process_is_there(os.getpid()) and not process_is_there(1 << 22)
    done = threading.Event()
    with subprocess.Popen(["true"]) as ended:
        os.waitid(os.P_PID, ended.pid, os.WEXITED | os.WNOWAIT)
        assert not process_is_there(ended.pid)  # a zombie
    thread = threading.Thread(target=done.wait)
    thread.start()
    assert thread.native_id is not None and not process_is_there(thread.native_id)
    done.set()
    thread.join()


def test_an_ipv6_address_that_begins_with_a_letter_is_shown_whole(tmp_path: Path) -> None:
    refused = "http://[fd00::1]:18592"
    ended = run([*RUN, "--target", refused, "--scenario", "get", "--out", str(tmp_path)])
    assert ended.returncode == 2 and refused in ended.stderr
    wanted = matrix()
    seen = replace(result_of(observation(wanted, wanted.cells()[0], Cell())), target=refused)
    shown = io.StringIO()
    console = terminal.console()
    console.file = shown
    tables.print_tables(console, cell_table(seen))
    assert refused in shown.getvalue()
