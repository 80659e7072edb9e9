"""Each failure has the right verdict and reason: servers that refuse, reset, are slow or silent."""

import contextlib
import json
import socket
import struct
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from itertools import count
from pathlib import Path
from typing import Any

import pytest

from loadtest.measure.wording import counted
from tests.support.commands import LIMIT_S, folder_of, run, started
from tests.support.running import Server

RIGHT = b"HTTP/1.1 200 OK\r\nContent-Length: 13\r\n\r\nHello, World!"
BUSY = b"HTTP/1.1 503 Service Unavailable\r\nContent-Length: 4\r\n\r\nbusy"
FOREIGN = b"HTTP/1.1 200 OK\r\nContent-Length: 22\r\n\r\n<!doctype html> mine!\n"
MISSING = b"HTTP/1.1 404 Not Found\r\nContent-Length: 5\r\n\r\nnone\n"

Answer = Callable[[socket.socket, int], None]
"""Takes a connection with a request in it, and the request's number among all; /metrics aside."""


@contextlib.contextmanager
def answering(answer: Answer) -> Iterator[str]:
    """Run a server with a thread for each connection; yield its URL."""
    numbers = count()

    def serve(sock: socket.socket) -> None:
        with sock, contextlib.suppress(OSError):
            while data := sock.recv(65536):
                if data.startswith(b"GET /metrics"):
                    sock.sendall(MISSING)
                else:
                    answer(sock, next(numbers))

    def accept() -> None:
        with contextlib.suppress(OSError):  # the test has ended
            while True:
                sock, _ = listener.accept()
                threading.Thread(target=serve, args=(sock,), daemon=True).start()

    with socket.create_server(("127.0.0.1", 0), backlog=1024) as listener:
        threading.Thread(target=accept, daemon=True).start()
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"
        listener.shutdown(socket.SHUT_RDWR)


def always(reply: bytes) -> Answer:
    return lambda sock, number: sock.sendall(reply)


def reset(sock: socket.socket, number: int) -> None:
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("@ii", 1, 0))
    sock.close()


def silent(sock: socket.socket, number: int) -> None:
    """Answer nothing."""


@contextlib.contextmanager
def load(folder: Path, url: str, *flags: str) -> Iterator[subprocess.Popen[str]]:
    """Run Locust; where a server may be silent for 30 s, here it may for one."""
    folder.mkdir()
    locustfile = folder / "impatient.py"
    locustfile.write_text(
        "from loadtest import limits, plugin\n"
        "from loadtest.scenarios import Hello\n"
        "limits.SILENCE_MAX_S = 1.0\n"
    )
    argv = [sys.executable, "-m", "locust", "-f", str(locustfile), "--headless", "--only-summary"]
    argv += ["-u", "4", "-r", "4", f"--host={url}", f"--cell={folder}"]
    with started([*argv, "--rate=20", "--warmup=0", "--window=1", *flags, "Hello"]) as locust:
        yield locust


def cell_of(locust: subprocess.Popen[str], folder: Path) -> dict[str, Any]:
    _, errors = locust.communicate(timeout=LIMIT_S)
    path = folder / "cell.json"
    assert path.exists(), errors
    cell: dict[str, Any] = json.loads(path.read_text())
    return cell


def test_the_reason_lists_failed_first_replies_and_they_decide_the_verdict(tmp_path: Path) -> None:
    with contextlib.ExitStack() as stack:
        with answering(silent) as refusing:
            pass
        urls = {
            "refused": refusing,
            "reset": stack.enter_context(answering(reset)),
            "busy": stack.enter_context(answering(always(BUSY))),
            "silent": stack.enter_context(answering(silent)),
        }
        flags = ["--deadline=0.5"]
        runs = {n: stack.enter_context(load(tmp_path / n, url, *flags)) for n, url in urls.items()}
        verdicts = {name: cell_of(one, tmp_path / name)["verdict"] for name, one in runs.items()}
    assert {name: verdict["name"] for name, verdict in verdicts.items()} == {
        "refused": "errors", "reset": "errors", "busy": "errors", "silent": "no-reply",
    }  # fmt: skip
    why = {name: verdict["why"] for name, verdict in verdicts.items()}
    assert all(
        one.startswith("0 of 4 connections had a right reply after ") for one in why.values()
    )
    assert "all 4: RefusedError: " in why["refused"] and "Connection refused" in why["refused"]
    assert "all 4: ResetError: " in why["reset"]
    assert "all 4: WrongStatusError: " in why["busy"] and "503" in why["busy"]
    assert "all 4: TimedOutError" in why["silent"] or "all 4: nothing came" in why["silent"]


def test_failed_first_replies_of_two_processes_are_merged(tmp_path: Path) -> None:
    with answering(always(MISSING)) as url:
        argv = [sys.executable, "-m", "loadtest", "run", "--target", url, "--connections", "4"]
        ended = run([*argv, "--processes", "2", "--rate", "10", "--out", str(tmp_path)])
    assert ended.returncode == 1, ended.stderr
    assert "0 of 4 connections had a right reply" in ended.stdout
    assert "all 4: WrongStatusError: " in ended.stdout and "404" in ended.stdout


