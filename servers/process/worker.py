"""The program of a worker: one of several serving processes, started by a supervisor.

    python -m servers.process.worker SUPERVISOR_PID SOCKETS TABLES MODEL ...

A new process, not a fork. It serves as the launcher does without a supervisor, except that it
inherits its listeners, and that its counts lie in memory which all workers share.
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
    """Return the command line of a worker, which must inherit the descriptors named in it."""
    import subprocess  # here: what it imports would cost each child of the forking model memory

    fds = ",".join(f"{name}={sock.fileno()}" for name, each in socks.items() for sock in each)
    tables = ",".join(map(str, place))
    # The flags of this interpreter, such as -X dev, as multiprocessing gets them.
    flags: list[str] = subprocess._args_from_interpreter_flags()  # type: ignore[attr-defined]  # noqa: SLF001
    module = "servers.process.worker"
    return [sys.executable, *flags, "-m", module, str(os.getpid()), fds, tables, *argv]


def main() -> None:
    """Serve until the supervisor requests a drain; does not return."""
    supervisor, fds, tables, *argv = sys.argv[1:]
    die_with_parent()
    if os.getppid() != int(supervisor):  # it died before the kernel could tie us to it
        sys.exit(1)
    arguments = parse(argv)
    try:
        # Before any other import: a model may have to patch what the rest uses.
        serve = registry.load(arguments.model)

        from servers.process import service, startup
    except (ImportError, SyntaxError) as error:  # the code on disk, perhaps newer than the parent's
        _fail(f"{error}; run: pip install .", status=3)
    socks: dict[str, list[socket.socket]] = {}
    for protocol, fd in (pair.split("=") for pair in fds.split(",")):
        socks.setdefault(protocol, []).append(socket.socket(fileno=int(fd)))
    try:
        service.run_worker(arguments, serve, socks, Place(*map(int, tables.split(","))))
    except startup.StartUpError as failure:
        _fail(str(failure), status=1)  # the machine's state now: the next worker may start


def _fail(message: str, status: int) -> NoReturn:
    print(f"python -m servers.process.worker: {message}", file=sys.stderr)
    os._exit(status)  # not sys.exit(): half-made objects would complain as they are freed


if __name__ == "__main__":
    main()
