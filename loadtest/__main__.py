"""The command line: python -m loadtest demo."""

import argparse
import resource
import sys
from collections.abc import Sequence
from pathlib import Path

from loadtest.cell import RATES_HZ
from loadtest.machine import new_folder
from loadtest.usage import Parser, names, seconds, whole_number
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


def main(argv: Sequence[str] | None = None) -> int:
    """Run what the command line asks for and return the exit status."""
    parser = Parser(
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

    option = demo_parser.option
    option("--models", "A,B", ",".join(MODELS), names("model", list(MODELS)), "servers to compare")
    option(
        "--scenarios", "A,B", ",".join(RATES_HZ), names("scenario", list(RATES_HZ)),
        "what the clients do",
    )  # fmt: skip
    option("--connections", "N,M", "10,1000", _connections, "clients at the same time")
    option("--duration", "S", "2", seconds, "length of each window")
    option("--out", "FOLDER", "results", Path, "where a folder for the results is made")
    arguments = parser.parse_args(argv)
    try:
        from loadtest.demo import Options, demo
    except ModuleNotFoundError as missing:  # the extra has not been installed
        parser.error(
            f"expected the extra 'load', got no {missing.name}; run: pip install '.[load]'"
        )
    try:
        folder = new_folder(arguments.out)
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


def _connections(text: str) -> list[int]:
    limit = resource.getrlimit(resource.RLIMIT_NOFILE)[1] - _DESCRIPTORS_RESERVED
    parse = whole_number(1, limit, why=" (the descriptor limit)")
    return list(dict.fromkeys(map(parse, text.split(","))))


if __name__ == "__main__":
    sys.exit(main())
