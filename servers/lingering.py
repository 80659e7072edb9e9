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
"""

import socket
import time

from servers import limits
from servers.counters import RECEIVED_BYTES
from servers.deadlines import stalls
from servers.kernel import peer_sends
from servers.peer import Peer


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

    def is_over(self, now_s: float, untaken_bytes: int) -> bool:
        """Say whether to close now.

        Args:
            now_s: On the monotonic clock.
            untaken_bytes: Of ours, our FIN included; 0 where the kernel does not tell.

        Raises:
            TimeoutError: The client does not take what is left.
        """
        if untaken_bytes:
            if self._before is None or now_s >= self._look_s:
                if self._before is not None and stalls(self._before, untaken_bytes):
                    raise TimeoutError
                self._before, self._look_s = untaken_bytes, now_s + self._write_s
            return False
        if self._end_s is None:
            self._end_s = now_s + limits.LINGER_UPLOAD_S
        elif now_s < self._look_s:
            return False
        elif now_s >= self._end_s or not self._uploads():
            return True
        self._before, self._look_s = self.left_bytes, now_s + limits.LINGER_S
        return False

    def _uploads(self) -> bool:
        return self._before is not None and self._before - self.left_bytes >= limits.STREAM_BYTES


def linger(peer: Peer) -> None:
    """Stop sending, and read until it is over: for a socket that blocks, or seems to.

    Where a shutdown has shut our reading, there is no FIN before the client has taken all: after
    both, Linux resets a client that sends. And as with all that are idle then, it is over at once.

    Raises:
        TimeoutError: The client does not take what is left.
        OSError: The client has reset the connection.
    """
    sock = peer.sock
    if not peer.reading_is_shut:
        sock.shutdown(socket.SHUT_WR)
    sock.settimeout(limits.LINGER_LOOK_S)
    lingering = Lingering(peer.timeouts.write_s)
    over = False
    while not over:
        pause_s = 0.0  # for the other greenlets, which have no other chance
        try:
            if lingering.left_bytes > 0:
                size = len(sock.recv(limits.RECV_BYTES))
                peer.tally[RECEIVED_BYTES] += size
                lingering.left_bytes -= size
                if not size:
                    if not (peer.reading_is_shut and peer_sends(sock)):
                        return
                    pause_s = limits.LINGER_LOOK_S
            else:
                pause_s = limits.LINGER_LOOK_S
        except TimeoutError:  # nothing has come since the last look
            pause_s = 0.0
        untaken_bytes = peer.untaken_bytes()
        over = lingering.is_over(time.monotonic(), untaken_bytes)
        if peer.reading_is_shut and not untaken_bytes:
            return
        time.sleep(pause_s)
