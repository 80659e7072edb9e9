"""The launcher: arguments -> model -> listeners -> ready line -> serve -> drain."""

import _signal  # type: ignore[import-not-found]  # the built-in module beneath signal: no file to import

if __name__ == "__main__":  # first of all: until the server handles it, Ctrl-C prints no traceback
    _signal.signal(_signal.SIGINT, _signal.SIG_DFL)

import contextlib
import os
import sys
from typing import NoReturn

from servers import registry
from servers.process.arguments import parse, program


def main(argv: list[str] | None = None) -> None:
    """Run the server that the command line asks for; does not return."""
    for fd in range(3):
        try:
            os.fstat(fd)
        except OSError:  # closed: the next file or socket would take its place
            os.open(os.devnull, os.O_RDWR)
    arguments = parse(argv)
    if sys.platform != "linux":
        _fail(f"expected Linux, got {sys.platform}; run: docker compose up {arguments.model}")
    if missing := registry.missing(arguments.model):
        _fail(f"model {arguments.model!r} needs {missing}; run: pip install .")
    try:
        # Before any other import: a model may have to patch what the rest uses.
        serve = registry.load(arguments.model) if arguments.workers == 1 else None

        from servers.process.startup import StartUpError

        if serve is not None:
            from servers.process.service import run
        else:
            from servers.process.supervisor import supervise
    except (ImportError, SyntaxError, OSError) as error:  # a package that is installed, but broken
        _fail(f"{error}; run: pip install .")
    try:
        if serve is not None:
            run(arguments, serve)
        else:
            supervise(arguments, sys.argv[1:] if argv is None else argv)
    except StartUpError as failure:
        _fail(str(failure))


def _fail(message: str) -> NoReturn:
    with contextlib.suppress(OSError):  # a full disk, or no reader: the exit status remains
        os.write(2, f"{program()}: {_one_line(message)}\n".encode())
    os._exit(3)  # not sys.exit(): half-made objects would complain as they are freed


def _one_line(text: str) -> str:
    """Return a text in one line; bytes of an argument that are no UTF-8 are escaped."""
    raw = text.encode("utf-8", "surrogateescape")
    return raw.decode("utf-8", "backslashreplace").replace("\n", " ")


if __name__ == "__main__":
    main()
