"""One of several processes that serve, as its supervisor starts it.

    python -m servers.process.worker SUPERVISOR_PID SOCKETS TABLES MODEL ...

A process of its own from the first line on, and not a fork: it is what serves without a supervisor,
but for its listeners, which it is handed, and its counts, which lie where all workers see them.
"""

import os
import socket
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING, NoReturn

from servers import registry
from servers.counting.tables import Place
from servers.process.arguments import parse
from servers.sockets.kernel import die_with_parent

if TYPE_CHECKING:  # nothing must be imported before a model that changes what is imported
    from servers.sockets.listeners import Socks


def command(socks: "Socks", place: Place, argv: Sequence[str]) -> list[str]:
    """Return the command line of a worker; it must inherit the descriptors named there."""
    import subprocess  # here: what it imports would cost each child of the forking model memory

    fds = ",".join(f"{name}={sock.fileno()}" for name, each in socks.items() for sock in each)
    tables = ",".join(map(str, place))
    # Those this interpreter was started with, -X dev for one; what multiprocessing calls, too.
    flags: list[str] = subprocess._args_from_interpreter_flags()  # type: ignore[attr-defined]  # noqa: SLF001
    module = "servers.process.worker"
    return [sys.executable, *flags, "-m", module, str(os.getpid()), fds, tables, *argv]


def main() -> None:
    """Serve until the supervisor says that it is enough; does not return."""
    supervisor, fds, tables, *argv = sys.argv[1:]
    die_with_parent()
    if os.getppid() != int(supervisor):  # it died before it could take us along
        sys.exit(1)
    arguments = parse(argv)
    try:
        # Before anything else is imported: a model may have to change what the rest will use.
        serve = registry.load(arguments.model)

        from servers.process import service, startup
    except (ImportError, SyntaxError) as error:  # as it lies on the disk by now, it cannot start
        _fail(f"{error}; run: pip install .", status=3)
    socks: dict[str, list[socket.socket]] = {}
    for protocol, fd in (pair.split("=") for pair in fds.split(",")):
        socks.setdefault(protocol, []).append(socket.socket(fileno=int(fd)))
    try:
        service.run_worker(arguments, serve, socks, Place(*map(int, tables.split(","))))
    except startup.StartUpError as failure:
        _fail(str(failure), status=1)  # of the machine as it is now: the next may well start


def _fail(message: str, status: int) -> NoReturn:
    print(f"python -m servers.process.worker: {message}", file=sys.stderr)
    os._exit(status)  # not sys.exit(): what was half made would complain as it is freed


if __name__ == "__main__":
    main()
