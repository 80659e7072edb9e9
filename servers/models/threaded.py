"""A thread per connection.

accept -> a thread -> it blocks in recv(), and the kernel runs another. A deadline needs
no second system call: recv() fails by itself after SO_RCVTIMEO, which a socket inherits
from its listener.

An idle connection costs a thread (its stack, its kernel task). All threads share one
interpreter lock: two of them never run Python at the same time, and one that computes
makes the others wait.
"""

import threading

from servers import limits
from servers.counting.counters import Counters
from servers.sockets.listeners import Listeners
from servers.waiting.blocking import serve_client, serve_until_shutdown
from servers.waiting.client import Client
from servers.waiting.clients import Clients
from servers.waiting.shutdown import Shutdown
from servers.waiting.threads import close_failed_threads, start_thread


def serve(listeners: Listeners, counters: Counters, shutdown: Shutdown) -> None:
    """Serve until a shutdown is requested and drained."""
    clients = Clients(Client, counters, "thread", close_failed_threads)

    def start(client: Client) -> None:
        start_thread(serve_client, client)  # RuntimeError: no thread left

    threading.stack_size(limits.THREAD_STACK_BYTES)
    serve_until_shutdown(listeners, counters, shutdown, clients, start)
