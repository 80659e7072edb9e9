"""The lingering close for models that are called back; ``servers.waiting.lingering`` says why."""

import asyncio
import time
from typing import Protocol

from servers import limits
from servers.protocol.connection import RECEIVED_BYTES, Tally
from servers.sockets.listeners import Timeouts
from servers.waiting.lingering import Lingering


class Ended(Protocol):
    """What has to be known of a client to which all has been said.

    Attributes:
        finish_s: When a shutdown began to end clients, on the monotonic clock; None: there is none.
        was_idle: Whether that found this one idle.
    """

    tally: Tally
    timeouts: Timeouts
    transport: asyncio.Transport
    finish_s: float | None
    was_idle: bool

    def unacked_bytes(self) -> int:
        """Return how much of ours it has not taken."""
        ...

    def time_out(self) -> None:
        """Reset its connection."""
        ...

    def connection_lost(self, exc: Exception | None) -> None:
        """Take note that its connection is closed."""
        ...


class Lingerer(asyncio.Protocol):
    """Takes a transport over from the client's own protocol, once our FIN is on its way.

    Args:
        ended: Is told when the connection is closed.
    """

    __slots__ = ("_ended", "_lingering", "_loop", "_timer")

    def __init__(self, loop: asyncio.AbstractEventLoop, ended: Ended) -> None:
        self._loop = loop
        self._ended = ended
        self._lingering = Lingering(ended.timeouts.write_s)
        self._timer = loop.call_later(limits.LINGER_POLL_S, self._look)
        ended.transport.set_protocol(self)
        ended.transport.resume_reading()

    def data_received(self, data: bytes) -> None:
        """Drop what comes (called by the loop)."""
        size = len(data)
        self._ended.tally[RECEIVED_BYTES] += size
        self._lingering.left_bytes -= size
        if self._lingering.left_bytes <= 0:
            self._ended.transport.pause_reading()
        elif size >= limits.FAIR_READ_BYTES:
            # libuv would read here again and again before it looked at anybody else.
            self._ended.transport.pause_reading()
            self._loop.call_soon(self._ended.transport.resume_reading)

    def connection_lost(self, exc: Exception | None) -> None:
        """The connection is closed (called by the loop, also after the client's FIN)."""
        self._timer.cancel()
        self._ended.connection_lost(exc)

    def _look(self) -> None:
        try:
            ended = self._ended
            pause_s = self._lingering.pause_s(
                time.monotonic(), ended.unacked_bytes(), ended.finish_s, ended.was_idle
            )
            if pause_s:
                self._timer = self._loop.call_later(pause_s, self._look)
            else:
                ended.transport.abort()
        except (TimeoutError, MemoryError):  # it does not take what is left; or no look will follow
            self._ended.time_out()
