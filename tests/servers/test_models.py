"""Every model waits, streams, closes idle connections, and counts."""

import concurrent.futures
import os
import re
import socket
import struct
import time

import pytest

from servers import limits
from servers.counting.metrics import RENAMED_LIMITS
from servers.registry import MODELS
from tests.support.running import Server, read_to_end, running, wait_until

HELLO = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"


def read_reply(sock: socket.socket) -> bytes:
    """Return the content of the next reply, which has a Content-Length."""
    data = b""
    while b"\r\n\r\n" not in data:
        part = sock.recv(65536)
        assert part, data
        data += part
    head, _, content = data.partition(b"\r\n\r\n")
    length = re.search(rb"Content-Length: (\d+)", head)
    assert length is not None
    while len(content) < int(length[1]):
        content += sock.recv(65536)
    return content


@pytest.mark.whole_machine
def test_a_thousand_clients_wait_about_one_wait(model: str) -> None:
    clients = 200 if MODELS[model].own_process else 1000
    with running(model, "--timeout-keep-alive=60") as server:  # longer than the first requests
        socks = [server.connect() for _ in range(clients)]
        for sock in socks:  # until each has its process, thread or greenlet
            sock.sendall(HELLO)
            assert read_reply(sock) == b"Hello, World!"
        start_s = time.monotonic()
        for sock in socks:
            sock.sendall(b"GET /wait?ms=3000 HTTP/1.1\r\nHost: a\r\n\r\n")
        for sock in socks:
            assert read_reply(sock) == b"waited 3000 ms\n"
            sock.close()
        # One after the other would take clients x 3 s; the limit leaves room for a slow machine.
        assert 3.0 <= time.monotonic() - start_s < 30.0


def test_a_waiting_client_does_not_hold_up_another(server: Server) -> None:
    with server.connect() as waiting:
        waiting.sendall(b"GET /wait?ms=1000 HTTP/1.1\r\nHost: a\r\n\r\n")
        assert server.get("/") == b"Hello, World!"
        waiting.setblocking(False)
        with pytest.raises(BlockingIOError):
            waiting.recv(1)


def test_a_long_stream_needs_no_memory(model: str) -> None:
    with running(model) as server:
        before = server.metrics("?memory=pss")["server_proportional_bytes"]
        with server.connect() as sock:
            sock.sendall(b"GET /bytes?n=1000000000 HTTP/1.1\r\nHost: a\r\n\r\n")
            received = 0
            while received < 500_000_000:
                received += len(sock.recv(1 << 20))
            during = server.metrics("?memory=pss")["server_proportional_bytes"]
            while received < 1_000_000_000:
                part = sock.recv(1 << 20)
                assert part
                received += len(part)
        assert during - before < 8_000_000


def test_ten_thousand_pipelined_requests_are_answered_in_order(server: Server) -> None:
    count = 10_000
    batch = b"".join(b"GET /wait?ms=0&i=%d HTTP/1.1\r\nHost: a\r\n\r\n" % i for i in range(10))
    before = server.metrics()["server_resident_bytes"]
    with server.connect() as sock, concurrent.futures.ThreadPoolExecutor(1) as pool:
        sending = pool.submit(sock.sendall, batch + HELLO * count + b"GET /nope HTTP/1.1\r\n")
        answer = b""
        while answer.count(b"Hello, World!") < count:
            answer += sock.recv(1 << 20)
        sending.result()
        assert server.metrics()["server_resident_bytes"] - before < 60_000_000
        sock.shutdown(socket.SHUT_WR)
        answer += read_to_end(sock)
    statuses = re.findall(rb"HTTP/1.1 (\d+)", answer)
    assert statuses == [b"200"] * (10 + count) + [b"400"]
    assert answer.index(b"Hello") > answer.rindex(b"waited 0 ms")


def test_replies_to_a_pipelined_batch_are_joined_into_few_sends(server: Server) -> None:
    with server.connect() as sock:
        sock.sendall(HELLO * 100)
        answer = b""
        while answer.count(b"Hello, World!") < 100:
            answer += sock.recv(1 << 20)
        info = sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 192)
        # struct tcp_info: tcpi_data_segs_in. With TCP_NODELAY each send is a segment at least.
        segments = struct.unpack_from("=I", info, 152)[0]
    assert 1 <= segments <= 3


