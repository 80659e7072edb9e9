"""Retries and awaited ends are no errors; verdicts and reports show them."""

import json
import socket
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from loadtest.bundle.write import write_cell
from loadtest.client.replies import HTTPExchange
from loadtest.measure.observation import Observation
from loadtest.measure.table import cell_table
from tests.support.bundles import Cell, make_bundle, matrix, observation
from tests.support.commands import folder_of, run
from tests.support.driving import (
    RIGHT,
    Driven,
    User,
    answering,
    driving,
    once_kept_then,
    resets,
)
from tests.support.running import DEADLINE_S

LOADTEST = [sys.executable, "-m", "loadtest"]


def measured(folder: Path, port: int, *flags: str) -> tuple[str, dict[str, Any]]:
    """Run a load on a server on a port; return what was printed, and the cell."""
    argv = [*LOADTEST, "run", "--target", f"http://127.0.0.1:{port}", "--duration", "1.5"]
    ended = run([*argv, "--warmup", "0.2", "--out", str(folder), *flags])
    assert ended.returncode == 0, ended.stderr
    (path,) = folder_of(ended.stdout).glob("*/cell.json")
    return ended.stdout, json.loads(path.read_text())


def test_a_server_that_breaks_off_every_second_request_is_named_by_the_verdict(
    tmp_path: Path,
) -> None:
    with answering(once_kept_then(resets), one_by_one=False) as address:
        printed, cell = measured(tmp_path, address.port, "--rate", "20", "--connections", "2")
    (class_,) = cell["classes"].values()
    assert class_["errors"] == {} and class_["retries"] > 0.4 * class_["requests"]
    assert "% of the requests were broken off by the server before any byte of a reply" in printed
    assert cell["verdict"]["why"].count("broken off") == 1


def test_waiting_for_connections_to_end_is_not_called_a_slow_server(tmp_path: Path) -> None:
    def stays(sock: Any, number: int) -> bool:
        sock.settimeout(DEADLINE_S)
        sock.sendall(RIGHT.replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n"))
        return True

    with answering(stays, one_by_one=False) as address:
        flags = ["--rate", "60", "--connections", "2", "--duration", "2"]
        printed, cell = measured(tmp_path, address.port, *flags)
    # The kernel counts SYN retransmits of other programs as well.
    assert cell["verdict"]["name"] in ("rate-not-held", "accept-queue-bound"), printed
    assert "the server is slow" not in printed
    assert "of the time in use, connections had their last reply and waited for" in printed


def sent_again(seen: Observation) -> Observation:
    """Return an observation of a server that broke off a request in each second."""
    records = [r | {"inside": r["inside"] | {"retries": 600, "reconnects": 700}}
               for r in seen.records]  # fmt: skip
    return replace(seen, records=records)


def test_report_and_table_show_reconnections_and_retries(tmp_path: Path) -> None:
    wanted = matrix()
    bundle = make_bundle(tmp_path / "run", wanted, lambda _: Cell())
    for cell in wanted.cells():
        result = write_cell(bundle / cell.name, sent_again(observation(wanted, cell, Cell())))
        assert result.verdict.name == "ok" and "30.00% of the requests" in result.verdict.why
        assert "1,200 requests sent again, broken off" in str(cell_table(result).caption)
    ended = run([*LOADTEST, "report", str(bundle)])
    assert ended.returncode == 0, ended.stderr
    for name in ("report.html", "report.md"):
        text = (bundle / name).read_text("utf-8")
        assert "4,200 reconnections" in text and "3,600 requests sent again" in text, name
    html = (bundle / "report.html").read_text("utf-8")
    assert "30.00% of the requests were broken off" in html


def raced(ends: Callable[[socket.socket], None], method: str) -> Driven:
    """Return what came of six requests to a server that ends connections as requests arrive."""
    with answering(once_kept_then(ends)) as address:
        exchange = HTTPExchange(address, "/", method, expected=b"hello")
        with driving(User(address, exchange)) as driven:
            driven.established()
            driven.channel.begin(None)
            driven.until(lambda: driven.requests + driven.errors.total() >= 6)
            return driven


@pytest.mark.parametrize("ends", [resets, lambda sock: None])
def test_a_request_that_meets_the_end_of_a_kept_connection_is_sent_once_more_and_counted(
    ends: Callable[[socket.socket], None],
) -> None:
    driven = raced(ends, "GET")
    assert not driven.errors and driven.retries >= 4 and driven.reconnects == driven.retries


@pytest.mark.parametrize(
    ("ends", "error"), [(resets, "ResetError"), (lambda sock: None, "TruncatedError")]
)
def test_a_request_that_is_not_idempotent_is_not_sent_twice(
    ends: Callable[[socket.socket], None], error: str
) -> None:
    driven = raced(ends, "POST")
    assert driven.errors[error] and not driven.retries
