"""python -m loadtest run."""

import argparse
from typing import Any

from loadtest.catalogue import SCENARIOS
from loadtest.cli.common import (
    add,
    add_out,
    default_scenario,
    folder_for,
    verdicts_and_statuses,
)
from loadtest.cli.http_options import add_request, check_request
from loadtest.client.load_spec import LoadSpec
from loadtest.host.descriptors import connections_max
from loadtest.host.parser import Parser
from loadtest.knobs import knobs_of, number, one_of, text_of, whole_number
from loadtest.measure.verdict import SPOILT
from servers.registry import MODELS

_EPILOG = (
    """\
examples:
  python -m loadtest run gevent --scenario wait --rate 1000 --connections 100
  python -m loadtest run uvloop --scenario hello --connections 64            (flat out)
  python -m loadtest run --target http://host:8000/x --scenario get --rate 500 --pid 4711
  python -m loadtest run --target http://host:8000 --scenario get --path /x --header 'A: b'
  python -m loadtest run threaded --find-capacity p99=50ms --connections 100

scenarios:
"""
    + "".join(f"  {name:8} {entry.reveals}\n" for name, entry in SCENARIOS.items())
    + "\n"
    + verdicts_and_statuses(
        {
            0: "the cell or search has a figure, whatever its verdict",
            1: f"it has none ({', '.join(sorted(SPOILT))}; a search: at every rate),\n"
            "       or could not be run",
        }
    )
)


_KNOBS = {
    "warmup_s": "at the full rate, before the window",
    "arrivals": "constant or poisson",
    "deadline_s": "later requests are dropped and counted; silence for 30 s, or this if longer, is"
    " an error",
    "echo_bytes": "length of an echoed message",
}
"""Knobs of a load that are flags here, too, with this help."""

_WARMUP_S = 1.0
"""As ``compare`` has it; Locust's own flag has 2 s."""


def add_run(commands: Any) -> None:
    """Add the command."""
    parser = add(
        commands,
        "run",
        _run,
        help="one load on one server, with a verdict",
        description="Put one load on a model, which is started for it, or on any server.",
        epilog=_EPILOG,
    )
    parser.add_argument(
        "model", metavar="MODEL", nargs="?", choices=list(MODELS), help=", ".join(MODELS)
    )
    option = parser.option
    parser.add_argument(
        "--target",
        metavar="URL",
        help="http://HOST:PORT[/PATH] or tcp://HOST:PORT, instead of a model",
    )
    parser.add_argument(
        "--pid", metavar="N", type=whole_number(1, 1 << 22), default=0,
        help="process of a target without /metrics: the kernel reports its CPU time",
    )  # fmt: skip
    parser.add_argument(
        "--scenario", metavar="NAME", type=one_of(SCENARIOS),
        help="what the clients do; see below (default: hello; of a --target get, of tcp:// echo)",
    )  # fmt: skip
    parser.add_argument(
        "--rate", metavar="N", type=number(0.01, 1e6), default=0.0,
        help="requests a second in all (default: flat out, each right after the last reply)",
    )  # fmt: skip
    parser.add_argument(
        "--find-capacity", metavar="P=T",
        help="search for the highest rate at which this objective holds, such as p99=50ms",
    )  # fmt: skip
    option("--connections", "N", "64", whole_number(1, 1_000_000), "clients at the same time")
    option("--duration", "S", "10", number(0.1, 86400), "length of the window")
    for knob in knobs_of(LoadSpec):
        if knob.field in _KNOBS:
            default = _WARMUP_S if knob.field == "warmup_s" else knob.default
            help_ = _KNOBS[knob.field]
            option(f"--{knob.flag}", knob.metavar, text_of(default), knob.read, help_)
    option("--processes", "N", "1", whole_number(1, 256), "processes that generate the load")
    add_request(parser)
    add_out(parser)


def _run(parser: Parser, arguments: argparse.Namespace) -> int:
    from loadtest.running.cell import Load
    from loadtest.running.objective import Objective
    from loadtest.running.run import Options, run
    from loadtest.running.target import Target

    if (arguments.model is None) == (arguments.target is None):
        parser.error("expected a MODEL or a --target, and not both")
    if arguments.scenario is None:
        arguments.scenario = default_scenario(arguments.target)
    entry = SCENARIOS[arguments.scenario]
    if arguments.connections < entry.connections_min:
        parser.error(
            f"expected --connections {entry.connections_min} or more for {arguments.scenario},"
            f" got {arguments.connections}"
        )
    # A model that we start is one process, with a descriptor limit of its own.
    room = connections_max(arguments.processes if arguments.target else 1)
    if arguments.connections > room:
        parser.error(
            f"expected --connections up to {room} (the descriptor limit of each process: there are"
            f" --processes {arguments.processes}, and 1 for a MODEL), got {arguments.connections}"
        )
    if arguments.find_capacity is not None and arguments.rate:
        parser.error("expected --rate or --find-capacity, and not both")
    try:
        find, url = arguments.find_capacity, arguments.target
        objective = None if find is None else Objective.parse(find)
        target = None if url is None else Target.parse(url, arguments.pid)
        path = check_request([arguments.scenario], arguments.path, arguments.headers, target)
    except ValueError as error:  # its text says what was expected and what was got
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
        window_s=arguments.duration,
        processes=arguments.processes,
        path=path,
        headers=tuple(arguments.headers),
        **{k.field: getattr(arguments, k.dest) for k in knobs_of(LoadSpec) if k.field in _KNOBS},
    )
    options = Options(arguments.model or "", target, load, objective)
    return run(options, folder_for(parser, arguments, "-run"))
