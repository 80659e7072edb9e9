"""python -m loadtest compare: what it takes."""

import argparse
import re
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from loadtest.catalogue import SCENARIOS
from loadtest.cli.common import (
    UNDECIDED,
    add,
    add_out,
    default_scenario,
    folder_for,
    verdicts_and_statuses,
)
from loadtest.cli.flags import Parser, names, number, whole_number
from loadtest.cli.http_options import add_request, check_request
from loadtest.cli.report import add_gate, parsed_rules, worst
from loadtest.client.request import hidden
from loadtest.host.descriptors import connections_max
from loadtest.host.files import os_error_text
from servers.registry import MODELS

if TYPE_CHECKING:
    from loadtest.bundle.plan import Matrix
    from loadtest.host.cores import Cores
    from loadtest.running.target import Target

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._]{0,39}")
_DEFAULT = ("hello", "wait", "connect", "cpu")
_LOADS = ("rate", "flat-out")

_VERDICTS_AND_STATUSES = verdicts_and_statuses(
    {
        0: "every cell has been run, whatever the verdicts",
        1: "a cell could not be run, no cell has a figure, or a --fail-if rule is broken",
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
It ends with report.html in the bundle.

{_VERDICTS_AND_STATUSES}"""


def add_compare(commands: Any) -> None:
    """Add the command."""
    parser = add(
        commands,
        "compare",
        _compare,
        help="models and servers, side by side, into a bundle with a report",
        description="Run every contender in every scenario, in turn, and draw what came of it.",
        epilog=_EPILOG,
    )
    option = parser.option
    parser.add_argument(
        "--models", metavar="A,B", type=names("model", list(MODELS)),
        help=f"servers of ours (default: {','.join(MODELS)}; with --target: none)",
    )  # fmt: skip
    option(
        "--workers", "N,M", "1", _workers,
        "processes that serve each model; 2x means two for each of the server's cores",
    )  # fmt: skip
    parser.add_argument(
        "--target", metavar="NAME=URL", action="append", default=[],
        help="a server that runs somewhere, http://HOST:PORT[/PATH] or tcp://HOST:PORT; again for"
        " more",
    )  # fmt: skip
    parser.add_argument(
        "--scenarios", metavar="A,B", type=names("scenario", list(SCENARIOS)),
        help=f"what the clients do (default: {','.join(_DEFAULT)}; with --target: get, or echo)",
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
        help="cells at so many per cent of what each contender can do itself, such as 25,50,75",
    )  # fmt: skip
    parser.add_argument(
        "--flat-out-all", action="store_true",
        help="hello, echo and the like flat out too: where the generator has cores enough",
    )  # fmt: skip
    add_request(parser)
    parser.add_argument(
        "--server-cores", metavar="0,2-3", default="", help="(default: the first half)"
    )
    parser.add_argument(
        "--load-cores", metavar="1,4-5", default="", help="(default: the second half)"
    )
    parser.add_argument(
        "--locust-workers", metavar="N", type=whole_number(1, 10_000), default=0,
        help="so many Locust workers on other hosts make the load: see docs/scaling-out.md",
    )  # fmt: skip
    option("--locust-port", "PORT", "5557", whole_number(1, 65535), "where they call us")
    option("--seed", "N", "1", whole_number(0, 1 << 32), "of the order of the cells")
    add_out(parser)
    add_gate(parser)
    parser.add_argument("--resume", metavar="BUNDLE", type=Path, help="go on with what was stopped")


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
            targets = _targets([f"{name}={url}" for name, url in matrix.targets.items()])
            matrix = replace(matrix, headers=_given_again(matrix.headers, arguments.headers))
        else:
            targets = _targets(arguments.target)
            cores = _cores(arguments.server_cores, arguments.load_cores)
            matrix = _matrix(parser, arguments, targets, cores)
        if rules:
            refuse_before_run(arguments.baseline, rules, matrix, cores)
    except (BundleError, ValueError) as error:  # it says what was expected and what was got
        parser.error(str(error))
    resume = arguments.resume and arguments.resume.absolute()
    folder = resume or folder_for(parser, arguments, "")
    status = compare(matrix, targets, cores, folder, resume=bool(arguments.resume))
    try:
        drawn = after_run(folder)
    except KeyboardInterrupt:  # the cells are on disk, and can be drawn at any time
        return 130
    except OSError as error:  # the same where the disk is full
        terminal.print_line(terminal.console(stderr=True), f"no report: {os_error_text(error)}")
        drawn = 1
    status = worst(status, drawn)
    if not rules or status == 130:
        return status
    try:
        judged = judge(refuse_before_report(folder, arguments.baseline, rules, False), rules)
    except BundleError as error:  # no cell, or the baseline has gone meanwhile
        terminal.print_line(terminal.console(stderr=True), f"not judged: {error}")
        judged = 1
    return worst(status, judged)


def _matrix(
    parser: Parser, arguments: argparse.Namespace, targets: "dict[str, Target]", cores: "Cores"
) -> "Matrix":
    from loadtest.bundle.plan import Matrix

    models = arguments.models or ([] if targets else list(MODELS))
    if arguments.scenarios is None:
        arguments.scenarios = _default_scenarios(targets)
    path = check_request(arguments.scenarios, arguments.path, arguments.headers, None)
    own = bool(targets) and all(target.path for target in targets.values())
    for target in targets.values():  # --path is for those whose URL has none, if there are any
        target.path_with(arguments.path if own else None, arguments.scenarios)
    matrix = Matrix(
        models=models,
        workers=sorted({count * len(cores.server) ** each for count, each in arguments.workers}),
        targets={name: target.url for name, target in targets.items()},
        scenarios=arguments.scenarios,
        connections=arguments.connections,
        repeats=arguments.repeats,
        duration_s=arguments.duration,
        warmup_s=arguments.warmup,
        loads=arguments.loads,
        shares=arguments.shares,
        rate_hz=arguments.rate,
        flat_out_all=arguments.flat_out_all,
        path=path,
        headers=arguments.headers,
        processes=arguments.locust_workers or len(cores.generator),
        distant=bool(arguments.locust_workers),
        locust_port=arguments.locust_port if arguments.locust_workers else 0,
        seed=arguments.seed,
    )
    room = connections_max(matrix.processes if matrix.distant else 1)
    if max(matrix.connections) > room:
        parser.error(
            f"expected --connections up to {room} (the descriptor limit of a process that makes"
            f" load), got {max(matrix.connections)}"
        )
    _refuse(parser, matrix.scenarios, targets, models, matrix.distant)
    if not matrix.cells():
        parser.error(
            "expected cells, got none: more --connections, or --flat-out-all for"
            f" {','.join(matrix.scenarios)}"
        )
    return matrix


def _default_scenarios(targets: "dict[str, Target]") -> list[str]:
    """Return what all contenders can be asked: a target knows no path of ours."""
    if not targets:
        return [*_DEFAULT]
    return list(dict.fromkeys(default_scenario(target.host) for target in targets.values()))


def _refuse(
    parser: Parser,
    scenarios: list[str],
    targets: "dict[str, Target]",
    models: list[str],
    distant: bool,
) -> None:
    for name, target in targets.items():
        if name in models or name in MODELS:
            parser.error(f"expected another name for a target, got {name!r}: a model has it")
        if unfit := [s for s in scenarios if (s == "echo") == target.speaks_http]:
            parser.error(
                f"expected {'tcp' if target.speaks_http else 'http'}://HOST:PORT for the scenario"
                f" {unfit[0]}, got {name}={target.url}; name others with --scenarios"
            )
    if distant and models:
        parser.error(
            "expected --target for all that --locust-workers are to load, got models, which only"
            " this machine can reach"
        )
    if "get" in scenarios and not targets:
        parser.error("expected a --target for the scenario get, got none")


def _targets(given: list[str]) -> "dict[str, Target]":
    from loadtest.running.target import Target

    targets = {}
    for text in given:
        name, found, url = text.partition("=")
        if not found or not _NAME.fullmatch(name):
            raise ValueError(
                f"expected NAME=URL, in NAME letters, digits, dots and underscores, got {text!r}"
            )
        if name in targets:
            raise ValueError(f"expected each name once, got {name!r} again")
        targets[name] = Target.parse(url, name=name)
    return targets


def _given_again(kept: list[str], given: list[str]) -> list[str]:
    """Return the headers of a run that is gone on with: what it keeps has no values."""
    if hidden(given) != kept:
        names = ", ".join(text.partition(":")[0] for text in kept) or "none"
        raise ValueError(f"expected each --header that the run was begun with: {names}")
    return given


def _cores(server: str, generator: str) -> "Cores":
    from loadtest.host.cores import Cores, parse_cores

    if not server and not generator:
        return Cores.halves()
    if not server or not generator:
        raise ValueError("expected --server-cores and --load-cores, got one of them")
    return Cores(parse_cores(server), parse_cores(generator))


def _workers(text: str) -> list[tuple[int, int]]:
    """Return numbers, each with 1 where it is to be taken for each core, else 0."""
    read = whole_number(1, 1024)
    return [(read(part.removesuffix("x")), int(part.endswith("x"))) for part in text.split(",")]


def _connections(text: str) -> list[int]:
    return sorted(set(map(whole_number(1, 10**7), text.split(","))))


def _shares(text: str) -> list[int]:
    return sorted(set(map(whole_number(1, 100), text.split(","))))
