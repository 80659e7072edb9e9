"""A connection of the load copes with HTTP as real servers speak it: over real sockets."""

import select
import socket
import time
import tracemalloc
from collections.abc import Callable

import pytest

from loadtest.client.address import Address
from loadtest.client.http_reply import HEAD_BYTES_MAX, HTTPReply
from loadtest.client.replies import HTTPExchange
from loadtest.measure.errors import LeftOverError, ReplyError, WrongHeadError, WrongStatusError
from tests.support.driving import (
    RIGHT,
    User,
    answering,
    at_rate,
    driving,
    resets,
)

LAST = {
    "close": RIGHT.replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n"),
    "close in a list": RIGHT.replace(b"\r\n\r\n", b"\r\nConnection: x, Close\r\n\r\n"),
    "HTTP/1.0": RIGHT.replace(b"HTTP/1.1", b"HTTP/1.0"),
    "HTTP/1.0 without a length": b"HTTP/1.0 200 OK\r\n\r\nhello",
    "no length": b"HTTP/1.1 200 OK\r\n\r\nhello",
    "a coding that is not chunked": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip\r\n\r\nhello",
}
KEPT = {
    "HTTP/1.0 that stays": RIGHT.replace(b"1.1", b"1.0").replace(
        b"\r\n\r\n", b"\r\nConnection: Keep-Alive\r\n\r\n"
    ),
    "chunks": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: x, Chunked\r\n\r\n"
    b"2;a=b\r\nhe\r\n03\r\nllo\r\n0\r\nTrailer-Of: it\r\n\r\n",
    "a tab behind the coding": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked \t \r\n"
    b"X: y\t\r\n\r\n2\r\nhe\r\n3\r\nllo\r\n0\r\n\r\n",
    "tabs behind two codings, and an interim reply": b"HTTP/1.1 103 Early Hints\r\nX: \t\r\n\r\n"
    b"HTTP/1.1 200 OK\r\ntransfer-encoding: x\t\r\nTransfer-Encoding:\tchunked\t\r\n\r\n"
    b"5\r\nhello\r\n0\r\n\r\n",
    "a tab behind the length": RIGHT.replace(b": 5", b":\t5 \t"),
    "interim replies": b"HTTP/1.1 100 Continue\r\n\r\n"
    + b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\nContent-Length: 7\r\n\r\n" * 20
    + RIGHT,
}


def once(reply: bytes) -> Callable[[socket.socket, int], bool]:
    """Return what answers a connection's first request, and ends it."""

    def answer(sock: socket.socket, number: int) -> bool:
        sock.sendall(reply)
        return False

    return answer


@pytest.mark.parametrize("period_s", [None, 0.01])
@pytest.mark.parametrize("reply", LAST.values(), ids=LAST)
def test_the_last_reply_of_a_connection_is_right_and_the_next_request_reconnects(
    reply: bytes, period_s: float | None
) -> None:
    with answering(once(reply)) as address, driving(User(address)) as driven:
        driven.established()
        driven.channel.begin(None if period_s is None else at_rate(period_s))
        driven.until(lambda: driven.requests >= 20)
        assert not driven.errors and not driven.retries
        assert driven.reconnects in (driven.requests - 1, driven.requests)


def test_a_server_that_announces_an_end_and_does_not_close_does_not_stop_the_load() -> None:
    def stays(sock: socket.socket, number: int) -> bool:
        sock.sendall(LAST["close"])
        return True

    with answering(stays) as address, driving(User(address)) as driven:
        driven.established()
        driven.channel.begin(None)
        driven.until(lambda: driven.requests >= 4)
        assert not driven.errors and driven.reconnects >= 3


