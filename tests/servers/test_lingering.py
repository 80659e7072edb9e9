"""The lingering close: a slow reader that still sends gets its whole reply."""

import contextlib
import socket
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from types import SimpleNamespace

import pytest

from servers import limits
from servers.protocol.connection import State
from servers.sockets.listeners import Timeouts
from servers.waiting.client import Client
from servers.waiting.lingering import linger
from tests.support.asking import HELLO
from tests.support.limits_of_machine import open_sockets, wakings
from tests.support.running import DEADLINE_S, Server, read_to_end, running, wait_until
from tests.support.slow_readers import small_window

SIZE = 1_400_000
RATE = 270_000
"""What is asked for, in bytes, and how many of them are read in a second: it takes 5 s. That is
longer than silence of 1 s and a lingering of 2 s together."""

WINDOW = 16_384
"""Of a client, in bytes: so that the rest stays with the server."""

ASKS = b"GET /bytes?n=%d HTTP/1.1\r\nHost: a\r\n%b\r\n"
CLOSES = b"Connection: close\r\n"


@pytest.fixture(scope="module")
def impatient(model: str) -> Iterator[Server]:
    """Return a server with short time-outs for silence, and the usual one for writing."""
    with running(model, "--timeout-keep-alive=1", "--timeout-echo-idle=1") as server:
        yield server
        assert server.stop() == 0
        assert server.log() == ""


def read_slowly(sock: socket.socket, say: Callable[[float], bytes]) -> bytes:
    """Read to the end at ``RATE``; send what ``say`` returns for the time passed so far."""
    answer, begin_s = bytearray(), time.monotonic()
    while part := sock.recv(16_384):
        answer += part
        passed_s = time.monotonic() - begin_s
        if words := say(passed_s):
            sock.sendall(words)
        time.sleep(max(len(answer) / RATE - passed_s, 0))
    return bytes(answer)


def chatter() -> Callable[[float], bytes]:
    """Return a ``say`` that sends an empty line twice a second."""
    sent = 0

    def say(passed_s: float) -> bytes:
        nonlocal sent
        due = int(passed_s * 2) - sent
        sent += max(due, 0)
        return b"\r\n" * due

    return say


def once(words: bytes, after_s: float) -> Callable[[float], bytes]:
    """Return a ``say`` that sends ``words`` once, after ``after_s``."""
    left = [words]
    return lambda passed_s: left.pop() if left and passed_s >= after_s else b""


def content_of(reply: bytes) -> bytes:
    head, _, content = reply.partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 200 "), head
    return content


def reads_while_it_is_closed(server: Server) -> None:
    with small_window(server, window_bytes=WINDOW) as sock:
        sock.sendall(ASKS % (SIZE, CLOSES))
        assert len(content_of(read_slowly(sock, chatter()))) == SIZE


def reads_while_it_is_refused(server: Server) -> None:
    with small_window(server, window_bytes=WINDOW) as sock:
        sock.sendall(ASKS % (SIZE, b"") + b"no request\r\n\r\n")
        content = content_of(read_slowly(sock, chatter()))
        assert content[SIZE:].startswith(b"HTTP/1.1 400 ")


def asks_again_while_it_reads(server: Server) -> None:
    with small_window(server, window_bytes=WINDOW) as sock:
        sock.sendall(ASKS % (SIZE, b""))
        content = content_of(read_slowly(sock, once(HELLO, 4)))
        assert content[SIZE:].startswith(b"HTTP/1.1 200 ") and content.endswith(b"Hello, World!")


def stays_silent_while_it_reads(server: Server) -> None:
    with small_window(server, window_bytes=WINDOW) as sock:
        sock.sendall(ASKS % (SIZE, b""))
        assert len(content_of(read_slowly(sock, lambda passed_s: b""))) == SIZE


