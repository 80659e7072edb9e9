"""The command line: python -m loadtest demo, run, selftest, doctor."""

import argparse
import importlib
import resource
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from loadtest.catalogue import PROOFS, RATES_HZ, SCENARIOS
from loadtest.machine import new_folder
from loadtest.usage import Parser, names, number, one_of, seconds, whole_number
from servers.registry import MODELS

_DESCRIPTORS_RESERVED = 100
"""Of the server's and the generator's: for all that is no connection of the load."""

_EPILOG = """\
Exits with 0; with 1 where a cell could not be run; with 130 after Ctrl-C, which loses nothing
that has been measured; with 2 when asked for what there is not.
"""

_DEMO_EPILOG = f"""\
examples:
  python -m loadtest demo
  python -m loadtest demo --models gevent,asyncio --scenarios wait --duration 10

{_EPILOG}"""

_RUN_EPILOG = (
    """\
examples:
  python -m loadtest run gevent --scenario wait --rate 1000 --connections 100
  python -m loadtest run uvloop --scenario hello --connections 64            (flat out)
  python -m loadtest run --target http://host:8000 --scenario get --path /x --rate 500 --pid 4711
  python -m loadtest run threaded --find-capacity p99=50ms --connections 100

scenarios:
"""
    + "".join(f"  {name:8} {entry.reveals}\n" for name, entry in SCENARIOS.items())
    + f"\n{_EPILOG}"
)


def main(argv: Sequence[str] | None = None) -> int:
    """Run what the command line asks for and return the exit status."""
    parser = Parser(
        prog="python -m loadtest",
        description="Put the same load on every model and compare.",
    )
    commands = parser.add_subparsers(metavar="COMMAND", required=True)
    for add in (_add_demo, _add_run, _add_selftest, _add_doctor):
        add(commands)
    arguments = parser.parse_args(argv)
    try:
        status: int = arguments.run(arguments.parser, arguments)
    except ModuleNotFoundError as missing:  # the extra has not been installed
        parser.error(
            f"expected the extra 'load', got no {missing.name}; run: pip install '.[load]'"
        )
    return status


def _add(commands: Any, name: str, run: Any, **texts: str) -> Parser:
    parser: Parser = commands.add_parser(
        name, formatter_class=argparse.RawDescriptionHelpFormatter, **texts
    )
    parser.set_defaults(run=run, parser=parser)
    return parser


def _add_demo(commands: Any) -> None:
    parser = _add(
        commands,
        "demo",
        _demo,
        help="every model, a few seconds each",
        description="Start every model in turn, put a load on it, and print a table.",
        epilog=_DEMO_EPILOG,
    )
    option = parser.option
    option("--models", "A,B", ",".join(MODELS), names("model", list(MODELS)), "servers to compare")
    option(
        "--scenarios", "A,B", ",".join(RATES_HZ), names("scenario", list(RATES_HZ)),
        "what the clients do",
    )  # fmt: skip
    option("--connections", "N,M", "10,1000", _connections, "clients at the same time")
    option("--duration", "S", "1.5", seconds, "length of each window")
    option("--out", "FOLDER", "results", Path, "where a folder for the results is made")


def _demo(parser: Parser, arguments: argparse.Namespace) -> int:
    from loadtest.demo import Options, demo

    options = Options(
        models=arguments.models,
        scenarios=arguments.scenarios,
        connections=arguments.connections,
        duration_s=arguments.duration,
    )
    return demo(options, _folder(parser, arguments, ""))


def _add_run(commands: Any) -> None:
    parser = _add(
        commands,
        "run",
        _run,
        help="one load on one server, with a verdict",
        description="Put one load on a model, which is started for it, or on any server.",
        epilog=_RUN_EPILOG,
    )
    parser.add_argument(
        "model", metavar="MODEL", nargs="?", choices=list(MODELS), help=", ".join(MODELS)
    )
    option = parser.option
    parser.add_argument(
        "--target", metavar="URL", help="http://HOST:PORT or tcp://HOST:PORT, instead of a model"
    )
    parser.add_argument(
        "--pid", metavar="N", type=whole_number(1, 1 << 22), default=0,
        help="of the target, where it has no /metrics: its CPU time is taken from the kernel",
    )  # fmt: skip
    option("--scenario", "NAME", "hello", one_of(SCENARIOS), "what the clients do; see below")
    parser.add_argument(
        "--rate", metavar="N", type=number(0.01, 1e6), default=0.0,
        help="requests a second in all (default: flat out, one after the other)",
    )  # fmt: skip
    parser.add_argument(
        "--find-capacity", metavar="P=T",
        help="search the highest rate at which this holds, such as p99=50ms",
    )  # fmt: skip
    option("--connections", "N", "64", whole_number(1, 1_000_000), "clients at the same time")
    option("--duration", "S", "10", number(0.1, 86400), "length of the window")
    option("--warmup", "S", "1", number(0, 3600), "at the full rate, before the window")
    option("--processes", "N", "1", whole_number(1, 256), "that make the load")
    option("--arrivals", "NAME", "constant", one_of(("constant", "poisson")), "constant or poisson")
    option("--deadline", "S", "10", number(0.1, 600), "what is later is dropped and counted")
    option("--echo-bytes", "N", "128", whole_number(1, 1 << 20), "length of an echoed message")
    option("--path", "PATH", "/", str, "what the scenario get asks for")
    option("--out", "FOLDER", "results", Path, "where a folder for the results is made")