def test_a_right_reply_counts_though_its_connection_is_open_at_the_end() -> None:
    def stays(sock: socket.socket, number: int) -> bool:
        sock.sendall(LAST["close"])
        return True

    with answering(stays) as address, driving(User(address)) as driven:
        driven.established()
        driven.channel.begin(None)
        driven.until(lambda: driven.channel._requester.awaits_end)
        driven.channel.finish(time.perf_counter())
        before = driven.requests
        driven.channel.abandon(time.perf_counter())
        driven.look()
        assert driven.requests == before + 1 and not driven.errors


@pytest.mark.parametrize("period_s", [None, 0.01])
def test_the_last_reply_of_a_connection_may_end_in_a_reset(
    period_s: float | None,
) -> None:
    def reset_after(sock: socket.socket, number: int) -> bool:
        sock.sendall(LAST["close"])
        select.select([], [], [], 0.01)  # the reply has been read by then, nearly always
        resets(sock)
        return False

    with answering(reset_after) as address, driving(User(address)) as driven:
        driven.established()
        driven.channel.begin(None if period_s is None else at_rate(period_s))
        driven.until(lambda: driven.requests >= 20)
        assert not driven.errors and not driven.retries


def test_a_last_reply_with_bytes_after_it_is_wrong() -> None:
    def more(sock: socket.socket, number: int) -> bool:
        sock.sendall(LAST["close"])
        select.select([], [], [], 0.02)
        sock.sendall(b"more")
        return False

    with answering(more) as address, driving(User(address)) as driven:
        driven.until(lambda: driven.errors["LeftOverError"] >= 2)
        assert driven.requests == 0


@pytest.mark.parametrize("reply", KEPT.values(), ids=KEPT)
def test_a_reply_that_keeps_its_connection_is_followed_on_it(reply: bytes) -> None:
    def kept(sock: socket.socket, number: int) -> bool:
        sock.sendall(reply)
        return True

    with answering(kept) as address, driving(User(address)) as driven:
        driven.established()
        driven.channel.begin(None)
        driven.until(lambda: driven.requests >= 20)
        assert not driven.errors and driven.reconnects == 0


@pytest.mark.parametrize("reply", [*KEPT.values(), *LAST.values()], ids=[*KEPT, *LAST])
def test_a_reply_is_the_same_however_it_is_cut(reply: bytes) -> None:
    kept = reply in KEPT.values()
    for size in (1, 2, 3, 7, len(reply)):
        taken = HTTPReply("GET", 200, b"hello")
        complete = [taken.feed(reply[at : at + size]) for at in range(0, len(reply), size)]
        if b"ength:" not in reply.partition(b"\r\n\r\n")[0] and not kept:
            complete.append(taken.feed(b""))
        assert complete == [False] * (len(complete) - 1) + [True]
        assert taken.stays == kept


