"""A process per connection.

accept -> fork -> the child blocks in recv(), and the kernel runs another; the parent
goes back to accept(), and reaps children that have finished. A deadline needs no second
system call: recv() fails by itself after SO_RCVTIMEO, which a socket inherits from its
listener.

An idle connection costs a process. Nothing is shared: a child that computes holds no
lock of the others, and one that dies ends only its own client.
"""

from servers.waiting.quiet_fork import fork  # first: what follows would hook it

# isort: split

from servers.counting.counters import Counters
from servers.sockets.listeners import Listeners
from servers.waiting.blocking import serve_until_shutdown
from servers.waiting.children import Accepted, Children
from servers.waiting.shutdown import Shutdown


def serve(listeners: Listeners, counters: Counters, shutdown: Shutdown) -> None:
    """Serve until a shutdown is requested and drained."""
    children = Children(listeners, counters, shutdown)

    def start(accepted: Accepted) -> None:
        pid = fork()  # OSError: no process left
        if pid == 0:
            children.become(accepted)  # serve_client(), then exit
        children.started(pid, accepted)

    children.prepare()
    serve_until_shutdown(listeners, counters, shutdown, children, start)
