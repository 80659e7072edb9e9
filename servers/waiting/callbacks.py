"""Serves clients by callbacks, on whichever event loop a model brings."""

import asyncio
import logging
from collections.abc import Callable, Sequence
from functools import partial

from servers.counting.counters import Counters
from servers.sockets.listeners import Listener
from servers.waiting.client_protocol import ClientProtocol
from servers.waiting.clients import Clients
from servers.waiting.loop_server import LoopServer
from servers.waiting.loops import run
from servers.waiting.shutdown import Shutdown

_log = logging.getLogger("servers")


def serve_on(
    new_loop: Callable[[], asyncio.AbstractEventLoop],
    listeners: Sequence[Listener],
    counters: Counters,
    shutdown: Shutdown,
) -> None:
    """Serve on a new event loop until a shutdown is requested and drained."""
    run(new_loop, _serve(listeners, counters, shutdown))


async def _serve(listeners: Sequence[Listener], counters: Counters, shutdown: Shutdown) -> None:
    loop = asyncio.get_running_loop()
    starting: dict[ClientProtocol, asyncio.Task[None] | None] = {}  # the loop keeps no task

    def start(client: ClientProtocol) -> None:
        try:
            starting[client] = None  # takes the room that the next assignment needs
            starting[client] = loop.create_task(connect(client))
        except MemoryError:
            starting.pop(client, None)
            raise

    async def connect(client: ClientProtocol) -> None:
        """Have the loop make a transport for the client, which takes it a few turns."""
        try:
            if client in starting:  # create_task() may fail, and the task run all the same
                await loop.connect_accepted_socket(lambda: client, client.sock)
        except OSError as error:  # gone already
            client.sock.close()
            client.connection_lost(error)
        except MemoryError as error:  # here: CPython 3.11 aborts when 16 tasks end with one
            client.connection_lost(None)
            server.cannot_start(client, client.sock, client.listener, error)
        except Exception:  # a bug of the loop: without this, a shutdown would wait for the client
            client.sock.close()
            client.connection_lost(None)
            _log.exception("connection failed")
        finally:
            starting.pop(client, None)

    make = partial(ClientProtocol, loop)
    clients: Clients[ClientProtocol] = Clients(make, counters, "callback")
    clients.starting = starting
    server = LoopServer(listeners, counters, shutdown, clients, start)
    await server.serve()