@pytest.mark.parametrize(
    ("method", "status", "reply"),
    [
        ("GET", 204, b"HTTP/1.1 204 No Content\r\n\r\n"),
        ("GET", 204, b"HTTP/1.1 204 No Content\r\nContent-Length: 5\r\n\r\n"),
        ("GET", 304, b"HTTP/1.1 304 Not Modified\r\nTransfer-Encoding: chunked\r\n\r\n"),
        ("HEAD", 200, b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n"),
        ("HEAD", 200, b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"),
        ("HEAD", 200, b"HTTP/1.1 200 OK\r\n\r\n"),
    ],
)
def test_a_reply_without_content_ends_with_its_head_and_is_judged_by_what_is_expected(
    method: str, status: int, reply: bytes
) -> None:
    taken = HTTPReply(method, status, None)
    assert taken.feed(reply) and taken.stays
    for other in (201, 500):
        with pytest.raises(WrongStatusError, match=f" {status} .*, expected status {other}"):
            HTTPReply(method, other, None).feed(reply)
    with pytest.raises(LeftOverError):
        HTTPReply(method, status, None).feed(reply + b"0\r\n\r\n")

    def kept(sock: socket.socket, number: int) -> bool:
        sock.sendall(reply)
        return True

    with answering(kept) as address:
        exchange = HTTPExchange(address, method=method, status=status)
        with driving(User(address, exchange)) as driven:
            driven.established()
            driven.channel.begin(None)
            driven.until(lambda: driven.requests >= 10)
            assert not driven.errors and driven.reconnects == 0


@pytest.mark.parametrize(
    ("reply", "error"),
    [
        (b"HTTP/1.1 100 Continue\r\n\r\n" * HEAD_BYTES_MAX, WrongHeadError),
        (b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\n\r\n", WrongStatusError),
        (RIGHT + RIGHT, LeftOverError),
        (LAST["HTTP/1.0"] + b"!", LeftOverError),
    ],
)
def test_each_kind_of_broken_reply_has_an_error_of_its_own(
    reply: bytes, error: type[ReplyError]
) -> None:
    with pytest.raises(error):
        HTTPReply("GET", 200, None).feed(reply)


def test_an_early_reply_does_not_let_the_next_request_begin_inside_the_body() -> None:
    content = bytes(8_000_000)
    length = len(HTTPExchange(Address("127.0.0.1", 65535), "/", "POST", content).request)
    begins: list[bytes] = []
    whole: list[bool] = []

    def early(sock: socket.socket, number: int) -> bool:
        """Answer the request that begins here, which is read to its end only then."""
        sock.sendall(RIGHT)
        select.select([], [], [], 0.05)  # the client is ready for the next one long before
        left = length - len(begins[-1])
        while left and (data := sock.recv(min(left, 1 << 20))):
            left -= len(data)
        whole.append(not left)
        return not left

    def reads(sock: socket.socket) -> bytes:
        begins.append(sock.recv(1000))
        return begins[-1]

    with answering(early, reads) as address:
        exchange = HTTPExchange(address, "/", "POST", content, expected=b"hello")
        assert len(exchange.request) == length  # a port of five digits
        with driving(User(address, exchange)) as driven:
            driven.established()
            driven.channel.begin(None)
            driven.until(lambda: driven.requests >= 5)
            assert not driven.errors
        assert driven.reconnects >= whole.count(False) - 1
    assert {begin[:16] for begin in begins if begin} == {b"POST / HTTP/1.1\r"}


def test_a_refusal_is_read_though_the_server_takes_no_more_of_the_request() -> None:
    def refuses(sock: socket.socket, number: int) -> bool:
        sock.sendall(b"HTTP/1.1 413 Content Too Large\r\nContent-Length: 0\r\n\r\n")
        return False  # with bytes unread: the kernel resets the connection

    with answering(refuses) as address:
        exchange = HTTPExchange(address, "/", "POST", bytes(8_000_000))
        with driving(User(address, exchange)) as driven:
            driven.until(lambda: driven.errors["WrongStatusError"] >= 3)
            assert driven.errors.keys() == {"WrongStatusError"}


def test_the_schedule_goes_on_while_connections_are_reopened() -> None:
    def slow_once(sock: socket.socket, number: int) -> bool:
        if number == 3:
            select.select([], [], [], 0.3)
        return once(LAST["close"])(sock, number)

    with answering(slow_once) as address, driving(User(address)) as driven:
        driven.established()
        driven.channel.begin(at_rate(0.02))
        driven.until(lambda: driven.requests >= 30)
        assert not driven.errors and not driven.dropped
        # Some 15 were due while the third was waited for: they are late from when they were due.
        late = driven.times["latency"].get_value_at_percentile(75) / 1e6
        assert late > 0.05, late


def test_a_long_reply_is_checked_and_not_kept() -> None:
    piece, pieces = bytes(64 * 1024), 1024
    tracemalloc.start()
    try:
        taken = HTTPReply("GET", 200, None)
        taken.feed(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % (len(piece) * pieces))
        complete = [taken.feed(piece) for _ in range(pieces)]
        peak_bytes = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert complete == [False] * (pieces - 1) + [True]
    assert peak_bytes < 1_000_000