def sends_more_to_be_echoed_while_it_reads(server: Server) -> None:
    with small_window(server, "echo", WINDOW) as sock:
        sent = bytes(range(256)) * (SIZE // 256)
        sock.sendall(sent)
        assert read_slowly(sock, once(b"!", 4)) == sent + b"!"


def test_a_client_that_still_reads_is_neither_idle_nor_cut_off(impatient: Server) -> None:
    tries = [
        reads_while_it_is_closed,
        reads_while_it_is_refused,
        asks_again_while_it_reads,
        stays_silent_while_it_reads,
        sends_more_to_be_echoed_while_it_reads,
    ]
    with ThreadPoolExecutor(len(tries)) as pool:
        outcomes = [pool.submit(attempt, impatient) for attempt in tries]
    failed = {
        attempt.__name__: failure
        for attempt, outcome in zip(tries, outcomes, strict=True)
        if (failure := outcome.exception())
    }
    assert failed == {}


def test_a_shutdown_waits_for_clients_that_still_read_their_replies(model: str) -> None:
    with (
        running(model) as server,
        small_window(server, window_bytes=WINDOW) as kept,
        small_window(server, window_bytes=WINDOW) as closed,
        small_window(server, "echo", WINDOW) as echo,
        ThreadPoolExecutor() as pool,
    ):
        kept.sendall(ASKS % (SIZE, b""))
        closed.sendall(ASKS % (SIZE, CLOSES))
        echo.sendall(bytes(SIZE))
        answers = [pool.submit(read_slowly, sock, chatter()) for sock in (kept, closed)]
        echoed = pool.submit(read_slowly, echo, once(b"!", 4))
        server.process.terminate()
        assert [len(content_of(answer.result())) for answer in answers] == [SIZE, SIZE]
        assert len(echoed.result()) >= SIZE
        for sock in (kept, closed, echo):
            sock.close()
        assert server.process.wait(DEADLINE_S) == 0
        assert server.log() == ""


def sends_on(sock: socket.socket) -> None:
    """Send 160 kB a second, which counts as an upload, until the server ends the connection."""
    with contextlib.suppress(ConnectionResetError, BrokenPipeError):
        for _ in range(20 * int(limits.LINGER_UPLOAD_S)):  # or until the test has failed
            sock.sendall(bytes(16_384))
            time.sleep(0.1)


def test_a_client_that_was_refused_already_does_not_hold_up_a_shutdown(model: str) -> None:
    with (
        running(model) as server,
        server.connect() as refused,
        server.connect() as rude,
        ThreadPoolExecutor() as pool,
    ):
        refused.sendall(b"POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 100000000\r\n\r\n")
        rude.sendall(b"no request\r\n\r\n")
        for sock in (refused, rude):
            assert read_to_end(sock).startswith(b"HTTP/1.1 4")
            pool.submit(sends_on, sock)
        begin_s = time.monotonic()
        assert server.stop() == 0
        assert time.monotonic() - begin_s < limits.LINGER_UPLOAD_S / 2
        assert server.log() == ""


def test_a_shutdown_waits_until_an_idle_client_has_read_its_reply(
    model: str,
) -> None:
    with running(model) as server, small_window(server, window_bytes=WINDOW) as sock:
        sock.sendall(ASKS % (SIZE, b""))
        begun = sock.recv(1)
        server.process.terminate()
        assert len(content_of(begun + read_slowly(sock, lambda passed_s: b""))) == SIZE
        begin_s = time.monotonic()
        assert server.process.wait(DEADLINE_S) == 0  # though the client does not close
        assert time.monotonic() - begin_s < limits.LINGER_S
        assert server.log() == ""


def test_a_lingering_client_costs_a_few_wake_ups(model: str) -> None:
    with running(model) as server, server.connect() as sock:
        sock.sendall(HELLO.replace(b"\r\n\r\n", b"\r\n" + CLOSES + b"\r\n"))
        assert read_to_end(sock).endswith(b"Hello, World!")
        before = wakings(server)
        time.sleep(0.75 * limits.LINGER_S)  # under test: the server wakes up rarely
        assert server.http is not None
        _, port = sock.getsockname()
        assert port in [end.peer_port for end in open_sockets(server.http[1])]  # it lingers still
        # Sweeps are among them, up to five of each worker; polls for bytes that the client still
        # has to take would be 15 more.
        assert wakings(server) - before < 3 + 5 * server.workers


def test_a_shutdown_does_not_reset_a_client_that_begins_to_linger() -> None:
    def begin_lingering(thread: threading.Thread) -> State:
        thread.start()
        thread.join(0.2)  # time enough to shut down the writing side
        return State.DRAINED  # the state a moment before

    class Connection:
        @property
        def state(self) -> State:
            return begin_lingering(lingering)

        def drain(self) -> None: ...

    with socket.create_server(("127.0.0.1", 0)) as listener, socket.socket() as client:
        client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, WINDOW)
        client.settimeout(DEADLINE_S)
        client.connect(listener.getsockname())
        sock, _ = listener.accept()
        timeouts = Timeouts(DEADLINE_S, DEADLINE_S, DEADLINE_S, DEADLINE_S)
        stub = SimpleNamespace(connect=lambda tally: Connection(), timeouts=timeouts)
        served = Client(sock, stub, [0] * 8)  # type: ignore[arg-type]
        lingering = threading.Thread(target=linger, args=[served])
        sock.setblocking(False)
        sent = sock.send(bytes(10 * SIZE))
        sock.setblocking(True)
        with sock:
            served.close_if_idle(time.monotonic())
            client.sendall(b"\r\n")
            received = 0
            while received < sent and (part := client.recv(65536)):
                received += len(part)
                client.sendall(b"\r\n")
            assert received == sent
            lingering.join(DEADLINE_S)
            assert not lingering.is_alive()


