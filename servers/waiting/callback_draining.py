"""What still arrives after a shutdown has begun: in the models that an event loop calls back.

An idle client is not closed at once, since bytes that it sent before may still be on their way::

    client's kernel ──── network ──── our kernel ──── the loop
     │                   │             └ 1. has arrived: the loop reads it in its next turn
     │                   └ 2. arrives within moments
     └ 3. what our full window holds back, as the client has not taken our replies yet

Without this file, a request that was sent before the shutdown is met by a reset, and the client
cannot know whether it was carried out. So an idle client is closed only when two checks in a row,
DRAIN_POLL_S apart, have found nothing new and nothing unread, and it has taken all replies. One
that takes its replies slowly, or never pauses, is closed after LINGER_S.
"""

from typing import TYPE_CHECKING

from servers import limits
from servers.protocol.connection import RECEIVED_BYTES
from servers.sockets.kernel import unread_bytes

if TYPE_CHECKING:
    from servers.waiting.client_protocol import ClientProtocol


class DrainChecks:
    """What is remembered of a client from one check to the next.

    Attributes:
        since_s: When the first check was, on the monotonic clock.
        found_idle: Whether a check has found the client idle.
    """

    __slots__ = ("_received_bytes", "found_idle", "since_s")

    def __init__(self, now_s: float) -> None:
        self.since_s = now_s
        self.found_idle = False
        self._received_bytes: int | None = None  # at the last check; None: replies were not taken

    def has_ended(self, client: "ClientProtocol", now_s: float) -> bool:
        """Return whether an idle client has nothing left to ask; called again and again."""
        self.found_idle = True
        received_bytes = client.tally[RECEIVED_BYTES]
        is_silent = received_bytes == self._received_bytes
        self._received_bytes = None if client.unacked_bytes() else received_bytes
        is_over = is_silent or now_s >= self.since_s + limits.LINGER_S
        return is_over and not unread_bytes(client.fileno())
