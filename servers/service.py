"""One run of one model: descriptors, listeners, ready line, serving, drain."""

import logging
import os
import resource
import sys
from pathlib import Path
from typing import NoReturn

from servers import limits
from servers.app import App, error
from servers.arguments import Arguments
from servers.clock import date_line
from servers.connection import Connection, Tally
from servers.counters import Counters
from servers.deadlines import Timeouts
from servers.echo import EchoConnection
from servers.http11 import HTTPConnection
from servers.listeners import Listener, address_of, kind_of, listen, read_back
from servers.metrics import Metrics
from servers.registry import MODELS, Model, Serve
from servers.shutdown import Shutdown

_REPORTED = (
    "backlog",
    "max_connections",
    "limit_concurrency",
    "max_body_size",
    "timeout_header",
    "timeout_body",
    "timeout_write",
    "timeout_keep_alive",
    "timeout_echo_idle",
    "timeout_graceful_shutdown",
)

_log = logging.getLogger("servers")


class StartUpError(Exception):
    """Why the server cannot start, and what to do about it, in one line."""


def run(arguments: Arguments, serve: Serve) -> NoReturn:
    """Listen, say so on standard output, serve until the shutdown is drained, and exit.

    Raises:
        StartUpError: An address cannot be listened on, nobody be told, or a wish not be met.
    """
    logging.basicConfig(format="%(asctime)s %(levelname)s %(message)s")
    model = MODELS[arguments.model]
    counters = Counters(
        ("http", "echo"),
        _connections_max(model, arguments.max_connections),
        shared=not model.in_process,
        crowd=arguments.limit_concurrency,
    )
    shutdown = Shutdown(arguments.timeout_graceful_shutdown)
    listeners = _listen(arguments, counters)
    shutdown.on_signals()
    addresses = {listener.protocol: address_of(listener.sock) for listener in listeners}
    _say_ready(
        f"listening model={arguments.model} http={addresses.get('http', 'off')}"
        f" echo={addresses.get('echo', 'off')} pid={os.getpid()}\n"
    )
    serve(listeners, counters, shutdown)
    if sys.stderr is not None:  # closed by whoever started us
        sys.stderr.flush()
    os._exit(0)  # threads that were cut off have nothing left to clean up


def _say_ready(line: str) -> None:
    try:
        os.write(1, line.encode("ascii"))
    except OSError as failure:  # a pipe nobody reads, a full disk, or none at all
        raise StartUpError(
            f"cannot write the ready line: {failure.strerror}; run with a standard output that"
            " takes it, such as > /dev/null"
        ) from failure


def _connections_max(model: Model, wish: int | None) -> int:
    """Return how many connections there may be: as many as the machine allows, or as asked for."""
    possible = _connections_possible(model, quiet=wish is not None)
    if wish is None:
        return possible
    if wish > possible:
        way_out = f"ulimit -n {wish + limits.DESCRIPTORS_RESERVED}"
        if not model.in_process:
            way_out = f"sysctl kernel.pid_max={2 * wish}"
        raise StartUpError(
            f"expected --max-connections up to {possible}, which this machine allows, got {wish};"
            f" run: {way_out}"
        )
    return wish


def _connections_possible(model: Model, quiet: bool) -> int:
    """Return how many connections the machine allows, its descriptor limit raised first."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft < hard:
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    if not model.in_process:
        return int(Path("/proc/sys/kernel/pid_max").read_text("ascii"))
    connections = max(hard - limits.DESCRIPTORS_RESERVED, 1)
    if connections < limits.DESCRIPTORS_WARN and not quiet:
        _log.warning(
            "%d descriptors leave room for %d connections; run: ulimit -n 65536", hard, connections
        )
    return connections


def _listen(arguments: Arguments, counters: Counters) -> list[Listener]:
    """Return the listeners, listening."""
    ports = {"http": arguments.http_port, "echo": arguments.echo_port}
    requests_s = arguments.timeout_header, arguments.timeout_body, arguments.timeout_write
    timeouts = {
        "http": Timeouts(arguments.timeout_keep_alive, *requests_s),
        "echo": Timeouts(arguments.timeout_echo_idle, *requests_s),
    }
    socks = {}
    for protocol, port in ports.items():
        if port is None:
            continue
        try:
            socks[protocol] = listen(arguments.bind, port, arguments.backlog, timeouts[protocol])
        except OSError as failure:
            raise StartUpError(
                f"cannot listen on {arguments.bind} port {port}: {failure.strerror};"
                f" run with another --bind or --{protocol}-port (0 picks a free one)"
            ) from failure
        if (backlog := read_back(socks[protocol])["backlog"]) < arguments.backlog:
            _log.warning(
                "the kernel caps the backlog at %d, expected %d; run: sysctl net.core.somaxconn=%d",
                backlog, arguments.backlog, arguments.backlog,
            )  # fmt: skip

    options = {name: getattr(arguments, name) for name in _REPORTED}
    options = {name: value for name, value in options.items() if value is not None}
    app = App(Metrics(arguments.model, os.getpid(), counters, socks, options).text)

    def connect_http(tally: Tally) -> Connection:
        return HTTPConnection(app, date_line, tally, arguments.max_body_size)

    def connect_echo(tally: Tally) -> Connection:
        return EchoConnection()

    too_busy = error(503, "no room for this connection")
    wish = arguments.max_connections
    full_because = wish and f"{wish} connections, as --max-connections asks: clients wait"
    of = {
        "http": (
            connect_http,
            timeouts["http"],
            too_busy.head + b"Connection: close\r\nRetry-After: 1\r\n\r\n" + too_busy.body,
        ),
        "echo": (connect_echo, timeouts["echo"], b""),
    }
    return [
        Listener(
            protocol,
            counters.protocols.index(protocol),
            sock,
            kind_of(sock),
            *of[protocol],
            full_because or "",
        )
        for protocol, sock in socks.items()
    ]
