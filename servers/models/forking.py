"""A process per connection.

accept -> fork -> the child blocks in recv(), and the kernel runs another; the parent goes back
to accept() and buries the children that have finished. A deadline needs no second system call:
recv() fails by itself after SO_RCVTIMEO, which a socket inherits from its listener.

Cost of an idle connection: a process (about 0.9 MB of its own). Nothing is shared: a child that
computes holds no lock of the others, and one that dies takes only its own client with it.
"""

import os

# Before anything else is imported. What threading, logging and random register here makes locks
# anew in each child, for threads that the parent never has; it would copy 0.35 MB a child.
os.register_at_fork = lambda **hooks: None

import signal  # noqa: E402
import socket  # noqa: E402
from collections.abc import Sequence  # noqa: E402

from servers.counting.counters import Counters  # noqa: E402
from servers.protocol.connection import Tally  # noqa: E402
from servers.sockets.kernel import die_with_parent  # noqa: E402
from servers.sockets.listeners import Listener  # noqa: E402
from servers.waiting.accepting import NobodyToServe  # noqa: E402
from servers.waiting.blocking import Peer, accept_until_shutdown, close_if_idle, serve_peer  # noqa: E402
from servers.waiting.children import Children, exit_after, rehearse  # noqa: E402
from servers.waiting.shutdown import Shutdown  # noqa: E402


def serve(listeners: Sequence[Listener], counters: Counters, shutdown: Shutdown) -> None:
    """Serve until the shutdown is requested and drained."""
    children = Children(counters)
    parent = os.getpid()

    def start(sock: socket.socket, listener: Listener, tally: Tally) -> None:
        try:
            pid = os.fork()
        except OSError as error:  # RLIMIT_NPROC, pid_max, the cgroup's pids.max, or memory
            raise NobodyToServe(
                f"no process left at {len(children)} connections: sent away"
            ) from error
        if pid == 0:
            exit_after(run, sock, listener, tally)
        children.add(pid, tally)
        sock.close()

    def run(peer: Peer) -> None:
        die_with_parent()
        if os.getppid() != parent:  # it died before it could take us along
            return
        for listener in listeners:
            listener.sock.close()
        shutdown.in_child(peer.connection.drain, lambda: close_if_idle(peer))
        serve_peer(peer)

    rehearse(listeners)
    children.share_memory()
    shutdown.wake_on(signal.SIGCHLD)
    accept_until_shutdown(listeners, counters, shutdown, start, children.tell, children.bury)
    children.wait_for(shutdown)
