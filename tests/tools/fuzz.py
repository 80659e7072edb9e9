"""make fuzz: random streams and events on connections in memory, for as long as you like.

python -m tests.tools.fuzz [SECONDS]

Streams come from the corpus: mutated, spliced, assembled from parts and cut anywhere. Time-outs,
drains and ends of the stream come in between. In all cases:

- nothing raises, nothing hangs, and no handler gets input that makes it fail;
- after an error, or a reply with Connection: close, no further reply comes;
- before the server closes, its last reply says so; half a request gets a 400 or a 408;
- the connection is responding while it makes steps, and not afterwards;
- the same bytes get the same replies, however they are cut;
- the memory of a connection is bounded.

A failure is shrunk, printed and stored in tests/corpus/fuzz/. Each run, and make test, begins with
all stored failures.
"""

import hashlib
import json
import signal
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule, run_state_machine_as_test

from servers import limits
from servers.protocol.connection import State
from tests.servers.test_client_cost import held_bytes
from tests.support.conversations import CONTINUE
from tests.support.streams import (
    BODY_BYTES_MAX,
    CHUNKED,
    Mirror,
    connect,
    cut,
    joined,
    split_answer,
    statuses,
    streams,
    talk,
)

FAILURES = Path(__file__).parent.parent / "corpus" / "fuzz"
SECONDS = 60.0
ROUND_EXAMPLES = 200
KEPT_BYTES = limits.HEAD_BYTES_MAX + BODY_BYTES_MAX + 4096
"""An incomplete head, or a body, and what is kept of its request."""

CPU_S_MAX = 0.2
"""For one event, which takes milliseconds: one that takes longer never ends."""

BEGINNINGS = [b"", b"GET / HTTP/1.1\r\nX: ", CHUNKED, CHUNKED + b"0\r\n"]
FLOODS = [
    b"C8\r\n" + 200 * b"x" + b"\r\n",
    b"a",
    b"\r\n",
    b"X: y\r\n",
    b" ",
    b"1\r\nx\r\n",
    b"1;",
    b"0",
    b"GET / HTTP/1.1\r\n",
]

Event = list[str]
"""The name of a rule; for ``receive`` also the parts that arrive, a character per byte."""


class Hang(BaseException):
    """An event took too long. A BaseException, since the server answers an Exception with a 500."""


