"""Deadlines: no client can extend one, and no client that meets one is closed."""

import socket
import time
from collections.abc import Iterator
from contextlib import suppress

import pytest

from tests.support.running import DEADLINE_S, Server, read_to_end, running, wait_until
from tests.support.slow_readers import small_window

T = 1.0
"""The deadline under test, in seconds; the others are far away."""

HEAD = b"GET / HTTP/1.1\r\nHost: a\r\n"
POST = b"POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 100000\r\n\r\n"


@pytest.fixture(scope="module")
def hurried(model: str) -> Iterator[Server]:
    """Return a server with short deadlines for requests and replies, and long ones for silence."""
    flags = [f"--timeout-{what}={T}" for what in ("header", "body", "write")]
    with running(model, *flags, "--timeout-keep-alive=60", "--timeout-echo-idle=60") as server:
        yield server
        assert server.stop() == 0
        assert server.log() == ""


def trickle(sock: socket.socket, byte: bytes) -> bytes:
    """Send a byte again and again until the server replies; return the reply."""
    sock.settimeout(0.05)
    give_up_s = time.monotonic() + DEADLINE_S
    while time.monotonic() < give_up_s:
        try:
            sock.send(byte)
            return sock.recv(65536)
        except TimeoutError:
            continue
    raise AssertionError("never ended")


@pytest.mark.parametrize(
    ("begun", "byte"),
    [
        (HEAD + b"X: ", b"y"),
        (b"G", b"E"),
        (POST, b"y"),
        (POST + 5000 * b"y", b"y"),
        (b"HEAD / HTTP/1.1\r\nX: ", b"y"),
    ],
    ids=["head", "line", "body", "body after a turn", "HEAD"],
)
def test_a_request_that_trickles_in_gets_408_at_its_deadline(
    hurried: Server, begun: bytes, byte: bytes
) -> None:
    with hurried.connect() as sock:
        sock.sendall(begun)
        begin_s = time.monotonic()
        # "GEE..." may still become a method, so only the deadline or the size limit ends it.
        answer = trickle(sock, byte)
        assert time.monotonic() - begin_s >= T * 0.95
    assert answer.startswith(b"HTTP/1.1 408 ")
    assert b"\r\nConnection: close\r\n" in answer
    assert answer.endswith(b"\r\n\r\n") == begun.startswith(b"HEAD ")  # a reply without content


def test_empty_lines_that_trickle_in_by_halves_give_a_head_no_more_time(hurried: Server) -> None:
    with hurried.connect() as sock:
        begin_s = time.monotonic()
        sock.settimeout(0.75 * T)  # a look at each half: the sweeps are T / 10 apart
        answer = b""
        for half in (b"\r", b"\n", b"\r", b"\n", b"\r", b"\n", b"\r"):
            sock.sendall(half)
            with suppress(TimeoutError):
                answer = sock.recv(65536)
                break
        passed_s = time.monotonic() - begin_s
    assert answer.startswith(b"HTTP/1.1 408 ")
    assert T * 0.95 <= passed_s < 3 * T  # all seven take 5.25 T


def test_a_head_behind_an_answered_request_has_a_deadline_of_its_own(hurried: Server) -> None:
    with hurried.connect() as sock:
        sock.sendall(HEAD + b"\r\n" + HEAD)
        begin_s = time.monotonic()
        answer = read_to_end(sock)
    assert time.monotonic() - begin_s >= T * 0.95
    assert answer.count(b"HTTP/1.1 200 ") == 1 and answer.count(b"HTTP/1.1 408 ") == 1


def test_a_client_that_meets_each_deadline_is_served_for_longer_than_all_of_them(
    hurried: Server,
) -> None:
    with hurried.connect() as sock:
        for _ in range(5):  # each request cut in two, a quarter of a deadline apart
            sock.sendall(HEAD)
            time.sleep(T / 4)  # under test: slow, but within the deadline
            sock.sendall(b"\r\n")
            assert sock.recv(65536).startswith(b"HTTP/1.1 200 ")


def test_silence_after_a_slow_request_is_as_long_as_silence_may_be(hurried: Server) -> None:
    with hurried.connect() as sock:
        sock.sendall(HEAD)
        time.sleep(T / 4)
        sock.sendall(b"\r\n")
        assert sock.recv(65536).startswith(b"HTTP/1.1 200 ")
        sock.settimeout(2.5 * T)
        with pytest.raises(TimeoutError):  # still open: no deadline of the request is left
            sock.recv(1)


def test_a_wait_longer_than_a_write_may_take_is_no_stall(hurried: Server) -> None:
    with hurried.connect() as sock:
        sock.sendall(b"GET /wait?ms=%d HTTP/1.1\r\nHost: a\r\n\r\n" % (3000 * T))
        assert sock.recv(65536).startswith(b"HTTP/1.1 200 ")


def open_connections(server: Server) -> float:
    metrics = server.metrics()
    return metrics["server_open_connections{http}"] + metrics["server_open_connections{echo}"]


@pytest.mark.parametrize("reads", [False, True], ids=["never reads", "reads a byte at a time"])
def test_a_client_that_does_not_read_its_reply_is_cut_off(hurried: Server, reads: bool) -> None:
    before = hurried.metrics("?memory=pss")["server_proportional_bytes"]
    with small_window(hurried) as sock:
        begin_s = time.monotonic()
        sock.sendall(b"GET /bytes?n=1000000000 HTTP/1.1\r\nHost: a\r\n\r\n")
        assert sock.recv(1)
        assert hurried.metrics("?memory=pss")["server_proportional_bytes"] - before < 8_000_000

        def is_cut_off() -> bool:
            if reads:
                try:
                    sock.recv(1)
                except ConnectionResetError:
                    return True
            return open_connections(hurried) == 1  # the scrape

        wait_until(is_cut_off, "the end of the connection")
        assert time.monotonic() - begin_s >= T * 0.95
        if not reads:  # the reset also drops what the kernel still holds
            with pytest.raises(ConnectionResetError):
                read_to_end(sock)


def test_a_steady_reader_is_served_though_the_kernel_wants_no_more_for_longer(
    hurried: Server,
) -> None:
    with hurried.connect() as sock:
        sock.sendall(b"GET /bytes?n=1000000000 HTTP/1.1\r\nHost: a\r\n\r\n")
        begin_s, received = time.monotonic(), 0
        while (passed_s := time.monotonic() - begin_s) < 4 * T:
            received += len(sock.recv(20_000))
            time.sleep(max(received / 400_000 - passed_s, 0))  # a third of the queue takes 3 s
        assert open_connections(hurried) == 2


def test_an_echo_client_that_reads_nothing_is_cut_off(hurried: Server) -> None:
    with small_window(hurried, "echo") as sock:
        sock.setblocking(False)

        def is_cut_off() -> bool:
            try:
                while True:
                    sock.send(65536 * b"y")
            except BlockingIOError:
                return False
            except (ConnectionResetError, BrokenPipeError):
                return True

        wait_until(is_cut_off, "the end of the connection")


def test_a_slow_reader_that_keeps_up_gets_all_of_it(hurried: Server) -> None:
    size = 2_000_000
    with small_window(hurried) as sock:
        sock.sendall(b"GET /bytes?n=%d HTTP/1.0\r\nHost: a\r\n\r\n" % size)
        received = 0
        while part := sock.recv(65536):
            received += len(part)
            time.sleep(0.0005)  # under test: slow, but 64 KiB within the deadline
    assert size < received < size + 1000
