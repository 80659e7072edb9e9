"""The command line: python -m loadtest.bench."""

import _signal  # type: ignore[import-not-found]  # what lies beneath signal, and needs no import
import os

if __name__ == "__main__" and _signal.getsignal(_signal.SIGINT) is _signal.default_int_handler:
    # First of all: Ctrl-C while the rest is imported is no traceback. main() takes over.
    _signal.signal(_signal.SIGINT, lambda *_: os._exit(130))

import argparse
import shutil
import sys
from collections.abc import Sequence
from pathlib import Path

from loadtest.cli.flags import Parser, interruptible, seconds
from loadtest.host import safe_output
from loadtest.host.descriptors import raise_descriptor_limit
from loadtest.host.machine import new_folder
from loadtest.knobs import names, whole_number
from servers.registry import MODELS

_DESCRIPTORS_RESERVED = 200
"""Of the server's and the clients': for all that is no connection of the benchmark."""

_EPILOG = """\
examples:
  python -m loadtest.bench
  python -m loadtest.bench --models uvloop --rounds 1 --hold 0
  python -m loadtest.bench --models forking --rounds 0 --hold 1000

Exits with 0; with 1 where something could not be measured; with 2 when asked for what there is
not; with 3 where wrk or a peer is missing; with 130 after Ctrl-C, which loses nothing that has
been measured. Whether a target is reached does not matter.
"""


def main(argv: Sequence[str] | None = None) -> int:
    """Run what the command line asks for and return the exit status."""
    return interruptible(lambda: _run(argv))


def _run(argv: Sequence[str] | None) -> int:
    safe_output.install()
    parser = Parser(
        prog="python -m loadtest.bench",
        description="Compare what a request costs with other servers, and hold many connections.",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )

    option = parser.option
    descriptors = max(0, raise_descriptor_limit() - _DESCRIPTORS_RESERVED)
    option(
        "--models", "A,B", ",".join(MODELS), names("model", list(MODELS)), "our servers to measure"
    )
    option(
        "--rounds",
        "N",
        "5",
        whole_number(0, 100),
        "how often each has its turn; 0 leaves the peers out",
    )
    option("--duration", "S", "3", seconds, "length of each window")
    option(
        "--hold", "N", str(min(10_000, descriptors)), whole_number(0, descriptors),
        "connections to hold; 0 leaves it out",
    )  # fmt: skip
    option("--generator", "0|1", "1", whole_number(0, 1), "compare our users with FastHttpUser")
    option("--out", "FOLDER", "results", Path, "where a folder for the results is made")
    arguments = parser.parse_args(argv)
    if not arguments.rounds and not arguments.hold and not arguments.generator:
        parser.error("expected something to do, got --rounds 0, --hold 0 and --generator 0")
    if arguments.rounds and shutil.which("wrk") is None:
        return _needs("wrk; run: apt-get install wrk, or leave the peers out with --rounds 0")
    try:
        from loadtest.bench.benchmark import Options, benchmark
    except ModuleNotFoundError as missing:  # the extra has not been installed
        return _needs(f"{missing.name}; run: pip install '.[bench]'")
    try:
        folder = new_folder(arguments.out, "-bench")
    except OSError as error:  # no such place, or not ours to write to
        parser.error(f"expected a folder to write to, got --out {arguments.out}: {error.strerror}")
    options = Options(
        models=arguments.models,
        rounds=arguments.rounds,
        duration_s=arguments.duration,
        hold=arguments.hold,
        generator=bool(arguments.generator),
    )
    return benchmark(options, folder)


def _needs(what: str) -> int:
    print(f"python -m loadtest.bench: needs {what}", file=sys.stderr)
    return 3


if __name__ == "__main__":
    sys.exit(main())
