"""The contract between bytes and models: bytes in, steps out.

A connection owns no socket, no clock and no timer. A model hands in the client's bytes and carries
out the steps that the connection returns; how it waits meanwhile is what tells models apart.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from enum import Enum
from typing import Protocol, final


class State(Enum):
    """Where a connection stands. There are six states, and no hidden one.

    ===========  ==================================================  ========  ===================
    state        what it means                                       deadline  next
    ===========  ==================================================  ========  ===================
    IDLE         no request has begun                                idle      RESPONDING DRAINED
                                                                               CLOSED
    HEAD         part of a head has arrived                          header    RESPONDING
    BODY         a head and part of a body have arrived              body      RESPONDING
    RESPONDING   the model is carrying out steps                     write     IDLE HEAD BODY
                                                                               DRAINED CLOSED
    DRAINED      idle as the server stops; a request that the        idle      RESPONDING CLOSED
                 client had sent by then is still answered
    CLOSED       the last step has been taken: send what is left,    linger    none
                 then close; what the client still sends is dropped
    ===========  ==================================================  ========  ===================

    ``receive_data`` leads to RESPONDING, and the end of its steps leads on. ``drain`` turns IDLE
    into DRAINED at once, and any other state when its reply has been sent. ``timed_out`` leads
    from HEAD and BODY by way of RESPONDING (a 408), from IDLE and DRAINED directly, to CLOSED.
    """

    IDLE = "idle"
    HEAD = "head"
    BODY = "body"
    RESPONDING = "responding"
    DRAINED = "drained"
    CLOSED = "closed"


BETWEEN_REQUESTS = (State.IDLE, State.DRAINED)
"""The states in which no request has begun."""


@final
@dataclass(frozen=True, slots=True)
class Wait:
    """Let this many seconds pass, then go on with the next step."""

    seconds: float


Step = bytes | Wait

REQUESTS, REQUEST_ERRORS, RECEIVED_BYTES, SENT_BYTES, RESETS = range(5)
"""Columns of a connection's row: requests answered, answers of 4xx and 5xx, bytes, resets."""


class Tally(Protocol):
    """One connection's counts, by the columns above; only that connection's model writes them."""

    def __getitem__(self, column: int, /) -> int: ...
    def __setitem__(self, column: int, count: int, /) -> None: ...


class Connection(Protocol):
    """One client's byte stream, without its socket. No method raises for what a client does."""

    state: State
    """Where the connection stands: RESPONDING from the first step to the end of the last one."""

    def receive_data(self, data: bytes) -> Iterator[Step]:
        """Take the client's next bytes and return the steps they call for.

        Steps are made lazily: take them to the end before handing in more, and do not read from the
        client meanwhile.

        Args:
            data: The next bytes of the stream, cut anywhere: a byte, half a header, three
                pipelined requests. ``b""``: the client has stopped sending (as from recv()).
        """
        ...

    def timed_out(self) -> Iterator[Step]:
        """Close, because the state's deadline has passed; return a 408 where one is due."""
        ...

    def drain(self) -> None:
        """Let the next reply be the last one, because the server stops.

        Another thread or a signal handler may call this at any time.
        """
        ...
