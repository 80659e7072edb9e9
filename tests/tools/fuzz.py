"""make fuzz: connections to which anything happens at any moment, for as long as you like.

python -m tests.tools.fuzz [SECONDS]

Streams are made of the corpus: mutated, spliced, put together from parts, cut anywhere, with
time-outs, drains and ends of the stream in between. Whatever comes:

- nothing is raised, nothing hangs, and no handler sees what makes it fail;
- behind an error, or a reply that says it is the last one, nothing is answered;
- whoever is left has been told so in the last reply, and half a request gets its 400 or 408;
- while steps are taken it is nobody's turn but ours, and afterwards it is not;
- the same bytes get the same answer, however they are cut;
- what is kept of them is bounded.

What breaks one of these is made small, printed, and kept in tests/corpus/fuzz/: each run begins
with all of them, and so does make test, for good.
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
from tests.servers.test_bounds import held_bytes
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

FOUND = Path(__file__).parent.parent / "corpus" / "fuzz"
SECONDS = 60.0
ROUND_EXAMPLES = 200
KEPT_BYTES = limits.HEAD_BYTES_MAX + BODY_BYTES_MAX + 4096
"""A head that is not there whole, or a body, and what is known of the request before it."""

CPU_S_MAX = 0.2
"""For one event. What is not over by then never will be: an event takes milliseconds."""

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
"""A rule's name, and for ``receive`` the parts that arrive, a character a byte."""


class Hang(BaseException):
    """What happens is not over in time. No Exception: those are answered with a 500."""


class Client(RuleBasedStateMachine):
    """One connection, and all that may happen to it."""

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
        """Take down what happens in a block, which must not hang."""
        Client.events.append([event, *(part.decode("latin-1") for part in parts)])
        signal.setitimer(signal.ITIMER_VIRTUAL, CPU_S_MAX)
        try:
            yield
        except Hang:
            raise AssertionError(f"not over after {CPU_S_MAX} s of CPU time") from None
        finally:
            signal.setitimer(signal.ITIMER_VIRTUAL, 0)

    def _say(self, said: bytes) -> None:
        self.answer += said
        assert b"internal server error" not in said
        if said and self.connection.state in (
            State.DRAINED,
            State.CLOSED,
        ):  # whoever is answered and then left is told so
            assert b"\r\nConnection: close\r\n" in split_answer(said)[-1]

    @rule(parts=cut(streams()))
    def receive(self, parts: list[bytes]) -> None:
        """Bytes arrive, as a model would hand them in."""
        with self._happening("receive", *parts):
            for part in filter(None, parts):
                was_over = self.connection.state is State.CLOSED
                said = joined(self.connection, self.connection.receive_data(part))
                assert not (was_over and said)
                self.parts.append(part)
                self._say(said)

    @rule(begin=st.sampled_from(BEGINNINGS), again=st.sampled_from(FLOODS), count=st.integers(1, 8))
    def flood(self, begin: bytes, again: bytes, count: int) -> None:
        """Something begins, and then the same arrives again and again."""
        self.receive([begin, *[again * (5000 // len(again))] * count])

    @rule(event=st.sampled_from(["time_out", "drain", "end"]))
    def interrupt(self, event: str) -> None:
        """The deadline of what is awaited passes, the server is to stop, or the client is done."""
        self.cut_only = False
        before = self.connection.state
        with self._happening(event):
            if event == "drain":
                self.connection.drain()
            elif event == "time_out" and before is not State.CLOSED:
                said = joined(self.connection, self.connection.timed_out())
                assert statuses(said) == [408] * (before in (State.HEAD, State.BODY))
                self._say(said)
                assert self.connection.state is State.CLOSED
            elif event == "end" and before not in (State.DRAINED, State.CLOSED):
                self._hear_the_end()

    def _hear_the_end(self) -> None:
        half = self.connection.state in (State.HEAD, State.BODY)
        said = joined(self.connection, self.connection.receive_data(b""))
        assert statuses(said) == [400] * half
        self._say(said)
        assert self.connection.state is State.CLOSED

    @invariant()
    def what_is_kept_is_bounded(self) -> None:
        """Nobody can make a connection hold more than a head and a body of the allowed size."""
        last = len(self.parts[-1]) if self.parts else 0
        assert held_bytes(self.connection) <= KEPT_BYTES + last

    @invariant()
    def the_last_reply_is_the_last(self) -> None:
        """Only the last reply says that it is."""
        replies = split_answer(self.answer)
        assert not any(b"\r\nConnection: close\r\n" in reply for reply in replies[:-1])

    def teardown(self) -> None:
        """Compare with the same bytes in one piece, if nothing else has happened."""
        if self.cut_only and self.parts:
            if self.connection.state is not State.CLOSED:
                self._hear_the_end()
            assert talk([b"".join(self.parts)]).answer == self.answer.replace(CONTINUE, b"")


def replay(events: list[Event]) -> None:
    """Let the same happen again to a new connection.

    Raises:
        AssertionError: It still breaks what always holds.
    """
    client = Client()
    for name, *parts in events:
        if name == "receive":
            client.receive(parts=[part.encode("latin-1") for part in parts])
        else:
            client.interrupt(event=name)
        client.what_is_kept_is_bounded()
        client.the_last_reply_is_the_last()
    client.teardown()


def give_up(signum: int, frame: FrameType | None) -> None:
    """End what hangs (a handler of SIGVTALRM)."""
    raise Hang


def main() -> int:
    """Fuzz until the time is up; a failure is kept and raised, with what led to it."""
    seconds = float(sys.argv[1]) if len(sys.argv) > 1 else SECONDS
    rounds = 0
    give_up_s = time.monotonic() + seconds
    signal.signal(signal.SIGVTALRM, give_up)
    for path in sorted(FOUND.glob("*.json")):
        print(f"once more: {path.name}")
        replay(json.loads(path.read_text("ascii")))
    options = settings(
        max_examples=ROUND_EXAMPLES,
        stateful_step_count=10,
        deadline=None,
        database=None,  # its keys change with the rules, so what it holds would be forgotten
        suppress_health_check=[*HealthCheck],
        report_multiple_bugs=False,  # one at a time: the smallest that meets it comes last
    )
    while time.monotonic() < give_up_s:
        try:
            run_state_machine_as_test(Client, settings=options)
        except Exception:  # whatever it is, the latest connection is the smallest that meets it
            found = json.dumps(Client.events, indent=1)
            path = FOUND / f"{hashlib.sha256(found.encode()).hexdigest()[:12]}.json"
            FOUND.mkdir(exist_ok=True)
            path.write_text(found + "\n", "ascii")
            print(f"kept as {path}", file=sys.stderr)
            raise
        rounds += 1
    print(f"{rounds * ROUND_EXAMPLES} connections in {seconds:g} s: nothing found")
    return 0


if __name__ == "__main__":
    sys.exit(main())
