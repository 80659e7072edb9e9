"""A greenlet per connection, in a process that gevent has monkey-patched.

accept -> a greenlet -> it seems to block in recv(): gevent's hub switches to another one.

Cost of an idle connection: a greenlet (a slice of C stack, copied aside). Nothing runs beside
anything else: a greenlet that computes stops all the others.
"""

from gevent import monkey

monkey.patch_all()  # before anything else is imported: what waits from here on waits in the hub

import socket
import time
from collections.abc import Sequence

import gevent

from servers import limits
from servers.blocking import Peer, accept_until_shutdown, serve_peer, tell, wait_for
from servers.counters import Counters
from servers.deadlines import overdue, slices, sweep_interval_s
from servers.listeners import Listener
from servers.shutdown import Shutdown


def serve(listeners: Sequence[Listener], counters: Counters, shutdown: Shutdown) -> None:
    """Serve until the shutdown is requested and drained."""
    greenlets: dict[Peer, gevent.Greenlet] = {}
    peers: set[Peer] = set()

    def run(peer: Peer) -> None:
        try:
            serve_peer(peer)
        finally:
            peers.discard(peer)
            del greenlets[peer]
            counters.close(peer.tally)

    def start(sock: socket.socket, listener: Listener) -> None:
        peer = Peer(sock, listener, counters.open(listener.index))
        peers.add(peer)
        greenlets[peer] = gevent.spawn_raw(run, peer)

    def end_overdue() -> None:
        # SO_RCVTIMEO does nothing here, since no recv() really blocks; and a gevent timer per
        # read would cost each request what this costs once a second.
        interval_s = sweep_interval_s([listener.timeouts for listener in listeners])
        while True:
            due_s = time.monotonic() + interval_s
            time.sleep(interval_s)
            if time.monotonic() - due_s > interval_s:  # first what has arrived meanwhile is read
                time.sleep(limits.LOOK_S)
            for part in slices(peers):
                interrupt_overdue(part)
                del part  # else those who leave would be held here until others come
                time.sleep(0)  # for the others

    def interrupt_overdue(part: list[Peer]) -> None:
        for peer in overdue(part, time.monotonic()):
            gevent.get_hub().loop.run_callback(interrupt, peer)

    def interrupt(peer: Peer) -> None:
        # In the hub, so nobody else runs: who is still overdue is inside recv() or send().
        if peer in peers and overdue([peer], time.monotonic()):
            greenlets[peer].throw(TimeoutError())

    gevent.spawn_raw(end_overdue)
    accept_until_shutdown(listeners, counters, shutdown, start, lambda: tell(peers))
    wait_for(peers, shutdown)
