"""What a server needs before it can serve: descriptors, listening sockets, somebody to tell."""

import logging
import os
import resource
import socket
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import NoReturn

from servers import limits
from servers.process.arguments import Arguments
from servers.registry import MODELS, Model
from servers.sockets.binding import Address, ListenError, listen, resolve
from servers.sockets.kernel import can_die_with_parent
from servers.sockets.listeners import Socks, Timeouts, address_of, read_back

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
        if model.own_process:
            way_out = f"sysctl kernel.pid_max={2 * wish}"
        raise StartUpError(
            f"expected --max-connections up to {possible}, which this machine allows, got {wish};"
            f" run: {way_out}"
        )
    return wish


def _connections_possible(model: Model, quiet: bool) -> int:
    """Return how many connections the machine allows, its descriptor limit raised first."""
    descriptors = raise_descriptors()
    if descriptors <= limits.DESCRIPTORS_RESERVED:
        raise StartUpError(
            f"expected more than {limits.DESCRIPTORS_RESERVED} descriptors, got {descriptors};"
            " run: ulimit -n 65536"
        )
    if model.own_process:
        return _processes_possible()
    connections = descriptors - limits.DESCRIPTORS_RESERVED
    if connections < limits.DESCRIPTORS_WARN and not quiet:
        _log.warning(
            "%d descriptors leave room for %d connections; run: ulimit -n 65536",
            descriptors, connections,
        )  # fmt: skip
    return connections


def raise_descriptors() -> int:
    """Return how many descriptors a process may have, its soft limit raised to the hard one."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != hard:
        # ValueError: the hard limit is beyond sysctl fs.nr_open, or somebody forbids to raise it.
        with suppress(ValueError, OSError):
            resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
            soft = hard
    return limits.DESCRIPTORS_IF_UNLIMITED if soft == resource.RLIM_INFINITY else soft


def _processes_possible() -> int:
    """Return how many processes there can be; the largest number there is where that is hidden."""
    try:
        return int(Path("/proc/sys/kernel/pid_max").read_text("ascii"))
    except (OSError, ValueError):  # no /proc, or one that shows processes only
        return limits.PROCESSES_IF_HIDDEN


@contextmanager
def starting() -> Iterator[Callable[[], None]]:
    """Turn all that fails in a block into a StartUpError, until what it yields is called.

    That is to be called when the server has said that it is ready: what fails from then on is not
    the start, and is raised as it is. An event loop that was half made complains as it is freed:
    asyncio's through sys.unraisablehook, uvloop in asyncio's log. The one line has said it.
    """
    begun = False
    aside = logging.getLogger("asyncio")
    aside.disabled = True

    def begin() -> None:
        nonlocal begun
        begun, aside.disabled = True, False

    try:
        yield begin
    except Exception as failure:  # a descriptor, memory, a package: one line says which
        if begun or isinstance(failure, StartUpError):
            raise
        sys.unraisablehook = lambda _: None
        reason: BaseException | None = failure
        while reason is not None and not isinstance(reason, OSError):
            reason = reason.__context__  # what a lack entails says less than the lack
        reason = reason or failure
        what = str(reason) or "no memory left"
        raise StartUpError(f"cannot start: {type(reason).__name__}: {what}") from failure


def warn_of_orphans(arguments: Arguments) -> None:
    """Say it if children would outlive a server that is killed; all others take them along."""
    children = arguments.workers > 1 or MODELS[arguments.model].own_process
    if children and not can_die_with_parent():
        _log.warning(
            "the kernel refuses prctl(PR_SET_PDEATHSIG): after a SIGKILL of process %d its children"
            " go on; stop it with SIGTERM",
            os.getpid(),
        )


def listen_on(arguments: Arguments, count: int) -> list[Socks]:
    """Return, for each of so many processes, its listening sockets by protocol.

    Raises:
        StartUpError: An address cannot be listened on, or there are not descriptors enough.
    """
    ports = {"http": arguments.http_port, "echo": arguments.echo_port}
    wanted = {protocol: port for protocol, port in ports.items() if port is not None}
    timeouts = timeouts_of(arguments)
    everybodys: list[dict[str, list[socket.socket]]] = [{} for _ in range(count)]
    addresses: list[Address] = []
    for protocol, port in wanted.items():
        try:
            addresses = addresses or resolve(arguments.bind)
            if count > 1:
                _check_descriptors(count, len(addresses) * len(wanted))
            socks = listen(addresses, port, arguments.backlog, timeouts[protocol], count)
        except ListenError as failure:
            way_out = f"with another --bind or --{protocol}-port (0 picks a free one)"
            raise StartUpError(
                f"cannot listen on {arguments.bind} port {port}: {failure.why};"
                f" run {failure.way_out or way_out}"
            ) from failure
        for mine, listening in zip(everybodys, socks, strict=True):
            mine[protocol] = listening
        backlog = read_back(socks[0][0]).get("backlog", arguments.backlog)
        if backlog < arguments.backlog:
            _log.warning(
                "the kernel caps the backlog at %d, expected %d; run: sysctl net.core.somaxconn=%d",
                backlog, arguments.backlog, arguments.backlog,
            )  # fmt: skip
    return [*everybodys]


def _check_descriptors(workers: int, listeners: int) -> None:
    """Raise StartUpError if there are not enough to look after so many workers."""
    each = listeners + 1  # and the pipe that says ready
    possible = max((raise_descriptors() - limits.DESCRIPTORS_RESERVED) // each, 1)
    if workers > possible:
        raise StartUpError(
            f"expected --workers up to {possible}, which this machine allows, got {workers};"
            f" run: ulimit -n {workers * each + limits.DESCRIPTORS_RESERVED}"
        )


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


def say_ready(model: str, socks: Socks) -> None:
    """Print the line that says where the listeners are: the first of each protocol.

    Raises:
        StartUpError: Nobody can be told.
    """
    first = {protocol: address_of(listening[0]) for protocol, listening in socks.items()}
    line = (
        f"listening model={model} http={first.get('http', 'off')}"
        f" echo={first.get('echo', 'off')} pid={os.getpid()}\n"
    )
    try:
        os.write(1, line.encode("ascii"))
    except OSError as failure:  # a pipe nobody reads, a full disk, or none at all
        raise StartUpError(
            f"cannot write the ready line: {failure.strerror}; run with a standard output that"
            " takes it, such as > /dev/null"
        ) from failure


def announce(model: str, socks: Socks) -> None:
    """Print the ready line, and on standard error a line for each further address.

    Raises:
        StartUpError: Nobody can be told.
    """
    say_ready(model, socks)
    for protocol, (_, *others) in socks.items():
        for sock in others:
            with suppress(OSError, AttributeError):  # full, or closed: it serves all the same
                sys.stderr.write(f"listening also {protocol}={address_of(sock)}\n")
                sys.stderr.flush()
