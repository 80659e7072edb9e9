"""The lingering close, in the models that an event loop calls back.

``servers.waiting.lingering`` has the rules, and says what a client loses without it: the rest of
its reply, if it sends anything while it reads. Here a protocol of its own follows the rules, so
that the client's own protocol, and so each idle connection, carries none of it.
"""

import asyncio
import time
from typing import TYPE_CHECKING

from servers import limits
from servers.protocol.connection import RESETS
from servers.waiting.lingering import Lingering

if TYPE_CHECKING:
    from servers.waiting.client_protocol import ClientProtocol


def linger(client: "ClientProtocol", loop: asyncio.AbstractEventLoop) -> None:
    """Send our FIN behind what the client has yet to take, and read until it has taken it."""
    try:
        client.transport.write_eof()
    except OSError:  # asyncio lets it through: the last reply has met a reset
        client.tally[RESETS] += 1
        client.abort()
        return
    try:
        _Lingerer(client, loop)
    except MemoryError:  # none left to wait with
        client.reset()


class _Lingerer(asyncio.Protocol):
    """Takes over a client's transport; tells the client when the connection is closed."""

    __slots__ = ("_client", "_lingering", "_loop", "_timer")

    def __init__(self, client: "ClientProtocol", loop: asyncio.AbstractEventLoop) -> None:
        self._client = client
        self._loop = loop
        self._lingering = Lingering(client.timeouts.write_s)
        self._timer = loop.call_later(limits.LINGER_POLL_S, self._check)
        client.transport.set_protocol(self)
        client.transport.resume_reading()

    def data_received(self, data: bytes) -> None:
        """Drop the client's bytes (called by the loop)."""
        size = len(data)
        if not self._lingering.dropped(size, self._client.tally):
            self._client.transport.pause_reading()
        elif size >= limits.FAIR_READ_BYTES:
            # libuv would read here again and again before it looked at another client.
            self._client.transport.pause_reading()
            self._loop.call_soon(self._client.transport.resume_reading)

    def connection_lost(self, exc: Exception | None) -> None:
        """Pass it on (called by the loop, also after the client's FIN)."""
        self._timer.cancel()
        self._client.connection_lost(exc)

    def _check(self) -> None:
        client, draining = self._client, self._client.draining
        try:
            pause_s = self._lingering.pause_s(
                time.monotonic(),
                client.unacked_bytes(),
                None if draining is None else draining.since_s,
                draining is not None and draining.found_idle,
            )
            if pause_s:
                self._timer = self._loop.call_later(pause_s, self._check)
            else:
                client.abort()
        except (TimeoutError, MemoryError):  # it takes nothing; or no check can follow
            client.reset()
