"""make fuzz: connections to which anything happens at any moment, for as long as you like.

python -m tests.fuzz [SECONDS]

Streams are made of the corpus: mutated, spliced, put together from parts, cut anywhere, with
time-outs, drains and ends of the stream in between. Whatever comes:

- nothing is raised, and no handler sees what makes it fail;
- behind an error, or a reply that says it is the last one, nothing is answered;
- while steps are taken it is nobody's turn but ours, and afterwards it is not;
- the same bytes get the same answer, however they are cut;
- what is kept of them is bounded.

What breaks one of these is made small, printed, kept in tests/fuzz/ and tried first the next time;
a conversation of it in tests/corpus/ then holds every model to it for good.
"""

import sys
import time
from pathlib import Path

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.database import DirectoryBasedExampleDatabase
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule, run_state_machine_as_test

from servers import limits
from servers.connection import Awaiting
from tests.conversations import CONTINUE
from tests.streams import Mirror, connect, cut, joined, split_answer, streams, talk
from tests.test_bounds import held_bytes

SECONDS = 60.0
ROUND_EXAMPLES = 200
KEPT_BYTES = limits.HEAD_BYTES_MAX + 4096
"""A head that is not there whole, and what is known of the request before it."""


FLOODS = [b"a", b"\r\n", b"X: y\r\n", b" ", b"1\r\nx\r\n", b"1;", b"0", b"GET / HTTP/1.1\r\n"]


class Client(RuleBasedStateMachine):
    """One connection, and all that may happen to it."""

    def __init__(self) -> None:
        super().__init__()
        self.connection = connect(Mirror())
        self.parts: list[bytes] = []
        self.answer = b""
        self.cut_only = True

    def _say(self, said: bytes) -> None:
        self.answer += said
        assert b"internal server error" not in said

    @rule(parts=cut(streams()))
    def receive(self, parts: list[bytes]) -> None:
        """Bytes arrive, as a model would hand them in."""
        for part in filter(None, parts):
            was_closed = self.connection.closed and self.connection.awaiting is Awaiting.NOTHING
            said = joined(self.connection, self.connection.receive_data(part))
            assert not (was_closed and said)
            self.parts.append(part)
            self._say(said)

    @rule(again=st.sampled_from(FLOODS), count=st.integers(1, 8))
    def flood(self, again: bytes, count: int) -> None:
        """The same arrives again and again."""
        for _ in range(count):
            self.receive([(again * 5000)[:5000]])

    @rule()
    def time_out(self) -> None:
        """The deadline of what is awaited passes."""
        if self.connection.awaiting is not Awaiting.NOTHING:
            self.cut_only = False
            self._say(joined(self.connection, self.connection.timed_out()))
            assert self.connection.closed

    @rule()
    def drain(self) -> None:
        """The server is to stop."""
        self.cut_only = False
        self.connection.drain()

    @rule()
    def end(self) -> None:
        """The client stops sending."""
        if not self.connection.closed:
            self.cut_only = False
            self._say(joined(self.connection, self.connection.receive_data(b"")))
            assert self.connection.closed

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
            if not self.connection.closed:
                self.end()
            assert talk([b"".join(self.parts)]).answer == self.answer.replace(CONTINUE, b"")


def main() -> int:
    """Fuzz until the time is up; a failure is raised, with what led to it."""
    seconds = float(sys.argv[1]) if len(sys.argv) > 1 else SECONDS
    rounds = 0
    give_up_s = time.monotonic() + seconds
    options = settings(
        max_examples=ROUND_EXAMPLES,
        stateful_step_count=20,
        deadline=None,
        database=DirectoryBasedExampleDatabase(Path(__file__).with_name("fuzz")),
        suppress_health_check=[*HealthCheck],
    )
    while time.monotonic() < give_up_s:
        run_state_machine_as_test(Client, settings=options)
        rounds += 1
    print(f"{rounds * ROUND_EXAMPLES} connections in {seconds:g} s: nothing found")
    return 0


if __name__ == "__main__":
    sys.exit(main())
