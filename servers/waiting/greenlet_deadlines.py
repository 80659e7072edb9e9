"""Deadlines for greenlets, which the kernel knows nothing of."""

import logging
import time
from collections.abc import Callable, Mapping, Sequence

import gevent

from servers import limits
from servers.sockets.listeners import Listener
from servers.waiting.blocking import Peer
from servers.waiting.deadlines import overdue, slices, sweep_interval_s

_log = logging.getLogger("servers")


def end_overdue(
    greenlets: Mapping[Peer, gevent.Greenlet],
    listeners: Sequence[Listener],
    forget: Callable[[Peer], None],
) -> None:
    """End, for ever, those who are silent or take nothing for too long.

    SO_RCVTIMEO does nothing here, since no recv() really blocks; and a gevent timer per read would
    cost each request what this costs once a second.

    Args:
        greenlets: Who is served -> by whom.
        forget: Leaves out somebody whose greenlet could not begin.
    """

    def interrupt(peer: Peer) -> None:
        # In the hub, so nobody else runs: who is still overdue is inside recv() or send().
        if peer in greenlets and overdue([peer], time.monotonic()):
            greenlets[peer].throw(TimeoutError())

    def look_at(part: list[Peer]) -> None:
        unborn = [peer for peer in part if greenlets[peer].dead]
        if unborn:
            _log.warning("no memory for %d greenlets: their clients are sent away", len(unborn))
        for peer in unborn:
            peer.sock.close()
            forget(peer)
        for peer in overdue([peer for peer in part if peer in greenlets], time.monotonic()):
            hub.loop.run_callback(interrupt, peer)

    hub = gevent.get_hub()
    hub.NOT_ERROR += (MemoryError,)  # else it writes two lines for each who cannot begin
    interval_s = sweep_interval_s([listener.timeouts for listener in listeners])
    while True:
        due_s = time.monotonic() + interval_s
        time.sleep(interval_s)
        if time.monotonic() - due_s > interval_s:  # first what has arrived meanwhile is read
            time.sleep(limits.LATE_SWEEP_DELAY_S)
        for part in slices(greenlets):
            try:
                look_at(part)
            except MemoryError:  # the next time, then
                _log.exception("no memory to look at deadlines")
            del part  # else those who leave would be held here until others come
            time.sleep(0)  # for the others
