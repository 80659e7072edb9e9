"""The fuzzer: stored failures stay fixed, and it finds defects."""

import json
import signal
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from servers import limits
from servers.protocol.http11 import HTTPConnection
from tests.tools import fuzz

HELLO = "GET / HTTP/1.1\r\nHost: a\r\n\r\n"


@pytest.fixture(autouse=True)
def hang_handler() -> Iterator[None]:
    before = signal.signal(signal.SIGVTALRM, fuzz.raise_hang)
    yield
    signal.setitimer(signal.ITIMER_VIRTUAL, 0)
    signal.signal(signal.SIGVTALRM, before)


@pytest.mark.parametrize("path", sorted(fuzz.FAILURES.glob("*.json")), ids=lambda path: path.stem)
def test_a_stored_failure_stays_fixed(path: Path) -> None:
    fuzz.replay(json.loads(path.read_text("ascii")))


def hang(connection: HTTPConnection, data: bytes) -> Iterator[bytes]:
    while True:
        pass


def reply_for_ever(connection: HTTPConnection, data: bytes) -> Iterator[bytes]:
    while True:
        yield b""


def fail(connection: HTTPConnection, data: bytes) -> Iterator[bytes]:
    raise ZeroDivisionError


@pytest.mark.filterwarnings("ignore::hypothesis.errors.HypothesisWarning")  # of long repr()s
@pytest.mark.parametrize("defect", [hang, reply_for_ever, fail])
def test_a_connection_that_hangs_or_raises_is_found_and_stored(
    defect: Callable[[HTTPConnection, bytes], Iterator[bytes]],
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    monkeypatch.setattr(fuzz, "FAILURES", tmp_path / "fuzz")
    monkeypatch.setattr(fuzz, "CPU_S_MAX", 0.05)
    monkeypatch.setattr("sys.argv", ["fuzz", "60"])
    with monkeypatch.context() as broken:
        broken.setattr(HTTPConnection, "receive_data", defect)
        with pytest.raises((AssertionError, ZeroDivisionError)):
            fuzz.main()
        (stored,) = fuzz.FAILURES.glob("*.json")
        events = json.loads(stored.read_text("ascii"))
        with pytest.raises((AssertionError, ZeroDivisionError)):
            fuzz.replay(events)
    fuzz.replay(events)


def test_a_missing_limit_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    flood = [["receive", HELLO + HELLO[:-4]]] + [["receive", "x" * 10_000]] * 5
    fuzz.replay(flood)
    monkeypatch.setattr(limits, "HEAD_BYTES_MAX", 1 << 20)
    with pytest.raises(AssertionError):
        fuzz.replay(flood)
