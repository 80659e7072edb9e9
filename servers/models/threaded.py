"""A thread per connection.

accept -> a thread -> it blocks in recv(), and the kernel runs another. A deadline needs no second
system call: recv() fails by itself after SO_RCVTIMEO, which a socket inherits from its listener.

Cost of an idle connection: a thread (its stack, its kernel task). All threads share one
interpreter lock: two of them never run Python at the same time, and one that computes makes
the others wait.
"""

import _thread
import logging
import socket
import sys
import threading
from collections import deque
from collections.abc import Sequence
from functools import partial

from servers import limits
from servers.counting.counters import Counters
from servers.protocol.connection import Tally
from servers.sockets.listeners import Listener
from servers.waiting.accepting import NobodyToServe
from servers.waiting.blocking import Peer, accept_until_shutdown, serve_peer, tell, wait_for
from servers.waiting.shutdown import Shutdown


def serve(listeners: Sequence[Listener], counters: Counters, shutdown: Shutdown) -> None:
    """Serve until the shutdown is requested and drained."""
    peers: set[Peer] = set()
    unborn: deque[sys.UnraisableHookArgs] = deque(range(1000))  # type: ignore[arg-type]
    unborn.clear()  # its memory is kept

    def run(peer: Peer) -> None:
        try:
            serve_peer(peer)
        finally:
            forget(peer)

    def forget(peer: Peer) -> None:
        counters.close(peer.tally)
        peers.discard(peer)

    def start(sock: socket.socket, listener: Listener, tally: Tally) -> None:
        bury()
        peer = Peer(sock, listener, tally)
        peers.add(peer)
        try:
            # Not threading.Thread: its start() waits for the thread, without end if the thread
            # dies of memory before it can say so (cpython#140746).
            _thread.start_new_thread(partial(run, peer), ())
        except (RuntimeError, MemoryError) as error:  # what "no thread left" is raised as
            peers.discard(peer)
            raise NobodyToServe(f"no thread left at {len(peers)} connections: sent away") from error

    def bury() -> None:
        while unborn:
            failed = unborn[0].object
            if isinstance(failed, partial) and (peer := failed.args[0]) in peers:
                peer.sock.close()
                forget(peer)
            logging.getLogger("servers").error("thread failed", exc_info=unborn.popleft().exc_value)

    # A thread that finds no memory for its first frame can run no Python to say so: this is C.
    sys.unraisablehook = unborn.append
    threading.stack_size(limits.THREAD_STACK_BYTES)
    accept_until_shutdown(listeners, counters, shutdown, start, lambda: tell(peers))
    bury()
    wait_for(peers, shutdown)