class Client(RuleBasedStateMachine):
    """One connection, and all events it may meet."""

    events: list[Event]  # of the latest client

    def __init__(self) -> None:
        super().__init__()
        self.connection = connect(Mirror())
        self.parts: list[bytes] = []
        self.answer = b""
        self.cut_only = True
        Client.events = []

    @contextmanager
    def _happening(self, event: str, *parts: bytes) -> Iterator[None]:
        """Record the event of a block, which must not hang."""
        Client.events.append([event, *(part.decode("latin-1") for part in parts)])
        signal.setitimer(signal.ITIMER_VIRTUAL, CPU_S_MAX)
        try:
            yield
        except Hang:
            raise AssertionError(f"hangs: used {CPU_S_MAX} s of CPU time") from None
        finally:
            signal.setitimer(signal.ITIMER_VIRTUAL, 0)

    def _add(self, reply: bytes) -> None:
        self.answer += reply
        assert b"internal server error" not in reply
        if reply and self.connection.state in (
            State.DRAINED,
            State.CLOSED,
        ):  # the last reply says that it is the last
            assert b"\r\nConnection: close\r\n" in split_answer(reply)[-1]

    @rule(parts=cut(streams()))
    def receive(self, parts: list[bytes]) -> None:
        """Bytes arrive, in parts, as a model hands them in."""
        with self._happening("receive", *parts):
            for part in filter(None, parts):
                was_over = self.connection.state is State.CLOSED
                reply = joined(self.connection, self.connection.receive_data(part))
                assert not (was_over and reply)
                self.parts.append(part)
                self._add(reply)

    @rule(begin=st.sampled_from(BEGINNINGS), again=st.sampled_from(FLOODS), count=st.integers(1, 8))
    def flood(self, begin: bytes, again: bytes, count: int) -> None:
        """A request begins, and then the same bytes arrive again and again."""
        self.receive([begin, *[again * (5000 // len(again))] * count])

    @rule(event=st.sampled_from(["time_out", "drain", "end"]))
    def interrupt(self, event: str) -> None:
        """The deadline passes, the server drains, or the client ends its stream."""
        self.cut_only = False
        before = self.connection.state
        with self._happening(event):
            if event == "drain":
                self.connection.drain()
            elif event == "time_out" and before is not State.CLOSED:
                reply = joined(self.connection, self.connection.timed_out())
                assert statuses(reply) == [408] * (before in (State.HEAD, State.BODY))
                self._add(reply)
                assert self.connection.state is State.CLOSED
            elif event == "end" and before not in (State.DRAINED, State.CLOSED):
                self._end_stream()

    def _end_stream(self) -> None:
        half = self.connection.state in (State.HEAD, State.BODY)
        reply = joined(self.connection, self.connection.receive_data(b""))
        assert statuses(reply) == [400] * half
        self._add(reply)
        assert self.connection.state is State.CLOSED

    @invariant()
    def memory_is_bounded(self) -> None:
        """A connection keeps no more than a head and a body of the allowed size."""
        last = len(self.parts[-1]) if self.parts else 0
        assert held_bytes(self.connection) <= KEPT_BYTES + last

    @invariant()
    def only_the_last_reply_closes(self) -> None:
        """Only the last reply has Connection: close."""
        replies = split_answer(self.answer)
        assert not any(b"\r\nConnection: close\r\n" in reply for reply in replies[:-1])

    def teardown(self) -> None:
        """Compare with the same bytes in one piece, if there was no other event."""
        if self.cut_only and self.parts:
            if self.connection.state is not State.CLOSED:
                self._end_stream()
            assert talk([b"".join(self.parts)]).answer == self.answer.replace(CONTINUE, b"")


def replay(events: list[Event]) -> None:
    """Repeat events on a new connection.

    Raises:
        AssertionError: They still break a rule.
    """
    client = Client()
    for name, *parts in events:
        if name == "receive":
            client.receive(parts=[part.encode("latin-1") for part in parts])
        else:
            client.interrupt(event=name)
        client.memory_is_bounded()
        client.only_the_last_reply_closes()
    client.teardown()


def raise_hang(signum: int, frame: FrameType | None) -> None:
    """End an event that hangs (a handler of SIGVTALRM)."""
    raise Hang


def main() -> int:
    """Fuzz until the time is up; store the first failure with its events, and raise it."""
    seconds = float(sys.argv[1]) if len(sys.argv) > 1 else SECONDS
    rounds = 0
    give_up_s = time.monotonic() + seconds
    signal.signal(signal.SIGVTALRM, raise_hang)
    for path in sorted(FAILURES.glob("*.json")):
        print(f"stored failure: {path.name}")
        replay(json.loads(path.read_text("ascii")))
    options = settings(
        max_examples=ROUND_EXAMPLES,
        stateful_step_count=10,
        deadline=None,
        database=None,  # its keys change with the rules
        suppress_health_check=[*HealthCheck],
        report_multiple_bugs=False,  # the smallest example of one bug comes last
    )
    while time.monotonic() < give_up_s:
        try:
            run_state_machine_as_test(Client, settings=options)
        except Exception:  # any failure: the latest connection is the smallest example
            events = json.dumps(Client.events, indent=1)
            path = FAILURES / f"{hashlib.sha256(events.encode()).hexdigest()[:12]}.json"
            FAILURES.mkdir(exist_ok=True)
            path.write_text(events + "\n", "ascii")
            print(f"stored as {path}", file=sys.stderr)
            raise
        rounds += 1
    print(f"{rounds * ROUND_EXAMPLES} connections in {seconds:g} s: no failure")
    return 0


if __name__ == "__main__":
    sys.exit(main())