@pytest.mark.parametrize(
    ("reply", "shown"),
    [
        (FOREIGN, ["'HTTP/1.1 200 OK' with 22 bytes", "<!doctype html>", "13: b'Hello, World!'"]),
        (MISSING, ["'HTTP/1.1 404 Not Found' with 5 bytes", "none", "expected status 200"]),
    ],
)
def test_a_wrong_reply_to_every_first_request_ends_the_cell_at_once(
    tmp_path: Path, reply: bytes, shown: list[str]
) -> None:
    with answering(always(reply)) as url:
        argv = [sys.executable, "-m", "loadtest", "run", "--target", url, "--scenario", "hello"]
        # As long as it may be silent, the cell would wait: the test would not.
        argv += ["--deadline", "600", "--rate", "10", "--connections", "10"]
        ended = run([*argv, "--out", str(tmp_path)])
    assert ended.returncode == 1, ended.stderr
    (line,) = [line for line in ended.stdout.splitlines() if line.startswith("verdict: errors: ")]
    assert "0 of 10 connections had a right reply" in line and "all 10: " in line
    assert all(part in line for part in shown)


def test_requests_given_up_at_the_end_are_a_rate_not_held(tmp_path: Path) -> None:
    def slow(sock: socket.socket, number: int) -> None:
        # 4 connections make 16 requests a second, so that the last ones come after the window.
        if number < 48:
            time.sleep(0.25)
            sock.sendall(RIGHT)

    with answering(slow) as url:
        with load(tmp_path / "cell", url, "--rate=40", "--window=2", "--deadline=3") as locust:
            cell = cell_of(locust, tmp_path / "cell")
        assert locust.returncode == 0
    assert cell["verdict"]["name"] == "rate-not-held", cell["verdict"]
    hello = cell["classes"]["Hello"]
    assert hello["errors"] == {} and hello["requests"] > 0
    given_up = f"{counted(hello['given_up'], 'request')} given up"
    assert hello["given_up"] > 0 and given_up in cell["verdict"]["why"]


@pytest.mark.parametrize("rate", ["40", "0"])
def test_a_server_that_falls_silent_has_a_verdict_of_its_own(tmp_path: Path, rate: str) -> None:
    def first_only(sock: socket.socket, number: int) -> None:
        if number < 4:
            sock.sendall(RIGHT)

    flags = [f"--rate={rate}", "--deadline=0.5", "--warmup=0.2"]
    with answering(first_only) as url, load(tmp_path / "cell", url, *flags) as locust:
        cell = cell_of(locust, tmp_path / "cell")
    assert cell["verdict"]["name"] == "no-reply", cell["verdict"]
    assert cell["classes"]["Hello"]["requests"] == 0


def test_a_silence_shorter_than_the_deadline_is_no_error(tmp_path: Path) -> None:
    def late(sock: socket.socket, number: int) -> None:
        time.sleep(2.5)  # the meter looks once a second for silence of more than a second
        sock.sendall(RIGHT)

    flags = ["--rate=0", "--deadline=60", "--window=5"]
    with answering(late) as url, load(tmp_path / "cell", url, *flags) as locust:
        cell = cell_of(locust, tmp_path / "cell")
    assert cell["classes"]["Hello"]["errors"] == {} and cell["classes"]["Hello"]["requests"] > 0
    assert cell["verdict"]["name"] not in ("errors", "no-reply"), cell["verdict"]


@pytest.mark.parametrize(("scheme", "scenario"), [("http", "get"), ("tcp", "echo")])
def test_the_default_scenario_of_a_target_is_one_that_any_server_answers(
    tmp_path: Path, any_server: Server, scheme: str, scenario: str
) -> None:
    address = any_server.http if scheme == "http" else any_server.echo
    assert address is not None
    argv = [
        sys.executable,
        "-m",
        "loadtest",
        "run",
        "--target",
        f"{scheme}://127.0.0.1:{address[1]}",
    ]
    argv += ["--rate", "20", "--connections", "2", "--duration", "0.5", "--out", str(tmp_path)]
    ended = run(argv)
    assert ended.returncode == 0, ended.stderr
    assert [*folder_of(ended.stdout).glob(f"{scenario}-2-20/cell.json")]


@pytest.mark.parametrize(
    ("command", "meant"),
    [
        ("run", ["0", "1", "2", "130"]),
        ("compare", ["0", "1", "2", "4", "130"]),
        ("report", ["0", "1", "2", "4", "130"]),
        ("dashboard", ["0", "2", "3", "130"]),
        ("selftest", ["0", "1", "2", "130"]),
        ("doctor", ["0", "1", "2", "130"]),
    ],
)
def test_help_explains_each_exit_status(command: str, meant: list[str]) -> None:
    shown = run([sys.executable, "-m", "loadtest", command, "--help"]).stdout
    _, _, statuses = shown.partition("exit status:\n")
    assert [line.split()[0] for line in statuses.splitlines() if line[:5].strip()] == meant


def test_the_default_comparison_of_a_target_is_one_that_any_server_answers(
    tmp_path: Path, any_server: Server
) -> None:
    assert any_server.http is not None
    target = f"mine=http://127.0.0.1:{any_server.http[1]}/json"
    argv = [sys.executable, "-m", "loadtest", "compare", "--target", target, "--connections", "2"]
    argv += ["--loads", "rate", "--repeats", "1", "--duration", "0.5", "--warmup", "0"]
    ended = run([*argv, "--out", str(tmp_path)])
    assert ended.returncode == 0, ended.stderr
    cells = [json.loads(cell.read_text()) for cell in tmp_path.glob("*/*/cell.json")]
    assert {cell["scenario"] for cell in cells} == {"get"}