def test_an_echo_of_5_mb_comes_back_whole(server: Server) -> None:
    content = os.urandom(5_000_000)
    with server.connect("echo") as sock, concurrent.futures.ThreadPoolExecutor(1) as pool:

        def send() -> None:
            sock.sendall(content)
            sock.shutdown(socket.SHUT_WR)

        sending = pool.submit(send)
        assert read_to_end(sock) == content
        sending.result()


def test_echo_returns_all_bytes_before_the_fin_and_then_closes(server: Server) -> None:
    with server.connect("echo") as sock:
        sock.sendall(b"last words")
        sock.shutdown(socket.SHUT_WR)
        assert read_to_end(sock) == b"last words"


def test_echo_holds_back_a_client_that_never_reads_and_loses_nothing(server: Server) -> None:
    content = os.urandom(1 << 20) * 32
    before = server.metrics()["server_resident_bytes"]
    with server.connect("echo") as sock, concurrent.futures.ThreadPoolExecutor(1) as pool:
        sending = pool.submit(sock.sendall, content)
        sent = [0.0, -1.0]

        def stalled() -> bool:
            # Buffers are full once the server has stopped receiving.
            sent.append(server.metrics()["server_received_bytes_total{echo}"])
            return sent[-1] == sent[-2] == sent[-3]

        wait_until(stalled, "full buffers")
        assert not sending.done()
        assert server.metrics()["server_resident_bytes"] - before < 60_000_000
        received = 0
        while received < len(content):
            part = sock.recv(1 << 20)
            assert part == (content[received : received + len(part)])
            received += len(part)
        sending.result()


