"""The lingering close: our last words, our FIN, and then reading until the client has them.

Without it a slow reader that still sends loses the rest of its reply. Where a socket is closed with
bytes unread, or bytes come after it is closed, the kernel answers them with a reset; a reset throws
away what the client has not yet acknowledged, which may be megabytes, and on other systems than
Linux also what the client's kernel has and the client has not read. An empty line, the next request
or the rest of a refused upload is enough. So the server reads on (RFC 9112 section 9.6), and drops
what it reads.

It is over at the first of these: the client closes; the client does not take what is left by its
write deadline; the client has taken all for LINGER_S, unless it uploads; it has uploaded for
LINGER_UPLOAD_S. Beyond LINGER_BYTES_MAX nothing more is read, so the client's window holds it back.

A shutdown waits for a client to take what is left, too, but not for an upload: LINGER_S after it
all that have taken all are closed. One that was idle then is closed as soon as it has taken all.
"""

import socket
import threading
import time
from contextlib import suppress

from servers import limits
from servers.protocol.connection import RECEIVED_BYTES
from servers.sockets.kernel import peer_sends
from servers.waiting.deadlines import stalls
from servers.waiting.peer import Peer

in_one_step = threading.RLock()
"""Held by a thread that shuts one direction of a socket, while it decides: a socket of which both
are shut is reset by Linux when its client sends. Reentrant, since a signal handler decides, too."""


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
        self._look_s = 0.0  # when the client has to have moved as much as it must
        self._before: int | None = None  # what it had not taken, or we not read, a while ago
        self._end_s: float | None = None  # the latest end, from when on it has taken all

    def pause_s(
        self,
        now_s: float,
        untaken_bytes: int,
        finish_s: float | None = None,
        was_idle: bool = False,
    ) -> float:
        """Return for how long to read on before the next look, in seconds; 0: close now.

        Args:
            now_s: On the monotonic clock.
            untaken_bytes: Of ours, our FIN included; 0 where the kernel does not tell.
            finish_s: When a shutdown began to end clients; None: there is none.
            was_idle: Whether that found this one idle.

        Raises:
            TimeoutError: The client does not take what is left.
        """
        if untaken_bytes:
            if self._before is None or now_s >= self._look_s:
                if self._before is not None and stalls(self._before, untaken_bytes):
                    raise TimeoutError
                self._before, self._look_s = untaken_bytes, now_s + self._write_s
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
            if finish_s is not None:
                end_s = min(end_s, finish_s + limits.LINGER_S)
            pause_s = min(pause_s, end_s - now_s)
            if pause_s <= 0 or not self._uploads():
                return 0.0
        self._before, self._look_s = self.left_bytes, now_s + pause_s
        return pause_s

    def _uploads(self) -> bool:
        return self._before is not None and self._before - self.left_bytes >= limits.STREAM_BYTES


def linger(peer: Peer) -> None:
    """Stop sending, and read until it is over: for a socket that blocks, or seems to.

    Where a shutdown has shut our reading, there is no FIN before the client has taken all: after
    both, Linux resets a client that sends.

    Raises:
        TimeoutError: The client does not take what is left.
        OSError: The client has reset the connection.
    """
    sock = peer.sock
    with in_one_step:  # from here on a shutdown sees that it is not idle
        sends_fin = not peer.reading_is_shut
    if sends_fin:
        sock.shutdown(socket.SHUT_WR)
    lingering = Lingering(peer.timeouts.write_s)
    rest_s = limits.LINGER_POLL_S
    look_s = time.monotonic() + (rest_s if sends_fin else 0)
    while True:
        nothing_comes = lingering.left_bytes <= 0
        if not nothing_comes:
            sock.settimeout(rest_s)
            with suppress(TimeoutError):  # nothing has come until this look
                size = len(sock.recv(limits.RECV_BYTES))
                peer.tally[RECEIVED_BYTES] += size
                lingering.left_bytes -= size
                nothing_comes = not size
                if nothing_comes and not (peer.reading_is_shut and peer_sends(sock)):
                    return
        # In place of a recv() that waits; or for the other greenlets, which have no other chance.
        time.sleep(max(look_s - time.monotonic(), 0) if nothing_comes else 0)
        now_s = time.monotonic()
        if now_s >= look_s:
            untaken_bytes, was_idle = peer.untaken_bytes(), peer.reading_is_shut
            pause_s = lingering.pause_s(now_s, untaken_bytes, peer.finish_s, was_idle)
            if not pause_s:
                return
            look_s = now_s + pause_s
        rest_s = look_s - now_s
