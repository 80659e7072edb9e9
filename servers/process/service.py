"""One serving process: listeners, ready line, model, drain."""

import mmap
import os
from collections.abc import Callable
from typing import NoReturn

from servers.app import App
from servers.counting.counters import Counters
from servers.counting.metrics import Metrics
from servers.counting.shared_table import table_bytes
from servers.counting.tables import PROTOCOLS, Place, Tables
from servers.process import log
from servers.process.arguments import FLAGS, Arguments
from servers.process.clock import date_line
from servers.process.startup import (
    announce,
    connections_max,
    end,
    listen_on,
    print_ready_line,
    starting,
    timeouts_of,
    warn_of_orphans,
)
from servers.protocol.connection import Connection, Tally
from servers.protocol.echo import EchoConnection
from servers.protocol.http11 import HTTPConnection
from servers.protocol.messages import error
from servers.protocol.request_line import asks_for_head
from servers.registry import MODELS, Serve
from servers.sockets.listeners import Listener, Socks, kind_of
from servers.waiting.shutdown import Shutdown

_NOT_IN_METRICS = {"bind", "http_port", "echo_port"}  # addresses: not limits


def run(arguments: Arguments, serve: Serve) -> NoReturn:
    """Listen, print the ready line, serve until the shutdown is drained, and exit.

    Raises:
        StartUpError: The server cannot start, print its ready line, or meet a limit.
    """
    log.begin("%(asctime)s %(levelname)s %(message)s")
    with starting() as begun:
        rows_max = connections_max(arguments)
        warn_of_orphans(arguments)
        table = None
        if MODELS[arguments.model].own_process:
            # Shared with every child; the kernel allocates pages as they are used.
            table = memoryview(mmap.mmap(-1, table_bytes(PROTOCOLS, rows_max)))
        counters = Counters(PROTOCOLS, rows_max, table, arguments.limit_concurrency)
        shutdown = Shutdown(arguments.timeout_graceful_shutdown)
        [socks] = listen_on(arguments, 1)
        metrics = Metrics(
            arguments.model, os.getpid(), 1, counters, socks, settings_in_metrics(arguments)
        )
        _serve(arguments, serve, socks, metrics, counters, shutdown, begun)
    end()


def run_worker(arguments: Arguments, serve: Serve, socks: Socks, place: Place) -> NoReturn:
    """Serve as ``run`` does, on inherited listeners; the supervisor reads the ready line.

    Raises:
        StartUpError: The worker cannot start.
    """
    log.begin("%(asctime)s %(levelname)s worker %(process)d: %(message)s")
    with starting() as begun:
        tables = Tables(place)
        counters = tables.counters(place.rows_max, arguments.limit_concurrency)
        grace_s = arguments.timeout_graceful_shutdown
        shutdown = Shutdown(
            grace_s, patience_s=min(arguments.timeout_keep_alive, grace_s / 2), supervised=True
        )
        metrics = Metrics(
            arguments.model, os.getppid(), 2, tables, socks, settings_in_metrics(arguments)
        )
        _serve(arguments, serve, socks, metrics, counters, shutdown, begun)
    end()


def _serve(
    arguments: Arguments,
    serve: Serve,
    socks: Socks,
    metrics: Metrics,
    counters: Counters,
    shutdown: Shutdown,
    begun: Callable[[], None],
) -> None:
    """Let the model serve until the shutdown is drained, and announce it when it is ready."""

    def announce_ready() -> None:
        if shutdown.supervised:
            print_ready_line(arguments.model, socks)
        else:
            announce(arguments.model, socks)
        begun()

    shutdown.on_serving = announce_ready
    shutdown.listen_to_signals()
    serve(listeners_of(arguments, socks, metrics), counters, shutdown)


def settings_in_metrics(arguments: Arguments) -> dict[str, float]:
    """Return the settings that /metrics reports, by name."""
    settings = {flag.field: getattr(arguments, flag.field) for flag in FLAGS}
    return {
        name: value
        for name, value in settings.items()
        if isinstance(value, int | float) and name not in _NOT_IN_METRICS
    }


def listeners_of(arguments: Arguments, socks: Socks, metrics: Metrics) -> list[Listener]:
    """Return the listeners for a model: sockets with all that their clients need."""
    app = App(metrics.text)

    def connect_http(tally: Tally) -> Connection:
        return HTTPConnection(
            app, date_line, tally, arguments.max_body_size, log.log_handler_failure
        )

    def connect_echo(tally: Tally) -> Connection:
        return EchoConnection()

    refusal_reply = error(503, "no room for this connection")
    head = refusal_reply.head + b"Connection: close\r\nRetry-After: 1\r\n\r\n"
    whole = head + refusal_reply.body

    def refuse_http(begun: bytes) -> bytes:
        return head if asks_for_head(begun.lstrip(b"\r\n")) else whole

    def refuse_echo(begun: bytes) -> bytes:
        return b""

    of = {"http": (connect_http, refuse_http), "echo": (connect_echo, refuse_echo)}
    wish = arguments.max_connections
    full_because = f"at --max-connections ({wish}): clients wait in the backlog" if wish else ""
    timeouts = timeouts_of(arguments)
    listeners = []
    for protocol, sock in [(name, sock) for name, each in socks.items() for sock in each]:
        connect, refusal = of[protocol]
        listeners.append(
            Listener(
                protocol=protocol,
                index=PROTOCOLS.index(protocol),
                sock=sock,
                backlog=arguments.backlog,
                kind=kind_of(sock),
                connect=connect,
                timeouts=timeouts[protocol],
                refusal=refusal,
                full_because=full_because,
            )
        )
    return listeners
