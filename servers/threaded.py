"""A thread per connection.

accept -> a thread -> it blocks in recv(), and the kernel runs another. A deadline needs no second
system call: recv() fails by itself after SO_RCVTIMEO, which a socket inherits from its listener.

Cost of an idle connection: a thread (its stack, its kernel task). All threads share one
interpreter lock: two of them never run Python at the same time, and one that computes makes
the others wait.
"""

import _thread
import socket
import threading
from collections.abc import Sequence

from servers import limits
from servers.accepting import NobodyToServe
from servers.blocking import Peer, accept_until_shutdown, serve_peer, tell, wait_for
from servers.counters import Counters
from servers.listeners import Listener
from servers.shutdown import Shutdown


def serve(listeners: Sequence[Listener], counters: Counters, shutdown: Shutdown) -> None:
    """Serve until the shutdown is requested and drained."""
    peers: set[Peer] = set()

    def run(peer: Peer) -> None:
        try:
            serve_peer(peer)
        finally:
            peers.discard(peer)
            counters.close(peer.tally)

    def start(sock: socket.socket, listener: Listener) -> None:
        peer = Peer(sock, listener, counters.open(listener.index))
        peers.add(peer)
        try:
            # Not threading.Thread: its start() waits for the thread, without end if the thread
            # dies of memory before it can say so (cpython#140746).
            _thread.start_new_thread(run, (peer,))
        except (RuntimeError, MemoryError) as error:  # what "no thread left" is raised as
            peers.discard(peer)
            counters.close(peer.tally)
            raise NobodyToServe(f"no thread left at {len(peers)} connections: sent away") from error

    threading.stack_size(limits.THREAD_STACK_BYTES)
    accept_until_shutdown(listeners, counters, shutdown, start, lambda: tell(peers))
    wait_for(peers, shutdown)
