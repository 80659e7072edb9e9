"""What a server needs before it serves: descriptors, listeners, and a ready line that is read."""

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
    """Return how many connections a process may have: --max-connections, or all that it can.

    Raises:
        StartUpError: --max-connections is more than the machine allows.
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
        # ValueError: the hard limit is beyond sysctl fs.nr_open. OSError: a sandbox forbids it.
        with suppress(ValueError, OSError):
            resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
            soft = hard
    return limits.DESCRIPTORS_IF_UNLIMITED if soft == resource.RLIM_INFINITY else soft


def _processes_possible() -> int:
    """Return how many processes there can be; Linux's own maximum where /proc is hidden."""
    try:
        return int(Path("/proc/sys/kernel/pid_max").read_text("ascii"))
    except (OSError, ValueError):  # no /proc, or one without /proc/sys
        return limits.PROCESSES_IF_HIDDEN


@contextmanager
def starting() -> Iterator[Callable[[], None]]:
    """Turn any failure in a block into a StartUpError, until the yielded function is called.

    Call it once the server has announced that it is ready: a later failure is not a start-up
    failure, and is raised as it is. A half-made event loop complains as it is freed, asyncio's
    through sys.unraisablehook, uvloop in asyncio's log; both are silenced, since the error's one
    line has the reason.
    """
    begun = False
    asyncio_log = logging.getLogger("asyncio")
    asyncio_log.disabled = True

    def begin() -> None:
        nonlocal begun
        begun, asyncio_log.disabled = True, False

    try:
        yield begin
    except Exception as failure:  # no descriptor, memory or package: one line names it
        if begun or isinstance(failure, StartUpError):
            raise
        sys.unraisablehook = lambda _: None
        reason: BaseException | None = failure
        while reason is not None and not isinstance(reason, OSError):
            reason = reason.__context__  # the first failure explains the ones it led to
        reason = reason or failure
        what = str(reason) or "no memory left"
        raise StartUpError(f"cannot start: {type(reason).__name__}: {what}") from failure


def warn_of_orphans(arguments: Arguments) -> None:
    """Warn where children would outlive a server that is killed; elsewhere they die with it."""
    children = arguments.workers > 1 or MODELS[arguments.model].own_process
    if children and not can_die_with_parent():
        _log.warning(
            "the kernel refuses prctl(PR_SET_PDEATHSIG): the children of process %d would outlive a"
            " SIGKILL; stop it with SIGTERM",
            os.getpid(),
        )


def listen_on(arguments: Arguments, count: int) -> list[Socks]:
    """Return the listening sockets by protocol, for each of ``count`` processes.

    Raises:
        StartUpError: An address cannot be listened on, or there are too few descriptors.
    """
    ports = {"http": arguments.http_port, "echo": arguments.echo_port}
    wanted = {protocol: port for protocol, port in ports.items() if port is not None}
    timeouts = timeouts_of(arguments)
    by_process: list[dict[str, list[socket.socket]]] = [{} for _ in range(count)]
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
        for own, listening in zip(by_process, socks, strict=True):
            own[protocol] = listening
        backlog = read_back(socks[0][0]).get("backlog", arguments.backlog)
        if backlog < arguments.backlog:
            _log.warning(
                "the kernel caps the backlog at %d, expected %d; run: sysctl net.core.somaxconn=%d",
                backlog, arguments.backlog, arguments.backlog,
            )  # fmt: skip
    return [*by_process]


def _check_descriptors(workers: int, listeners: int) -> None:
    """Raise StartUpError if a supervisor has too few descriptors for so many workers."""
    each = listeners + 1  # and the pipe of its ready line
    possible = max((raise_descriptors() - limits.DESCRIPTORS_RESERVED) // each, 1)
    if workers > possible:
        raise StartUpError(
            f"expected --workers up to {possible}, which this machine allows, got {workers};"
            f" run: ulimit -n {workers * each + limits.DESCRIPTORS_RESERVED}"
        )


def timeouts_of(arguments: Arguments) -> dict[str, Timeouts]:
    """Return each protocol's timeouts."""
    requests_s = arguments.timeout_header, arguments.timeout_body, arguments.timeout_write
    return {
        "http": Timeouts(arguments.timeout_keep_alive, *requests_s),
        "echo": Timeouts(arguments.timeout_echo_idle, *requests_s),
    }


def end() -> NoReturn:
    """Exit with 0 at once: threads that the grace period cut off must not delay it."""
    if sys.stderr is not None:  # it was open at the start
        sys.stderr.flush()
    os._exit(0)


def print_ready_line(model: str, socks: Socks) -> None:
    """Print the ready line, with the first listener of each protocol.

    Raises:
        StartUpError: Standard output takes no line.
    """
    first = {protocol: address_of(listening[0]) for protocol, listening in socks.items()}
    line = (
        f"listening model={model} http={first.get('http', 'off')}"
        f" echo={first.get('echo', 'off')} pid={os.getpid()}\n"
    )
    try:
        os.write(1, line.encode("ascii"))
    except OSError as failure:  # a pipe without a reader, a full disk, or none at all
        raise StartUpError(
            f"cannot write the ready line: {failure.strerror}; run with a writable standard"
            " output, such as > /dev/null"
        ) from failure


def announce(model: str, socks: Socks) -> None:
    """Print the ready line, and on standard error a line for each further address.

    Raises:
        StartUpError: Standard output takes no line.
    """
    print_ready_line(model, socks)
    for protocol, (_, *others) in socks.items():
        for sock in others:
            with suppress(OSError, AttributeError):  # full or closed: the server serves anyway
                sys.stderr.write(f"listening also {protocol}={address_of(sock)}\n")
                sys.stderr.flush()
