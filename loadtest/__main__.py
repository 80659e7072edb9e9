"""The command line: python -m loadtest demo."""

import argparse
import resource
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NoReturn

from loadtest.cell import RATES_HZ
from servers.registry import MODELS

_DESCRIPTORS_RESERVED = 100
"""Of the server's and the generator's: for all that is no connection of the load."""

_EPILOG = """\
examples:
  python -m loadtest demo
  python -m loadtest demo --models gevent,asyncio --scenarios wait --duration 10

Exits with 0; with 1 where a cell could not be run; with 130 after Ctrl-C, which loses nothing
that has been measured; with 2 when asked for what there is not.
"""


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        """Say in one line what was wrong and where the way out is; exit with 2."""
        self.exit(2, f"{self.prog}: {message}; run: {self.prog} --help\n")


def main(argv: Sequence[str] | None = None) -> int:
    """Run what the command line asks for and return the exit status."""
    parser = _Parser(
        prog="python -m loadtest",
        description="Put the same load on every model and compare.",
    )
    commands = parser.add_subparsers(metavar="COMMAND", required=True)
    demo_parser = commands.add_parser(
        "demo",
        help="every model, a few seconds each",
        description="Start every model in turn, put a load on it, and print a table.",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )

    def option(
        flag: str, metavar: str, default: str, type_: Callable[[str], object], help_: str
    ) -> None:
        demo_parser.add_argument(
            flag, metavar=metavar, default=default, type=type_, help=f"{help_} (default: {default})"
        )

    option("--models", "A,B", ",".join(MODELS), _names("model", list(MODELS)), "servers to compare")
    option(
        "--scenarios",
        "A,B",
        ",".join(RATES_HZ),
        _names("scenario", list(RATES_HZ)),
        "what the clients do",
    )
    option("--connections", "N,M", "10,1000", _connections, "clients at the same time")
    option("--duration", "S", "2", _seconds, "length of each window")
    option("--out", "FOLDER", "results", Path, "where a folder for the results is made")
    arguments = parser.parse_args(argv)
    try:
        from loadtest import bundle
        from loadtest.demo import Options, demo
    except ModuleNotFoundError as missing:  # the extra has not been installed
        parser.error(
            f"expected the extra 'load', got no {missing.name}; run: pip install '.[load]'"
        )
    try:
        folder = bundle.create(arguments.out)
    except OSError as error:  # no such place, or not ours to write to
        demo_parser.error(
            f"expected a folder to write to, got --out {arguments.out}: {error.strerror}"
        )
    options = Options(
        models=arguments.models,
        scenarios=arguments.scenarios,
        connections=arguments.connections,
        duration_s=arguments.duration,
    )
    return demo(options, folder)


def _names(kind: str, known: Sequence[str]) -> Callable[[str], list[str]]:
    def parse(text: str) -> list[str]:
        names = text.split(",")
        if unknown := [name for name in names if name not in known]:
            raise argparse.ArgumentTypeError(
                f"expected {kind}s out of {','.join(known)}, got {unknown[0]!r}"
            )
        return list(dict.fromkeys(names))

    return parse


def _connections(text: str) -> list[int]:
    limit = resource.getrlimit(resource.RLIMIT_NOFILE)[1] - _DESCRIPTORS_RESERVED
    counts = text.split(",")
    for count in counts:
        if not count.isascii() or not count.isdigit() or not 1 <= int(count) <= limit:
            raise argparse.ArgumentTypeError(
                f"expected numbers from 1 to {limit} (the descriptor limit), got {count!r}"
            )
    return list(dict.fromkeys(map(int, counts)))


def _seconds(text: str) -> float:
    try:
        seconds = float(text)
    except ValueError:  # not a number at all
        seconds = -1.0
    if not 0.1 <= seconds <= 60:
        raise argparse.ArgumentTypeError(f"expected seconds from 0.1 to 60, got {text!r}")
    return seconds


if __name__ == "__main__":
    sys.exit(main())
