"""The launcher: arguments -> model -> listeners -> ready line -> serve -> drain."""

import contextlib
import os
import signal
import sys
from typing import NoReturn

from servers import registry
from servers.arguments import parse


def main(argv: list[str] | None = None) -> None:
    """Run the server that the command line asks for; does not return."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)  # until it is listened to: no traceback
    for fd in range(3):
        try:
            os.fstat(fd)
        except OSError:  # closed: else the next file or socket would be taken for it
            os.open(os.devnull, os.O_RDWR)
    arguments = parse(argv)
    if sys.platform != "linux":
        _fail(f"expected Linux, got {sys.platform}; run: docker compose up {arguments.model}")
    if missing := registry.missing(arguments.model):
        _fail(f"model {arguments.model!r} needs {missing}; run: pip install .")
    # Before anything else is imported: a model may have to change what the rest will use.
    serve = registry.load(arguments.model) if arguments.workers == 1 else None

    from servers.startup import StartUpError

    try:
        if serve is not None:
            from servers.service import run

            run(arguments, serve)
        else:
            from servers.supervisor import supervise

            supervise(arguments, sys.argv[1:] if argv is None else argv)
    except StartUpError as failure:
        _fail(str(failure))


def _fail(message: str) -> NoReturn:
    with contextlib.suppress(OSError):  # a full disk, or nobody there: the status still says it
        os.write(2, f"python -m servers: {message}\n".encode())
    sys.exit(3)


if __name__ == "__main__":
    main()
