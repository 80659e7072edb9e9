"""What still arrives after a shutdown has begun: in the models that wait by blocking.

A thread that waits in recv() must be woken, and what the client had sent by then must be answered.
shutdown(SHUT_RD) does both: recv() returns first what has arrived, and then b"" at once, for ever,
which looks like the client's FIN. Three things may still come behind it::

    client's kernel ──── network ──── our kernel ──── recv()
     │                                 │
     │                                 └ 1. has arrived: recv() returns it before b""
     └ 2. the rest of a request whose first part has arrived
     └ 3. what our full window holds back, as the client has not taken our replies yet

Without this file a request that was sent before the shutdown is lost in cases 2 and 3: the client
sees its connection closed, or reset, and cannot know whether the request was carried out. So the
server polls every DRAIN_POLL_S: in case 2 until the request's deadline, in case 3 for LINGER_S,
since a client that never pauses would stay for ever.
"""

import threading
import time
from typing import TYPE_CHECKING

from servers import limits
from servers.protocol.connection import State
from servers.sockets.kernel import peer_sends, shut_reading, unsent_bytes
from servers.waiting.deadlines import too_late

if TYPE_CHECKING:
    from servers.waiting.client import Client

one_direction_only = threading.RLock()
"""Held by a thread that shuts one direction of a socket, while it decides: where both are shut,
Linux resets a client that sends. Reentrant, since a signal handler decides, too."""


def close_if_idle(client: "Client", now_s: float) -> None:
    """Prepare a connection for the shutdown, and wake the thread that waits for an idle client."""
    client.connection.drain()
    if client.draining_since_s is None:
        client.draining_since_s = now_s
    with one_direction_only:
        if client.connection.state is State.DRAINED and (fd := client.fileno()) >= 0:
            client.reading_is_shut = True
            shut_reading(fd)


def receive_late(client: "Client") -> bytes:
    """Return what a client has sent although recv() does not wait any more; b"" if nothing comes.

    Raises:
        TimeoutError: The rest of a request has missed its deadline.
    """
    if client.connection.state is State.DRAINED:
        return _receive_held_back(client)
    data, may_come = b"", True
    while may_come and not data:
        may_come = peer_sends(client.sock)  # first: bytes that came before its FIN are read, too
        data = client.sock.recv(limits.RECV_BYTES)
        if may_come and not data:
            if too_late(client, time.monotonic()):
                raise TimeoutError
            time.sleep(limits.DRAIN_POLL_S)
    return data


def _receive_held_back(client: "Client") -> bytes:
    """Return what a full window has held back in the client's kernel, or b"".

    It comes when the client has taken what we sent: nothing else tells its kernel of room, since
    Linux announces none after SHUT_RD.
    """
    data, is_last, give_up_s = b"", False, (client.draining_since_s or 0.0) + limits.LINGER_S
    while not data and not is_last:
        may_come = peer_sends(client.sock) and time.monotonic() < give_up_s
        is_last = not may_come or not unsent_bytes(client.fileno())
        if may_come:
            time.sleep(limits.DRAIN_POLL_S)
        data = client.sock.recv(limits.RECV_BYTES)
    return data
