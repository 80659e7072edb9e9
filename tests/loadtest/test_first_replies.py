"""Failures before a right first reply: a reply that is wrong once, or one without an end."""

import json
import socket
import sys
from pathlib import Path
from typing import Any

import pytest

from loadtest.measure.first_failures import SILENCE, FirstFailure
from tests.loadtest.test_verdict_reasons import answering as threaded
from tests.loadtest.test_verdict_reasons import cell_of, load
from tests.support.commands import folder_of, run
from tests.support.driving import RIGHT, User, answering, driving, right

BEGIN = b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhel"


def status(number: int) -> bytes:
    return b"HTTP/1.1 %d Told\r\nContent-Length: 0\r\n\r\n" % number


@pytest.mark.parametrize("wrong", [500, 404, 502, 503, 504, 408, 425, 429])
def test_one_wrong_reply_does_not_end_a_cell(wrong: int) -> None:
    seen: list[FirstFailure] = []

    def starts(sock: socket.socket, number: int) -> bool:
        if number == 0:
            sock.sendall(status(wrong))
            return True
        return right(sock, number)

    with answering(starts) as address, driving(User(address)) as driven:
        driven.until(lambda: driven.errors.total() == 1)
        if driven.channel.first_failure is not None:  # else the next try was right already
            seen.append(driven.channel.first_failure)
        driven.established()
        assert driven.channel.first_failure is None
    assert not any(one.final for one in seen)


@pytest.mark.parametrize(
    ("replies", "final"),
    [([404, 404], True), ([500, 501], True), ([503, 500], False), ([500, 503], False),
     ([408] * 4, False), ([502] * 4, False), ([504, 429, 425, 503], False)],
)  # fmt: skip
def test_only_a_reply_that_is_wrong_twice_in_a_row_is_final(
    replies: list[int], final: bool
) -> None:
    def starts(sock: socket.socket, number: int) -> bool:
        if number < len(replies):
            sock.sendall(status(replies[number]))
        return True

    with answering(starts) as address, driving(User(address)) as driven:
        driven.until(lambda: driven.errors.total() == len(replies))
        came = driven.channel.first_failure
        assert came is not None and came.name == "WrongStatusError" and came.final == final


def test_a_server_that_answers_its_first_request_with_500_is_measured(tmp_path: Path) -> None:
    def starts(sock: socket.socket, number: int) -> bool:
        sock.sendall(RIGHT if number else status(500))
        return True

    with answering(starts) as address:
        argv = [sys.executable, "-m", "loadtest", "run", "--target", f"http://{address.authority}"]
        argv += ["--rate", "20", "--connections", "1", "--duration", "0.5"]
        argv += ["--warmup", "0.1", "--out", str(tmp_path)]
        ended = run(argv)
    assert ended.returncode == 0, ended.stdout + ended.stderr
    (path,) = folder_of(ended.stdout).glob("*/cell.json")
    assert json.loads(path.read_text())["verdict"]["name"] == "ok"


def test_a_reply_that_has_begun_is_not_called_silence() -> None:
    def begins(sock: socket.socket, number: int) -> bool:
        sock.sendall(BEGIN)
        return True

    with answering(begins) as address, driving(User(address)) as driven:
        assert driven.channel.first_failure is None
        driven.until(lambda: driven.channel.first_failure is not None)
        came = driven.channel.first_failure
        assert came is not None and came.name == "UnfinishedError" != SILENCE
        assert came.text == f"a reply that was not complete: {len(BEGIN)} bytes had come"
        driven.channel.give_up_before(float("inf"))
        driven.look()
        assert driven.errors == {"UnfinishedError": 1}


def trickles(sock: socket.socket, number: int) -> None:
    """Send a byte of a head each tenth of a second while the client reads."""
    sock.sendall(b"HTTP/1.1 200 OK\r\nX-Without-End: ")
    while True:
        sock.settimeout(0.1)
        try:
            if not sock.recv(1):
                return
        except TimeoutError:
            sock.settimeout(None)
            sock.sendall(b"x")


@pytest.mark.parametrize("first", [0, 4], ids=["from the first reply on", "after first replies"])
def test_a_server_that_never_ends_a_reply_is_not_called_silent(first: int, tmp_path: Path) -> None:
    def answer(sock: Any, number: int) -> None:
        if number < first:
            sock.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 13\r\n\r\nHello, World!")
        else:
            trickles(sock, number)

    with threaded(answer) as url, load(tmp_path / "cell", url, "--deadline=0.5") as locust:
        verdict = cell_of(locust, tmp_path / "cell")["verdict"]
    assert verdict["name"] == "errors", verdict
    assert "nothing" not in verdict["why"] and "silent" not in verdict["why"]
    message = "had begun" if first else "all 4: UnfinishedError: a reply that was not complete: "
    assert message in verdict["why"]
