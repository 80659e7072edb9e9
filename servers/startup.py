"""What a server needs before it can serve: descriptors, listening sockets, somebody to tell."""

import logging
import os
import resource
import socket
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import NoReturn

from servers import limits
from servers.arguments import Arguments
from servers.deadlines import Timeouts
from servers.listeners import address_of, listen, read_back
from servers.registry import MODELS, Model

_log = logging.getLogger("servers")


class StartUpError(Exception):
    """Why the server cannot start, and what to do about it, in one line."""


def connections_max(arguments: Arguments) -> int:
    """Return how many connections a process may have: as many as it can, or as asked for.

    Raises:
        StartUpError: More were asked for than the machine allows.
    """
    model, wish = MODELS[arguments.model], arguments.max_connections
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
    if hard <= limits.DESCRIPTORS_RESERVED:
        raise StartUpError(
            f"expected more than {limits.DESCRIPTORS_RESERVED} descriptors, got {hard};"
            " run: ulimit -n 65536"
        )
    if not model.in_process:
        return int(Path("/proc/sys/kernel/pid_max").read_text("ascii"))
    connections = hard - limits.DESCRIPTORS_RESERVED
    if connections < limits.DESCRIPTORS_WARN and not quiet:
        _log.warning(
            "%d descriptors leave room for %d connections; run: ulimit -n 65536", hard, connections
        )
    return connections


def listen_on(arguments: Arguments, count: int) -> list[dict[str, socket.socket]]:
    """Return, for each of so many processes, its listening sockets by protocol.

    Raises:
        StartUpError: An address cannot be listened on.
    """
    ports = {"http": arguments.http_port, "echo": arguments.echo_port}
    timeouts = timeouts_of(arguments)
    everybodys: list[dict[str, socket.socket]] = [{} for _ in range(count)]
    for protocol, port in ports.items():
        if port is None:
            continue
        try:
            socks = listen(arguments.bind, port, arguments.backlog, timeouts[protocol], count)
        except OSError as failure:
            raise StartUpError(
                f"cannot listen on {arguments.bind} port {port}: {failure.strerror};"
                f" run with another --bind or --{protocol}-port (0 picks a free one)"
            ) from failure
        for mine, sock in zip(everybodys, socks, strict=True):
            mine[protocol] = sock
        if (backlog := read_back(socks[0])["backlog"]) < arguments.backlog:
            _log.warning(
                "the kernel caps the backlog at %d, expected %d; run: sysctl net.core.somaxconn=%d",
                backlog, arguments.backlog, arguments.backlog,
            )  # fmt: skip
    return everybodys


def timeouts_of(arguments: Arguments) -> dict[str, Timeouts]:
    """Return each protocol's time-outs."""
    requests_s = arguments.timeout_header, arguments.timeout_body, arguments.timeout_write
    return {
        "http": Timeouts(arguments.timeout_keep_alive, *requests_s),
        "echo": Timeouts(arguments.timeout_echo_idle, *requests_s),
    }


def end() -> NoReturn:
    """Exit with 0, and look after nothing: threads that were cut off need no clean-up."""
    if sys.stderr is not None:  # closed by whoever started us
        sys.stderr.flush()
    os._exit(0)


def say_ready(model: str, socks: Mapping[str, socket.socket]) -> None:
    """Print the line that says where the listeners are.

    Raises:
        StartUpError: Nobody can be told.
    """
    addresses = {protocol: address_of(sock) for protocol, sock in socks.items()}
    line = (
        f"listening model={model} http={addresses.get('http', 'off')}"
        f" echo={addresses.get('echo', 'off')} pid={os.getpid()}\n"
    )
    try:
        os.write(1, line.encode("ascii"))
    except OSError as failure:  # a pipe nobody reads, a full disk, or none at all
        raise StartUpError(
            f"cannot write the ready line: {failure.strerror}; run with a standard output that"
            " takes it, such as > /dev/null"
        ) from failure
