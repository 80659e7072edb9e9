"""The lingering close: the last reply, our FIN, and then reading until the client has the reply.

Without it a slow reader that still sends loses the rest of its reply. Where a socket is closed with
bytes unread, or bytes come after it is closed, the kernel answers them with a reset; a reset throws
away what the client has not yet acknowledged, which may be megabytes, and on other systems than
Linux also what the client's kernel has and the client has not read. An empty line, the next request
or the rest of a refused upload is enough. So the server reads on (RFC 9112 section 9.6), and drops
what it reads.

The close ends at the first of these: the client closes; the client does not take what is left by
its write deadline; the client has taken all for LINGER_S, unless it uploads; it has uploaded for
LINGER_UPLOAD_S. Beyond LINGER_BYTES_MAX nothing more is read, so the client's window holds it back.

A shutdown waits for a client to take what is left, too, but not for an upload: LINGER_S after it
all that have taken all are closed. One that was idle then is closed as soon as it has taken all.
"""

import socket
import time
from contextlib import suppress
from typing import TYPE_CHECKING

from servers import limits
from servers.protocol.connection import RECEIVED_BYTES, Tally
from servers.sockets.kernel import peer_sends
from servers.waiting.deadlines import stalls
from servers.waiting.draining import one_direction_only
from servers.waiting.fairness import give_way

if TYPE_CHECKING:
    from servers.waiting.client import Client


class Lingering:
    """What a lingering close depends on; it owns no socket and no clock.

    Args:
        write_s: How long a client may need for STREAM_BYTES of ours, or for what is left.

    Attributes:
        left_bytes: How much more is to be read; below 1: nothing.
    """

    __slots__ = ("_before", "_end_s", "_look_s", "_write_s", "left_bytes")

    def __init__(self, write_s: float) -> None:
        self.left_bytes = limits.LINGER_BYTES_MAX
        self._write_s = write_s
        self._look_s = 0.0  # by when the client must have taken, or uploaded, its share
        self._before: int | None = None  # bytes that it had not taken, or we not read, before
        self._end_s: float | None = None  # the latest end; set when the client has taken all

    def pause_s(
        self,
        now_s: float,
        unacked_bytes: int,
        draining_since_s: float | None = None,
        was_idle: bool = False,
    ) -> float:
        """Return for how long to read on before the next look, in seconds; 0: close now.

        Args:
            now_s: On the monotonic clock.
            unacked_bytes: Bytes that the client has not acknowledged, our FIN included; 0 where the
                kernel does not tell.
            draining_since_s: When a shutdown began to close clients; None: there is none.
            was_idle: Whether the shutdown found this one idle.

        Raises:
            TimeoutError: The client does not take what is left.
        """
        if unacked_bytes:
            if self._before is None or now_s >= self._look_s:
                if self._before is not None and stalls(self._before, unacked_bytes):
                    raise TimeoutError
                self._before, self._look_s = unacked_bytes, now_s + self._write_s
            return limits.LINGER_POLL_S
        if was_idle:
            return 0.0
        pause_s = limits.LINGER_S
        if self._end_s is None:
            self._end_s = now_s + limits.LINGER_UPLOAD_S
        elif now_s < self._look_s:
            return self._look_s - now_s
        else:
            end_s = self._end_s
            if draining_since_s is not None:
                end_s = min(end_s, draining_since_s + limits.LINGER_S)
            pause_s = min(pause_s, end_s - now_s)
            if pause_s <= 0 or not self._uploads():
                return 0.0
        self._before, self._look_s = self.left_bytes, now_s + pause_s
        return pause_s

    def dropped(self, size: int, tally: Tally) -> bool:
        """Count bytes that were read and dropped; return whether more are to be read."""
        tally[RECEIVED_BYTES] += size
        self.left_bytes -= size
        return self.left_bytes > 0

    def _uploads(self) -> bool:
        return self._before is not None and self._before - self.left_bytes >= limits.STREAM_BYTES


def linger(client: "Client") -> None:
    """Stop sending, and read until the close is over: for a socket that blocks, or seems to.

    Where a shutdown has shut our reading, there is no FIN before the client has taken all: after
    both, Linux resets a client that sends.

    Raises:
        TimeoutError: The client does not take what is left.
        OSError: The client has reset the connection.
    """
    sock = client.sock
    with one_direction_only:  # from here on a shutdown sees that the connection is not idle
        sends_fin = not client.reading_is_shut
    if sends_fin:
        sock.shutdown(socket.SHUT_WR)
    lingering = Lingering(client.timeouts.write_s)
    rest_s = limits.LINGER_POLL_S
    look_s = time.monotonic() + (rest_s if sends_fin else 0)
    while True:
        nothing_comes = lingering.left_bytes <= 0
        if not nothing_comes:
            sock.settimeout(rest_s)
            with suppress(TimeoutError):  # nothing has come until this look
                size = len(sock.recv(limits.RECV_BYTES))
                lingering.dropped(size, client.tally)
                nothing_comes = not size
                if nothing_comes and not (client.reading_is_shut and peer_sends(sock)):
                    return
        if nothing_comes:
            time.sleep(max(look_s - time.monotonic(), 0))  # in place of a recv() that waits
        else:
            give_way()
        now_s = time.monotonic()
        if now_s >= look_s:
            unacked_bytes, was_idle = client.unacked_bytes(), client.reading_is_shut
            pause_s = lingering.pause_s(now_s, unacked_bytes, client.draining_since_s, was_idle)
            if not pause_s:
                return
            look_s = now_s + pause_s
        rest_s = look_s - now_s
