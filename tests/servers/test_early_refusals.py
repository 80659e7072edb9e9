"""Uploads that are refused before their end: the client still reads the reason."""

import contextlib
import http.client
import io
import shutil
import socket
import subprocess
import time
from pathlib import Path

import aiohttp
import pytest

from servers import limits
from servers.waiting.lingering import Lingering
from tests.support.running import DEADLINE_S, Server, read_to_end

MIB = 1 << 20
TOO_LARGE = b"POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: %d\r\n\r\n"


@pytest.mark.parametrize("size", [8_000_000, 64 * MIB], ids=["8 MB", "64 MiB"])
def test_http_client_reads_why_its_upload_is_refused(server: Server, size: int) -> None:
    assert server.http is not None
    connection = http.client.HTTPConnection(*server.http, timeout=DEADLINE_S)
    connection.request("POST", "/echo", bytes(size))
    response = connection.getresponse()
    assert response.status == 413
    assert response.read() == b"expected no more than 1048576 bytes of content\n"
    connection.close()


@pytest.mark.asyncio
async def test_aiohttp_reads_why_its_upload_is_refused(server: Server) -> None:
    assert server.http is not None
    url = "http://{}:{}/echo".format(*server.http)
    async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(DEADLINE_S)) as session:
        async with session.post(url, data=io.BytesIO(bytes(64 * MIB))) as response:
            assert response.status == 413
        async with session.post(url, data=io.BytesIO(bytes(8 * MIB)), expect100=True) as response:
            assert response.status == 413


@pytest.mark.parametrize("expects", ["Expect: 100-continue", "Expect:"])
def test_curl_reads_why_its_upload_is_refused(server: Server, expects: str) -> None:
    if shutil.which("curl") is None:
        pytest.skip("there is no curl")
    assert server.http is not None
    url = "http://{}:{}/echo".format(*server.http)
    done = subprocess.run(
        ["curl", "-sS", "-H", expects, "--data-binary", "@-", "-w", "%{http_code}", url],
        input=bytes(64 * MIB),
        capture_output=True,
        timeout=DEADLINE_S,
        check=False,
    )
    answer = b"expected no more than 1048576 bytes of content\n413"
    assert (done.returncode, done.stdout, done.stderr) == (0, answer, b"")


def test_an_upload_that_takes_longer_than_a_lingering_close_is_read_to_its_end(
    server: Server,
) -> None:
    with server.connect() as sock:
        sock.sendall(TOO_LARGE % (12 * MIB))
        begin_s = time.monotonic()
        while time.monotonic() - begin_s < 1.5 * limits.LINGER_S:
            sock.sendall(bytes(MIB // 4))
            time.sleep(0.1)  # under test: slow, but an upload
        sock.shutdown(socket.SHUT_WR)
        assert read_to_end(sock).startswith(b"HTTP/1.1 413 ")


def cpu_s(server: Server) -> float:
    """Return the CPU time of all of a server's processes, those included that have ended."""
    metrics = server.metrics()
    return sum(metrics[f"server_cpu_seconds_total{{{mode}}}"] for mode in ("user", "system"))


def test_an_upload_without_end_is_held_back_and_costs_little(server: Server) -> None:
    before_s = cpu_s(server)
    with server.connect() as sock:
        sock.sendall(TOO_LARGE % 10**12)
        sent, part = 0, bytes(MIB)
        with contextlib.suppress(ConnectionResetError, BrokenPipeError):
            while sent < 2 * limits.LINGER_BYTES_MAX:
                sent += sock.send(part)
    used_s = cpu_s(server) - before_s
    most = max(map(int, Path("/proc/sys/net/ipv4/tcp_rmem").read_text("ascii").split()))
    assert limits.LINGER_BYTES_MAX <= sent < limits.LINGER_BYTES_MAX + 2 * most
    assert used_s < 2


# -- what decides, in memory ---------------------------------------------------------------------


def test_a_lingering_close_ends_two_seconds_after_the_last_byte_is_acknowledged() -> None:
    lingering = Lingering(write_s=30)
    assert lingering.pause_s(100, 1) == limits.LINGER_POLL_S
    assert lingering.pause_s(120, 0) == limits.LINGER_S
    assert lingering.pause_s(120 + limits.LINGER_S - 0.25, 0) == 0.25
    assert lingering.pause_s(120 + limits.LINGER_S, 0) == 0


def test_a_client_that_takes_64_kib_by_each_deadline_is_waited_for() -> None:
    lingering = Lingering(write_s=30)
    left = 10 * limits.STREAM_BYTES
    for step in range(10):
        assert lingering.pause_s(30 * step, left)
        left -= limits.STREAM_BYTES
    assert left == 0
    assert lingering.pause_s(300, left)


def test_a_client_that_takes_less_by_the_deadline_times_out() -> None:
    lingering = Lingering(write_s=30)
    left = 10 * limits.STREAM_BYTES
    assert lingering.pause_s(0, left)
    assert lingering.pause_s(29, left)
    with pytest.raises(TimeoutError):
        lingering.pause_s(30, left - limits.STREAM_BYTES + 1)


def test_an_upload_is_read_for_30_seconds_and_no_longer() -> None:
    lingering = Lingering(write_s=30)
    now_s = 0.0
    while pause_s := lingering.pause_s(now_s, 0):
        assert now_s < limits.LINGER_UPLOAD_S
        now_s += pause_s
        lingering.left_bytes -= limits.STREAM_BYTES
    assert now_s == limits.LINGER_UPLOAD_S


@pytest.mark.parametrize("taken_s", [10.0, 20.0])
def test_an_upload_is_read_for_two_seconds_once_the_server_stops(taken_s: float) -> None:
    lingering = Lingering(write_s=30)
    now_s, stop_s = 9.0, 15.0
    while pause_s := lingering.pause_s(
        now_s, int(now_s < taken_s), stop_s if now_s >= stop_s else None
    ):
        assert now_s < limits.LINGER_UPLOAD_S
        now_s += pause_s
        lingering.left_bytes -= limits.STREAM_BYTES
    assert now_s == pytest.approx(max(taken_s, stop_s) + limits.LINGER_S, abs=limits.LINGER_POLL_S)


def test_an_idle_client_at_a_shutdown_has_time_to_read_all_of_its_reply() -> None:
    lingering = Lingering(write_s=30)
    assert lingering.pause_s(100, 1, 100, was_idle=True) == limits.LINGER_POLL_S
    assert lingering.pause_s(101, 0, 100, was_idle=True) == 0
