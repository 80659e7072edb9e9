"""A greenlet per connection, in a process that gevent has monkey-patched.

accept -> a greenlet -> it seems to block in recv(): gevent's hub switches to another one.

Cost of an idle connection: a greenlet (a slice of C stack, copied aside). Nothing runs beside
anything else: a greenlet that computes stops all the others.
"""

from gevent import monkey

monkey.patch_all()  # before anything else is imported: what waits from here on waits in the hub

import socket
from collections.abc import Sequence

import gevent

from servers.counting.counters import Counters
from servers.protocol.connection import Tally
from servers.sockets.listeners import Listener
from servers.waiting.blocking import Peer, accept_until_shutdown, serve_peer, tell, wait_for
from servers.waiting.greenlet_deadlines import end_overdue
from servers.waiting.shutdown import Shutdown


def serve(listeners: Sequence[Listener], counters: Counters, shutdown: Shutdown) -> None:
    """Serve until the shutdown is requested and drained."""
    greenlets: dict[Peer, gevent.Greenlet] = {}

    def run(peer: Peer) -> None:
        try:
            serve_peer(peer)
        finally:
            forget(peer)

    def forget(peer: Peer) -> None:
        del greenlets[peer]
        counters.close(peer.tally)

    def start(sock: socket.socket, listener: Listener, tally: Tally) -> None:
        peer = Peer(sock, listener, tally)
        greenlets[peer] = gevent.spawn_raw(run, peer)

    gevent.spawn_raw(end_overdue, greenlets, listeners, forget)
    accept_until_shutdown(listeners, counters, shutdown, start, lambda: tell(greenlets))
    wait_for(greenlets, shutdown)
