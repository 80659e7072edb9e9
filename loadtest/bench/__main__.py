"""The command line: python -m loadtest.bench."""

import _signal  # type: ignore[import-not-found]  # signal would import enum first
import os

if __name__ == "__main__" and _signal.getsignal(_signal.SIGINT) is _signal.default_int_handler:
    # Before all other imports: a Ctrl-C meanwhile prints no traceback. main() takes over.
    _signal.signal(_signal.SIGINT, lambda *_: os._exit(130))

import argparse
import shutil
import sys
from collections.abc import Sequence
from pathlib import Path

from loadtest.host import safe_output
from loadtest.host.descriptors import raise_descriptor_limit
from loadtest.host.machine import new_folder
from loadtest.host.parser import Parser, interruptible
from loadtest.knobs import names, whole_number
from servers.registry import MODELS

_DESCRIPTORS_RESERVED = 200
"""Of the server and of the clients, for everything that is not a measured connection."""

_EPILOG = """\
examples:
  python -m loadtest.bench
  python -m loadtest.bench --models uvloop --rounds 1 --hold 0
  python -m loadtest.bench --models forking --rounds 0 --hold 1000

exit status:
    0  every measurement succeeded, whether or not a target is reached
    1  a measurement failed
    2  usage error
    3  wrk or another server is missing
  130  Ctrl-C; all finished measurements are kept
"""


def main(argv: Sequence[str] | None = None) -> int:
    """Run the benchmark and return its exit status."""
    return interruptible(lambda: _run(argv))


def _run(argv: Sequence[str] | None) -> int:
    safe_output.install()
    parser = Parser(
        prog="python -m loadtest.bench",
        description="Compare CPU time per request with other servers, and hold many connections.",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )

    option = parser.option
    descriptors = max(0, raise_descriptor_limit() - _DESCRIPTORS_RESERVED)
    option("--models", "A,B", ",".join(MODELS), names("model", list(MODELS)), "models to measure")
    option(
        "--rounds",
        "N",
        "5",
        whole_number(0, 100),
        "rounds, in which each server has one turn; 0 skips this part",
    )
    option("--duration", "S", "3", _seconds, "length of each window")
    option(
        "--hold", "N", str(min(10_000, descriptors)), whole_number(0, descriptors),
        "connections to hold; 0 skips this part",
    )  # fmt: skip
    option(
        "--generator",
        "0|1",
        "1",
        whole_number(0, 1),
        "compare our users with FastHttpUser; 0 skips this part",
    )
    option("--out", "FOLDER", "results", Path, "folder in which the run's folder is made")
    arguments = parser.parse_args(argv)
    if not arguments.rounds and not arguments.hold and not arguments.generator:
        parser.error("expected something to do, got --rounds 0, --hold 0 and --generator 0")
    if arguments.rounds and shutil.which("wrk") is None:
        return _needs("wrk; run: apt-get install wrk, or skip this part with --rounds 0")
    try:
        from loadtest.bench.benchmark import Options, benchmark
    except ModuleNotFoundError as missing:  # the extra is not installed
        return _needs(f"{missing.name}; run: pip install '.[bench]'")
    try:
        folder = new_folder(arguments.out, "-bench")
    except OSError as error:  # no such place, or no permission
        parser.error(f"expected a folder to write to, got --out {arguments.out}: {error.strerror}")
    options = Options(
        models=arguments.models,
        rounds=arguments.rounds,
        duration_s=arguments.duration,
        hold=arguments.hold,
        generator=bool(arguments.generator),
    )
    return benchmark(options, folder)


def _seconds(text: str) -> float:
    """Read the length of a window of the benchmark."""
    try:
        value = float(text)
    except ValueError:  # not a number
        value = -1.0
    if not 0.1 <= value <= 60:
        raise argparse.ArgumentTypeError(f"expected seconds from 0.1 to 60, got {text!r}")
    return value


def _needs(what: str) -> int:
    print(f"python -m loadtest.bench: needs {what}", file=sys.stderr)
    return 3


if __name__ == "__main__":
    sys.exit(main())
