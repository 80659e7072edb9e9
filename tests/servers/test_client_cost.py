"""What a client costs: memory is bounded, replies are lazy, and work grows linearly."""

import signal
import sys
import tracemalloc
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from itertools import cycle, islice, repeat
from types import FrameType

import pytest

from servers import limits
from servers.protocol.connection import State, Step, Wait
from servers.protocol.http11 import HTTPConnection
from tests.support.conversations import new_connection
from tests.support.streams import (
    CHUNKED,
    GOOD,
    SIZED,
    Mirror,
    connect,
    joined,
    single_bytes,
    statuses,
    talk,
)

LINE = b"GET / HTTP/1.1\r\n"
HEAD = LINE + b"Host: a\r\n"
PLACE_FOR_ONE_REPLY = 1000

# -- memory --------------------------------------------------------------------------------------

ENDLESS = {
    "a method": (b"", b"A", 501),
    "a target": (b"GET /", b"a", 414),
    "a query": (b"GET /?", b"a&", 414),
    "a version": (b"GET / HTTP/1.1", b"1", 400),
    "empty lines": (b"", b"\r\n", 400),
    "a name": (HEAD, b"a", 431),
    "a value": (HEAD + b"X: ", b"a", 431),
    "a value of spaces": (HEAD + b"X:", b" ", 431),
    "a host": (LINE + b"Host: ", b"a", 431),
    "fields": (HEAD, b"X: y\r\n", 431),
    "a size": (CHUNKED, b"0", 413),
    "an extension's name": (CHUNKED + b"1;", b"a", 413),
    "an extension's value": (CHUNKED + b"1;a=", b"a", 413),
    "an extension's quoted value": (CHUNKED + b'1;a="', b"\\a", 413),
    "an extension's spaces": (CHUNKED + b"1;", b" \t", 413),
    "extensions": (CHUNKED + b"1", b";a", 413),
    "chunks with extensions": (CHUNKED, b"1;" + b"a" * 200 + b"\r\nx\r\n", 413),
    "chunks": (CHUNKED, b"1\r\nx\r\n", 413),
    "a chunk": (CHUNKED + b"c8\r\n" + b"x" * 200 + b"\r\n", b"1\r\n", 413),
    "a trailer's name": (CHUNKED + b"0\r\n", b"a", 431),
    "a trailer's value": (CHUNKED + b"0\r\nX: ", b"a", 431),
    "trailers": (CHUNKED + b"0\r\n", b"X: y\r\n", 431),
}
"""What begins a request, what then comes again and again, and what it is answered with."""


def held_bytes(connection: HTTPConnection) -> int:
    """Return how much a connection keeps of what its peer has sent."""
    seen: list[object] = [connection]
    size = 0
    while seen:
        thing = seen.pop()
        if isinstance(thing, bytes | bytearray):
            size += len(thing)
        elif isinstance(thing, dict):
            seen += [*thing.keys(), *thing.values()]
        elif isinstance(thing, list | tuple):
            seen += thing
        elif type(thing).__module__.startswith("servers.") and not isinstance(thing, Mirror):
            names = {*getattr(type(thing), "__slots__", ()), *getattr(thing, "__dict__", ())}
            seen += [getattr(thing, name) for name in names if name != "_app"]
    return size


