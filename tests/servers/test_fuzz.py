"""The fuzzer: what it has found stays found, and it would find what is wrong."""

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
def impatient() -> Iterator[None]:
    before = signal.signal(signal.SIGVTALRM, fuzz.give_up)
    yield
    signal.setitimer(signal.ITIMER_VIRTUAL, 0)
    signal.signal(signal.SIGVTALRM, before)


@pytest.mark.parametrize("path", sorted(fuzz.FOUND.glob("*.json")), ids=lambda path: path.stem)
def test_what_was_found_is_not_found_again(path: Path) -> None:
    fuzz.replay(json.loads(path.read_text("ascii")))


def hang(connection: HTTPConnection, data: bytes) -> Iterator[bytes]:
    while True:
        pass


def speak_for_ever(connection: HTTPConnection, data: bytes) -> Iterator[bytes]:
    while True:
        yield b""


def fail(connection: HTTPConnection, data: bytes) -> Iterator[bytes]:
    raise ZeroDivisionError


@pytest.mark.filterwarnings("ignore::hypothesis.errors.HypothesisWarning")  # of long repr()s
@pytest.mark.parametrize("defect", [hang, speak_for_ever, fail])
def test_a_connection_that_hangs_or_raises_is_found_and_kept(
    defect: Callable[[HTTPConnection, bytes], Iterator[bytes]],
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    monkeypatch.setattr(fuzz, "FOUND", tmp_path / "fuzz")
    monkeypatch.setattr(fuzz, "CPU_S_MAX", 0.05)
    monkeypatch.setattr("sys.argv", ["fuzz", "60"])
    with monkeypatch.context() as broken:
        broken.setattr(HTTPConnection, "receive_data", defect)
        with pytest.raises((AssertionError, ZeroDivisionError)):
            fuzz.main()
        (kept,) = fuzz.FOUND.glob("*.json")
        events = json.loads(kept.read_text("ascii"))
        with pytest.raises((AssertionError, ZeroDivisionError)):
            fuzz.replay(events)
    fuzz.replay(events)


def test_a_limit_that_is_gone_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    flood = [["receive", HELLO + HELLO[:-4]]] + [["receive", "x" * 10_000]] * 5
    fuzz.replay(flood)
    monkeypatch.setattr(limits, "HEAD_BYTES_MAX", 1 << 20)
    with pytest.raises(AssertionError):
        fuzz.replay(flood)
