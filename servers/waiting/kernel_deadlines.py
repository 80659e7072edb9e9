"""Deadlines that the kernel keeps: recv() fails by itself when SO_RCVTIMEO has passed.

A socket inherits from its listener the time that an idle client has, so an idle connection needs no
call of its own. A request of which a part has arrived needs one before each further recv(), since
each recv() would wait for the whole time anew, and a client that sends a byte a second could hold a
process or a thread for ever. For greenlets SO_RCVTIMEO does nothing, and these calls do no harm.
"""

import time
from typing import TYPE_CHECKING

from servers.protocol.connection import BETWEEN_REQUESTS, State
from servers.sockets.kernel import set_receive_timeout
from servers.waiting.deadlines import left_s, look, silent_too_long, sweep_interval_s, too_late
from servers.waiting.draining import close_if_idle

if TYPE_CHECKING:
    from servers.waiting.client import Client

_AT_LEAST_S = 0.001  # 0 would be no limit


def limit_read(client: "Client") -> bool:
    """Let the next recv() wait no longer than the client's deadline allows.

    Returns:
        Whether that is a limit of its own, and not the one that was there from the start.

    Raises:
        TimeoutError: The deadline has passed.
    """
    if client.connection.state is State.DRAINED and client.draining_since_s is not None:
        close_if_idle(client, client.draining_since_s)  # this recv() is the last look
    now_s = time.monotonic()
    if client.connection.state not in BETWEEN_REQUESTS:
        if too_late(client, now_s):
            raise TimeoutError
        set_receive_timeout(client.sock, max(left_s(client, now_s), _AT_LEAST_S))
        return True
    watch, left = look(client, now_s), client.timeouts.idle_s
    if watch.unacked_bytes:
        left = sweep_interval_s([client.timeouts])
    elif watch.unacked_bytes is not None:
        left = max(watch.since_s + left - now_s, _AT_LEAST_S)
    set_receive_timeout(client.sock, left)
    return watch.unacked_bytes is not None


def is_still_served(client: "Client") -> bool:
    """Return whether a client is not idle although it has sent nothing for ``idle_s``."""
    if client.connection.state not in BETWEEN_REQUESTS:
        return False
    now_s = time.monotonic()
    watch = look(client, now_s)
    if watch.unacked_bytes is None:  # the first check since it sent something
        watch.since_s = now_s - client.timeouts.idle_s  # so long has recv() waited
    return not silent_too_long(client, watch, now_s)