def pieces(again: bytes, piece_bytes: int) -> Iterator[bytes]:
    if piece_bytes == 1:
        return cycle(single_bytes(again))
    return repeat(again * -(-piece_bytes // len(again)))


@pytest.mark.parametrize("piece_bytes", [1, 1000, limits.RECV_BYTES], ids=["drip", "pour", "blast"])
@pytest.mark.parametrize(("begin", "again", "status"), ENDLESS.values(), ids=ENDLESS)
def test_an_endless_request_is_refused_before_it_is_long(
    begin: bytes, again: bytes, status: int, piece_bytes: int
) -> None:
    connection = connect()
    answer = joined(connection, connection.receive_data(begin)) if begin else b""
    sent = 0
    for number, piece in enumerate(pieces(again, piece_bytes)):
        answer += joined(connection, connection.receive_data(piece))
        sent += len(piece)
        if connection.state is State.CLOSED:
            break
        assert sent < 2 * limits.HEAD_BYTES_MAX
        if number % 100 == 0:
            assert held_bytes(connection) <= len(begin) + min(sent, limits.HEAD_BYTES_MAX + 100)
    assert statuses(answer) == [status]
    assert held_bytes(connection) < 1000


def test_a_body_is_held_once() -> None:
    connection = new_connection()
    joined(connection, connection.receive_data(SIZED.replace(b"5", b"1000000")))
    part = b"x" * 10_000
    for count in range(1, 99):
        assert joined(connection, connection.receive_data(part)) == b""
        assert held_bytes(connection) < count * len(part) + PLACE_FOR_ONE_REPLY
    assert connection.state is State.BODY


@pytest.mark.parametrize(
    "request_bytes",
    [GOOD, SIZED, CHUNKED + b"0;a\r\nX: y\r\n\r\n", b"\r\n" + GOOD.replace(b"GET", b"HEAD")],
    ids=["usual", "sized", "chunked", "HEAD"],
)
def test_a_thousand_requests_leave_no_more_memory_in_use_than_one(request_bytes: bytes) -> None:
    connection = connect()
    joined(connection, connection.receive_data(request_bytes))
    held = held_bytes(connection)
    tracemalloc.start()
    try:
        for _ in range(1000):
            joined(connection, connection.receive_data(request_bytes))
        kept, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert held_bytes(connection) == held
    assert kept < 10_000


def test_a_batch_is_answered_in_steps_of_bounded_size() -> None:
    connection = connect()
    sizes = [len(step) for step in only_bytes(connection.receive_data(GOOD * 10_000))]
    assert len(sizes) > 10
    assert max(sizes) < limits.REPLY_BYTES_JOINED + PLACE_FOR_ONE_REPLY
    # Replies are joined, since one system call each would lose what pipelining saves.
    assert min(sizes[:-1]) >= limits.REPLY_BYTES_JOINED


# -- laziness ------------------------------------------------------------------------------------


def only_bytes(steps: Iterable[Step]) -> Iterator[bytes]:
    for step in steps:
        assert not isinstance(step, Wait)
        yield step


@pytest.mark.parametrize("around", [b"", GOOD], ids=["alone", "in a batch"])
def test_ten_gigabytes_are_generated_as_they_are_sent(around: bytes) -> None:
    connection = new_connection()
    asking = GOOD.replace(b"/", b"/bytes?n=10000000000", 1)
    full, rest = divmod(10**10, limits.STREAM_BYTES)
    tracemalloc.start()
    try:
        steps = only_bytes(connection.receive_data(around + asking + around))
        assert statuses(next(steps)) == [200] * (1 + bool(around))
        sizes = Counter(map(len, islice(steps, full + 1)))
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert sizes == {limits.STREAM_BYTES: full, rest: 1}
    assert statuses(b"".join(steps)) == [200] * bool(around)
    assert peak < 2 * limits.STREAM_BYTES


def test_head_generates_no_stream() -> None:
    connection = new_connection()
    asking = GOOD.replace(b"GET /", b"HEAD /bytes?n=10000000000")
    (reply,) = only_bytes(connection.receive_data(asking))
    assert b"\r\nContent-Length: 10000000000\r\n" in reply


def test_no_request_behind_a_wait_is_parsed_before_its_end() -> None:
    mirror = Mirror()
    connection = connect(mirror)
    waiting = GOOD.replace(b"/", b"/wait", 1)
    steps = connection.receive_data(GOOD + waiting + SIZED + waiting + b"\0" + GOOD)
    assert mirror.asked == 0
    first = next(steps)
    assert isinstance(first, bytes)
    assert statuses(first) == [200]  # the wait behind it does not delay it
    assert next(steps) == Wait(0)
    assert mirror.asked == 2
    second = next(steps)
    assert isinstance(second, bytes)
    assert statuses(second) == [200, 200]
    assert next(steps) == Wait(0)
    assert mirror.asked == 4
    assert statuses(joined(connection, steps)) == [200, 400]
    assert mirror.asked == 4


# -- work ----------------------------------------------------------------------------------------

REPEATED: dict[str, Callable[[int], list[bytes]]] = {
    "usual requests": lambda n: [GOOD] * n,
    "requests in a batch": lambda n: [GOOD * n],
    "bodies in a batch": lambda n: [SIZED * n],
    "empty lines": lambda n: [(b"\r\n\r\n" + GOOD) * n],
    "escapes": lambda n: [GOOD.replace(b"/", b"/" + b"%41" * n, 1)],
    "fields": lambda n: [HEAD + b"X: y\r\n" * (n // 20) + b"\r\n"],
    "chunks": lambda n: [CHUNKED + b"1\r\nx\r\n" * n],
    "a target, dripped": lambda n: single_bytes(b"GET /" + b"a" * n),
    "a value, dripped": lambda n: single_bytes(HEAD + b"X: " + b"a" * n),
    "fields, dripped": lambda n: single_bytes(HEAD + b"X:\r\n" * (n // 4)),
    "an extension, dripped": lambda n: single_bytes(CHUNKED + b"1;" + b"a" * n),
    "chunks, dripped": lambda n: single_bytes(CHUNKED + b"1\r\nx\r\n" * (n // 6)),
    "trailers, dripped": lambda n: single_bytes(CHUNKED + b"0\r\n" + b"X:\r\n" * (n // 4)),
    "a body, dripped": lambda n: single_bytes(SIZED.replace(b"5", b"%d" % (2 * n)) + b"x" * n),
}


def count_calls(parts: list[bytes]) -> int:
    """Return how many functions, of Python or of C, are called to answer the parts."""
    connection = new_connection()
    calls = 0

    def count(frame: FrameType, event: str, argument: object) -> None:
        nonlocal calls
        calls += event in ("call", "c_call")

    sys.setprofile(count)
    try:
        for part in parts:
            for _ in connection.receive_data(part):
                pass
    finally:
        sys.setprofile(None)
    return calls


@pytest.mark.parametrize("repeated", REPEATED.values(), ids=REPEATED)
def test_twice_as_much_is_twice_the_work(repeated: Callable[[int], list[bytes]]) -> None:
    assert count_calls(repeated(2000)) < 2.1 * count_calls(repeated(1000))


RUN = 2**19
"""Bytes in a run. A regular expression that goes over it again from each of its bytes is at work
for minutes, one that goes over it once for milliseconds: the limit lies far from both."""

CPU_S_MAX = 20.0

RUNS = {
    "a method": b"A" * RUN + b"\0",
    "a path": b"GET /" + b"a" * RUN + b"\x7f HTTP/1.1\r\nHost: a\r\n\r\n",
    "escapes": b"GET /" + b"%41" * RUN + b"% HTTP/1.1\r\nHost: a\r\n\r\n",
    "a query": b"GET /?" + b"a&" * RUN + b" HTTP/1.2\r\nHost: a\r\n\r\n",
    "an authority": b"GET http://" + b"a" * RUN + b"@ HTTP/1.1\r\nHost: a\r\n\r\n",
    "a scheme": b"GET " + b"a" * RUN + b" HTTP/1.1\r\nHost: a\r\n\r\n",
    "a host": LINE + b"Host: " + b"a" * RUN + b"/\r\n\r\n",
    "a host of escapes": LINE + b"Host: " + b"%41" * RUN + b"%\r\n\r\n",
    "an address": LINE + b"Host: [" + b":" * RUN + b"]\r\n\r\n",
    "a port": LINE + b"Host: a:" + b"0" * RUN + b"x\r\n\r\n",
    "a length": HEAD + b"Content-Length: " + b"0" * RUN + b"\r\n\r\n",
    "spaces in Connection": HEAD + b"Connection: a" + b" " * RUN + b"b\r\n\r\n",
    "commas in Connection": HEAD + b"Connection: a" + b" ," * RUN + b"b\r\n\r\n",
    "spaces in codings": HEAD + b"Transfer-Encoding: a" + b" " * RUN + b"b, chunked\r\n\r\n",
    "spaces around a value": HEAD + b"X:" + b" \t" * RUN + b"y" + b" \t" * RUN + b"\r\n\r\n",
    "names": HEAD + b"a:\r\n" * RUN + b"\r\n",
    "an extension": CHUNKED + b"1;" + b"a" * RUN + b"(\r\n",
    "spaces in an extension": CHUNKED + b"1;a" + b" " * RUN + b"b\r\n",
    "extensions": CHUNKED + b"1" + b" ; a = b" * RUN + b" \r\n",
    "extensions without an end": CHUNKED + b"1" + b" ; a = b" * RUN,
    "a name without an end": CHUNKED + b"1;" + b"a" * RUN,
    "spaces without an end": CHUNKED + b"1;a" + b" " * RUN,
    "a quoted string without an end": CHUNKED + b'1;a="' + b'\\"' * RUN,
    "a quoted string": CHUNKED + b'1;a="' + b'\\"' * RUN + b"\r\n",
    "a trailer's spaces": CHUNKED + b"0\r\nX:" + b" " * RUN + b"y\r\n\r\n",
}


@pytest.mark.parametrize("stream", RUNS.values(), ids=RUNS)
def test_no_run_of_bytes_is_scanned_quadratically(
    stream: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("HEAD", "TARGET", "FIELD", "CHUNK_EXTENSION"):
        monkeypatch.setattr(limits, f"{name}_BYTES_MAX", 2**24)

    def give_up(signum: int, frame: FrameType | None) -> None:
        pytest.fail(f"not answered in {CPU_S_MAX} s of CPU time")  # no handler's Exception

    before = signal.signal(signal.SIGVTALRM, give_up)
    signal.setitimer(signal.ITIMER_VIRTUAL, CPU_S_MAX)
    try:
        assert len(statuses(talk([stream]).answer)) == 1
    finally:
        signal.setitimer(signal.ITIMER_VIRTUAL, 0)
        signal.signal(signal.SIGVTALRM, before)
