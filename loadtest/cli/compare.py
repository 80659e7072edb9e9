"""python -m loadtest compare."""

import argparse
from dataclasses import replace
from pathlib import Path
from typing import Any

from loadtest.catalogue import SCENARIOS
from loadtest.cli.common import UNDECIDED, add, add_out, folder_for, verdicts_and_statuses
from loadtest.cli.gate import add_gate, parsed_rules, worst
from loadtest.cli.http_options import add_request
from loadtest.cli.matrix import DEFAULT_SCENARIOS, cores_of, headers_again, matrix_of, targets_of
from loadtest.host.files import os_error_text
from loadtest.host.parser import Parser
from loadtest.knobs import names, number, whole_number
from servers.registry import MODELS

_LOADS = ("rate", "flat-out")

_VERDICTS_AND_STATUSES = verdicts_and_statuses(
    {
        0: "every cell ran, whatever the verdicts",
        1: "a cell could not run, no cell has a figure, or a --fail-if rule is broken",
    }
    | UNDECIDED
)

_EPILOG = f"""\
examples:
  python -m loadtest compare --models gevent,asyncio --scenarios wait --repeats 5
  python -m loadtest compare --models uvloop,threaded --workers 1,1x,2x,8x
  python -m loadtest compare --target mine=http://127.0.0.1:9000 --scenarios hello,get --path /
  python -m loadtest compare --target mine=http://server:9000 --locust-workers 4
  python -m loadtest compare --resume results/2026-11-23T12-00-00Z

scenarios:
{"".join(f"  {name:8} {entry.reveals}" + chr(10) for name, entry in SCENARIOS.items())}
At the end it writes report.html into the bundle.

{_VERDICTS_AND_STATUSES}"""


def add_compare(commands: Any) -> None:
    """Add the command."""
    parser = add(
        commands,
        "compare",
        _compare,
        help="measure models and servers side by side, with a report",
        description="Run every contender in every scenario, in turn, and draw the results.",
        epilog=_EPILOG,
    )
    _add_contenders(parser)
    _add_load(parser)
    add_request(parser)
    _add_cores(parser)
    add_out(parser)
    add_gate(parser)
    parser.add_argument("--resume", metavar="BUNDLE", type=Path, help="resume an interrupted run")


def _add_contenders(parser: Parser) -> None:
    parser.add_argument(
        "--models", metavar="A,B", type=names("model", list(MODELS)),
        help=f"models to compare (default: {','.join(MODELS)}; with --target: none)",
    )  # fmt: skip
    parser.option(
        "--workers", "N,M", "1", _workers,
        "processes that serve each model; 2x means two for each of the server's cores",
    )  # fmt: skip
    parser.add_argument(
        "--target", metavar="NAME=URL", action="append", default=[],
        help="a server that already runs, http://HOST:PORT[/PATH] or tcp://HOST:PORT; repeatable",
    )  # fmt: skip


def _add_load(parser: Parser) -> None:
    option = parser.option
    parser.add_argument(
        "--scenarios", metavar="A,B", type=names("scenario", list(SCENARIOS)),
        help=f"what the clients do (default: {','.join(DEFAULT_SCENARIOS)};"
        " with --target: get, or echo)",
    )  # fmt: skip
    option("--connections", "N,M", "10,1000", _connections, "clients at the same time")
    option("--repeats", "N", "3", whole_number(1, 1000), "rounds, each in fresh processes")
    option("--duration", "S", "10", number(0.1, 86400), "length of each window")
    option("--warmup", "S", "1", number(0, 3600), "at the full load, before each window")
    parser.add_argument(
        "--rate", metavar="N", type=number(0.01, 1e6), dest="rate",
        help="requests a second in all that every contender is to hold (default: each scenario's)",
    )  # fmt: skip
    option("--loads", "A,B", ",".join(_LOADS), names("load", _LOADS), "the kinds of cells")
    parser.add_argument(
        "--shares", metavar="N,M", type=_shares, default=[],
        help="further cells at these percentages of each contender's own capacity, such as"
        " 25,50,75",
    )  # fmt: skip
    parser.add_argument(
        "--flat-out-all", action="store_true",
        help="run cheap scenarios such as hello and echo flat out, too; the generator needs"
        " enough cores",
    )  # fmt: skip


def _add_cores(parser: Parser) -> None:
    option = parser.option
    parser.add_argument(
        "--server-cores",
        metavar="0,2-3",
        default="",
        help="cores for the servers (default: the first half)",
    )
    parser.add_argument(
        "--load-cores",
        metavar="1,4-5",
        default="",
        help="cores for the generator (default: the second half)",
    )
    parser.add_argument(
        "--locust-workers", metavar="N", type=whole_number(1, 10_000), default=0,
        help="make the load with N Locust workers on other hosts: see docs/scaling-out.md",
    )  # fmt: skip
    option("--locust-port", "PORT", "5557", whole_number(1, 65535), "port that workers connect to")
    option("--seed", "N", "1", whole_number(0, 1 << 32), "seed for the random order of cells")


def _compare(parser: Parser, arguments: argparse.Namespace) -> int:
    from loadtest.bundle.read import BundleError
    from loadtest.compare.command import compare, read_plan
    from loadtest.host import terminal
    from loadtest.report.command import after_run
    from loadtest.report.judging import judge, refuse_before_report, refuse_before_run

    rules = parsed_rules(parser, arguments)
    try:
        if arguments.resume:
            matrix, cores = read_plan(arguments.resume)
            targets = targets_of([f"{name}={url}" for name, url in matrix.targets.items()])
            matrix = replace(matrix, headers=headers_again(matrix.headers, arguments.headers))
        else:
            targets = targets_of(arguments.target)
            cores = cores_of(arguments.server_cores, arguments.load_cores)
            matrix = matrix_of(arguments, targets, cores)
        if rules:
            refuse_before_run(arguments.baseline, rules, matrix, cores)
    except (BundleError, ValueError) as error:  # its text says what was expected and what was got
        parser.error(str(error))
    resume = arguments.resume and arguments.resume.absolute()
    folder = resume or folder_for(parser, arguments, "")
    status = compare(matrix, targets, cores, folder, resume=bool(arguments.resume))
    try:
        drawn = after_run(folder)
    except KeyboardInterrupt:  # the cells are on disk; report can draw them at any time
        return 130
    except OSError as error:  # a full disk
        terminal.print_line(terminal.console(stderr=True), f"no report: {os_error_text(error)}")
        drawn = 1
    status = worst(status, drawn)
    if not rules or status == 130:
        return status
    try:
        judged = judge(refuse_before_report(folder, arguments.baseline, rules, False), rules)
    except BundleError as error:  # no cell, or the baseline is gone
        terminal.print_line(terminal.console(stderr=True), f"not judged: {error}")
        judged = 1
    return worst(status, judged)


def _workers(text: str) -> list[tuple[int, int]]:
    """Return pairs: a number, and 1 if it is per core, else 0."""
    read = whole_number(1, 1024)
    return [(read(part.removesuffix("x")), int(part.endswith("x"))) for part in text.split(",")]


def _connections(text: str) -> list[int]:
    return sorted(set(map(whole_number(1, 10**7), text.split(","))))


def _shares(text: str) -> list[int]:
    return sorted(set(map(whole_number(1, 100), text.split(","))))