def test_a_slow_reader_gets_every_byte(server: Server) -> None:
    with server.connect() as sock:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 16384)
        sock.sendall(b"GET /bytes?n=300000 HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
        answer = b""
        while part := sock.recv(1000):
            answer += part
    assert len(answer.partition(b"\r\n\r\n")[2]) == 300_000


def test_a_body_that_is_refused_does_not_cost_the_client_the_reply(server: Server) -> None:
    with server.connect() as sock:
        sock.sendall(b"POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 1048577\r\n\r\n")
        sock.sendall(bytes(1048577))  # the server has refused it, and still reads
        answer = read_to_end(sock)
    assert answer.startswith(b"HTTP/1.1 413 ")
    assert answer.endswith(b"1048576 bytes of content\n")


def test_a_silent_connection_is_closed_without_a_word(model: str) -> None:
    with running(model, "--timeout-keep-alive=1", "--timeout-echo-idle=1") as server:
        for protocol in ("http", "echo"):
            with server.connect(protocol) as sock:
                start_s = time.monotonic()
                assert sock.recv(1) == b""
                assert time.monotonic() - start_s >= 0.9
        with server.connect() as sock:
            sock.sendall(HELLO)
            assert read_to_end(sock).endswith(b"Hello, World!")


def test_a_request_that_stops_in_the_middle_gets_408(model: str) -> None:
    with running(model, "--timeout-header=0.3", "--timeout-body=0.3") as server:
        for begun in (
            b"GET / HT",
            b"POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhel",
        ):
            with server.connect() as sock:
                sock.sendall(begun)
                assert read_to_end(sock).startswith(b"HTTP/1.1 408 ")


def test_a_wait_is_not_silence(model: str) -> None:
    with running(model, "--timeout-keep-alive=0.2") as server:
        assert server.get("/wait?ms=1000") == b"waited 1000 ms\n"


def test_metrics_count_requests_connections_and_bytes(model: str) -> None:
    with running(model) as server:
        before = server.metrics()
        with server.connect("echo") as sock:
            sock.sendall(b"hello")
            assert sock.recv(5) == b"hello"
            wait_until(
                lambda: server.metrics()["server_open_connections{http}"] == 1,
                "the end of the scrape before",
            )
            during = server.metrics()
        server.ask(HELLO * 3 + b"GET /nope HTTP/1.1\r\nHost: a\r\n\r\n")
        after: dict[str, float] = {}

        def alone() -> bool:
            after.update(server.metrics())  # a client of its own, and so a child
            processes = 2 if MODELS[model].own_process else 1
            processes += server.workers if server.workers > 1 else 0
            echoes = after["server_open_connections{echo}"]
            return echoes == 0 and after["server_processes"] == processes

        wait_until(alone, "the end of the echo and of the scrapes before")
    assert during["server_open_connections{echo}"] == 1
    assert after["server_accepted_connections_total{echo}"] == 1
    assert after["server_received_bytes_total{echo}"] == 5
    assert after["server_sent_bytes_total{echo}"] == 5
    scrapes = after["server_requests_total{http}"] - before["server_requests_total{http}"] - 4
    assert scrapes >= 3  # a scrape is a request, counted once it is answered
    assert after["server_request_errors_total{http}"] == 1
    assert after["server_cpu_seconds_total{user}"] >= before["server_cpu_seconds_total{user}"] > 0
    assert after["server_context_switches_total"] > 0
    assert after["server_threads"] >= 1
    assert after["server_resident_bytes"] > 1_000_000


def test_cpu_time_of_finished_connections_is_kept(model: str) -> None:
    with running(model) as server:

        def cpu_s() -> float:
            metrics = server.metrics()
            return sum(value for name, value in metrics.items() if "cpu_seconds_total" in name)

        before_s = cpu_s()
        server.get("/cpu?n=3000000")
        wait_until(lambda: cpu_s() - before_s > 0.05, "the time of a finished client")


@pytest.mark.parametrize("protocol", ["http", "echo"])
def test_every_model_serves_under_the_same_conditions(server: Server, protocol: str) -> None:
    metrics = server.metrics()
    assert metrics[f"server_socket_option{{TCP_NODELAY,{protocol}}}"] == 1
    assert metrics[f"server_socket_option{{SO_KEEPALIVE,{protocol}}}"] == 1
    assert metrics[f"server_socket_option{{backlog,{protocol}}}"] == limits.BACKLOG
    assert metrics["server_limit{recv_bytes}"] == limits.RECV_BYTES
    assert metrics["server_limit{timeout_keep_alive}"] == limits.KEEP_ALIVE_TIMEOUT_S


def test_metrics_export_a_renamed_limit_under_its_old_name_too(server: Server) -> None:
    metrics = server.metrics()
    for old, new in RENAMED_LIMITS.items():
        assert metrics[f"server_limit{{{old}}}"] == metrics[f"server_limit{{{new}}}"]
        assert metrics[f"server_limit{{{new}}}"] == getattr(limits, new.upper())


def test_accepted_sockets_have_the_listeners_options(server: Server) -> None:
    with server.connect() as sock:
        sock.sendall(HELLO)
        read_reply(sock)
        for accepted in server.accepted_sockets(sock):
            assert accepted.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY) == 1
            assert accepted.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE) == 1
            break
        else:
            pytest.fail("the server has no such socket")


def test_a_reset_is_counted_and_disturbs_no_other_client(model: str) -> None:
    with running(model) as server:
        for _ in range(50):
            sock = server.connect()
            sock.sendall(HELLO + b"GET /bytes?n=10000000 HTTP/1.1\r\nHost: a\r\n\r\n")
            assert sock.recv(10)
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            sock.close()
        wait_until(
            lambda: server.metrics()["server_reset_connections_total{http}"] == 50, "50 resets"
        )
        wait_until(lambda: server.metrics()["server_open_connections{http}"] == 1, "their end")
        assert server.stop() == 0
        assert server.log() == ""


def test_a_client_that_leaves_before_the_last_reply_leaves_nothing_behind(model: str) -> None:
    with running(model) as server:
        for _ in range(10):
            with server.connect() as sock:
                sock.sendall(b"GET /wait?ms=100 HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
        # Closed, so the kernel resets the connection as soon as the server replies.
        wait_until(
            lambda: server.metrics()["server_open_connections{http}"] == 1, "no other client"
        )
        assert server.stop() == 0
        assert server.log() == ""
