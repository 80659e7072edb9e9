"""The contract between bytes and models: bytes in, steps out.

A connection owns no socket, no clock and no timer. A model feeds it what the peer sent and
carries out the steps it answers with; how the model waits meanwhile is the model's whole point.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from enum import Enum
from typing import Protocol, final


class Awaiting(Enum):
    """What the peer owes us: it says which deadline runs."""

    IDLE = "nothing begun"
    HEAD = "the rest of a head"
    BODY = "the rest of a body"
    NOTHING = "it is our turn, or all is over"


@final
@dataclass(frozen=True, slots=True)
class Wait:
    """Let this many seconds pass, then go on with the next step."""

    seconds: float


Step = bytes | Wait

REQUESTS, REQUEST_ERRORS, RECEIVED_BYTES, SENT_BYTES, RESETS = range(5)
"""Columns of a connection's row: requests answered, answers of 4xx and 5xx, bytes, resets."""


class Tally(Protocol):
    """One connection's counts, by the columns above; it alone writes."""

    def __getitem__(self, column: int, /) -> int: ...
    def __setitem__(self, column: int, count: int, /) -> None: ...


class Connection(Protocol):
    """One client's byte stream, without its socket. No method raises for what a peer does."""

    awaiting: Awaiting
    """Which deadline runs now. NOTHING from the first step to the end of the last one."""

    closed: bool
    """Nothing more is wanted from the peer: send what is left, then close."""

    def receive_data(self, data: bytes) -> Iterator[Step]:
        """Take the peer's next bytes and return the steps they call for.

        Steps are made lazily: take them to the end before handing in more, and do not read
        from the peer meanwhile.

        Args:
            data: The next bytes of the stream, cut anywhere: a byte, half a header, three
                pipelined requests. ``b""``: the peer has stopped sending (as recv() says it).
        """
        ...

    def timed_out(self) -> Iterator[Step]:
        """Tell that the deadline of ``awaiting`` has passed; answer with a 408 or nothing."""
        ...

    def drain(self) -> None:
        """Tell that the server is stopping: what is due is still answered, then ``closed``."""
        ...
