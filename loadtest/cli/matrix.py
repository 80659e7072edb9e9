"""Read the arguments of ``compare`` into a plan, or refuse them."""

import argparse
import re
from typing import TYPE_CHECKING

from loadtest.cli.common import default_scenario
from loadtest.cli.http_options import check_request
from loadtest.client.request import hidden
from loadtest.host.descriptors import connections_max
from servers.registry import MODELS

if TYPE_CHECKING:
    from loadtest.bundle.plan import Matrix
    from loadtest.host.cores import Cores
    from loadtest.running.target import Target

DEFAULT_SCENARIOS = ("hello", "wait", "connect", "cpu")
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._]{0,39}")


def matrix_of(
    arguments: argparse.Namespace, targets: "dict[str, Target]", cores: "Cores"
) -> "Matrix":
    """Return what the arguments ask for.

    Raises:
        ValueError: It cannot be run; says what was expected and what was got.
    """
    from loadtest.bundle.plan import Matrix

    models = arguments.models or ([] if targets else list(MODELS))
    if arguments.scenarios is None:
        arguments.scenarios = _default_scenarios(targets)
    path = check_request(arguments.scenarios, arguments.path, arguments.headers, None)
    # --path goes to the targets whose URL has no path; where each has one, it would go to none.
    all_have_paths = bool(targets) and all(target.path for target in targets.values())
    for target in targets.values():
        target.path_with(arguments.path if all_have_paths else None, arguments.scenarios)
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
        raise ValueError(
            f"expected --connections up to {room} (the descriptor limit of a process that makes"
            f" load), got {max(matrix.connections)}"
        )
    _check_contenders(matrix, targets)
    if not matrix.cells():
        raise ValueError(
            "expected cells, got none: more --connections, or --flat-out-all for"
            f" {','.join(matrix.scenarios)}"
        )
    return matrix


def _default_scenarios(targets: "dict[str, Target]") -> list[str]:
    """Return the scenarios that every contender serves; a target lacks our routes."""
    if not targets:
        return [*DEFAULT_SCENARIOS]
    return list(dict.fromkeys(default_scenario(target.host) for target in targets.values()))


def _check_contenders(matrix: "Matrix", targets: "dict[str, Target]") -> None:
    for name, target in targets.items():
        if name in MODELS:
            raise ValueError(f"expected another name for a target: {name!r} is the name of a model")
        if unfit := [s for s in matrix.scenarios if (s == "echo") == target.speaks_http]:
            raise ValueError(
                f"expected {'tcp' if target.speaks_http else 'http'}://HOST:PORT for the scenario"
                f" {unfit[0]}, got {name}={target.url}; choose with --scenarios"
            )
    if matrix.distant and matrix.models:
        raise ValueError(
            "expected only --target with --locust-workers, got models, which only this machine"
            " can reach"
        )
    if "get" in matrix.scenarios and not targets:
        raise ValueError("expected a --target for the scenario get, got none")


def targets_of(texts: list[str]) -> "dict[str, Target]":
    """Return the servers in ``NAME=URL``, by name.

    Raises:
        ValueError: A text is not of that form, or nothing listens there.
    """
    from loadtest.running.target import Target

    targets = {}
    for text in texts:
        name, equals, url = text.partition("=")
        if not equals or not _NAME.fullmatch(name):
            raise ValueError(
                f"expected NAME=URL, NAME of letters, digits, dots and underscores, got {text!r}"
            )
        if name in targets:
            raise ValueError(f"expected each name once, got {name!r} again")
        targets[name] = Target.parse(url, name=name)
    return targets


def headers_again(kept: list[str], headers: list[str]) -> list[str]:
    """Return the headers for a run that is resumed: its bundle keeps no values of headers.

    Raises:
        ValueError: They are not the headers that the run began with.
    """
    if hidden(headers) != kept:
        names = ", ".join(text.partition(":")[0] for text in kept) or "none"
        raise ValueError(f"expected each --header that the run began with: {names}")
    return headers


def cores_of(server: str, generator: str) -> "Cores":
    """Return the cores of the server and of the generator; by default half of them each.

    Raises:
        ValueError: This process may not use them, or one of the two is missing.
    """
    from loadtest.host.cores import Cores, parse_cores

    if not server and not generator:
        return Cores.halves()
    if not server or not generator:
        raise ValueError("expected --server-cores and --load-cores, got one of them")
    return Cores(parse_cores(server), parse_cores(generator))