def _run(parser: Parser, arguments: argparse.Namespace) -> int:
    from loadtest.capacity import Promise
    from loadtest.cell import Load
    from loadtest.run import Options, run
    from loadtest.target import Target

    if (arguments.model is None) == (arguments.target is None):
        parser.error("expected a MODEL or a --target, and not both")
    entry = SCENARIOS[arguments.scenario]
    if arguments.connections < entry.connections_min:
        parser.error(
            f"expected --connections {entry.connections_min} or more for {arguments.scenario},"
            f" got {arguments.connections}"
        )
    room = arguments.processes * (_descriptors() - _DESCRIPTORS_RESERVED)
    if arguments.connections > room:
        parser.error(
            f"expected --connections up to {room} with {arguments.processes} --processes (the"
            f" descriptor limit), got {arguments.connections}"
        )
    if arguments.find_capacity and arguments.rate:
        parser.error("expected --rate or --find-capacity, and not both")
    try:
        promise = Promise.parse(arguments.find_capacity) if arguments.find_capacity else None
        target = Target.parse(arguments.target, arguments.pid) if arguments.target else None
    except ValueError as error:  # it says what was expected and what was got
        parser.error(str(error))
    if target is not None and target.speaks_http == (arguments.scenario == "echo"):
        parser.error(
            f"expected {'tcp' if target.speaks_http else 'http'}://HOST:PORT for the scenario"
            f" {arguments.scenario}, got {arguments.target}"
        )
    load = Load(
        scenario=arguments.scenario,
        classes=entry.users,
        connections=arguments.connections,
        rate_hz=arguments.rate,
        arrivals=arguments.arrivals,
        deadline_s=arguments.deadline,
        warmup_s=arguments.warmup,
        window_s=arguments.duration,
        processes=arguments.processes,
        echo_bytes=arguments.echo_bytes,
        path=arguments.path,
    )
    options = Options(arguments.model or "", target, load, promise)
    return run(options, _folder(parser, arguments, "-run"))


def _add_selftest(commands: Any) -> None:
    parser = _add(
        commands,
        "selftest",
        _selftest,
        help="prove that the meter measures",
        description="Measure what is known, and compare: freezes, delays, wrong replies, hunger.",
        epilog="Takes some two minutes. Exits with 0; with 1 when a proof fails.",
    )
    option = parser.option
    option("--only", "A,B", ",".join(PROOFS), names("proof", PROOFS), "what to prove")
    option("--out", "FOLDER", "results", Path, "where a folder for the results is made")


def _selftest(parser: Parser, arguments: argparse.Namespace) -> int:
    from loadtest.selftest.command import selftest

    return selftest(arguments.only, _folder(parser, arguments, "-selftest"))


def _add_doctor(commands: Any) -> None:
    _add(
        commands,
        "doctor",
        _doctor,
        help="what of this machine would spoil a measurement",
        description="Look at the machine's limits: what is fine, what is not, and what mends it.",
        epilog="Exits with 0; with 1 when something is not fine.",
    )


def _doctor(_parser: Parser, _arguments: argparse.Namespace) -> int:
    doctor = importlib.import_module("loadtest.doctor")
    status: int = doctor.doctor()
    return status


def _folder(parser: Parser, arguments: argparse.Namespace, suffix: str) -> Path:
    try:
        return new_folder(arguments.out, suffix)
    except OSError as error:  # no such place, or not ours to write to
        parser.error(f"expected a folder to write to, got --out {arguments.out}: {error.strerror}")


def _descriptors() -> int:
    return resource.getrlimit(resource.RLIMIT_NOFILE)[1]


def _connections(text: str) -> list[int]:
    parse = whole_number(1, _descriptors() - _DESCRIPTORS_RESERVED, why=" (the descriptor limit)")
    return list(dict.fromkeys(map(parse, text.split(","))))


if __name__ == "__main__":
    sys.exit(main())