def refuses_more(sock: socket.socket) -> bool:
    """Send an empty line; return whether the connection has been reset."""
    try:
        sock.send(b"\r\n")
    except (ConnectionResetError, BrokenPipeError):
        return True
    return False


def test_a_lingering_client_cannot_hold_its_connection_by_sending(
    impatient: Server,
) -> None:
    with impatient.connect() as sock:
        begin_s = time.monotonic()
        sock.sendall(HELLO.replace(b"\r\n\r\n", b"\r\n" + CLOSES + b"\r\n"))
        assert read_to_end(sock).endswith(b"Hello, World!")
        wait_until(lambda: refuses_more(sock), "the end of the lingering")
        assert limits.LINGER_S <= time.monotonic() - begin_s < limits.LINGER_UPLOAD_S / 2


@pytest.mark.parametrize("ending", [b"", CLOSES], ids=["kept", "closed"])
def test_a_client_that_stops_reading_is_reset_at_the_write_deadline(
    model: str, ending: bytes
) -> None:
    flags = ["--timeout-keep-alive=1", "--timeout-write=3"]
    with running(model, *flags) as server, small_window(server, window_bytes=WINDOW) as sock:
        begin_s = time.monotonic()
        sock.sendall(ASKS % (SIZE, ending))
        assert sock.recv(1)
        wait_until(lambda: unsent_bytes(server, sock) > 0, "bytes that the server still holds")
        wait_until(lambda: unsent_bytes(server, sock) == 0, "the end of the connection")
        assert time.monotonic() - begin_s >= 3  # longer than keep-alive and lingering
        with pytest.raises(ConnectionResetError):
            read_to_end(sock)
        assert server.stop() == 0
        assert server.log() == ""


def unsent_bytes(server: Server, client: socket.socket) -> int:
    """Return how many bytes the server's end of a connection holds; 0 where there is none."""
    assert server.http is not None
    _, port = client.getsockname()
    return sum(sock.unsent_bytes for sock in open_sockets(server.http[1]) if sock.peer_port == port)
