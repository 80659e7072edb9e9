"""The flags of a gate for CI, as ``report`` and ``compare`` take them."""

import argparse
from pathlib import Path
from typing import Any

from loadtest.host.parser import Parser


def add_gate(parser: Parser) -> None:
    """Add the flags that judge a run against a baseline."""
    parser.add_argument("--baseline", metavar="BUNDLE", type=Path, help="run to judge against")
    parser.add_argument(
        "--fail-if", metavar="RULE", action="append", default=[],
        help="'MODEL SCENARIO METRIC [CONNECTIONS] +N%%': exit with 1 if worse by more than that,"
        " with 4 if noise leaves it undecided",
    )  # fmt: skip


def parsed_rules(parser: Parser, arguments: argparse.Namespace) -> list[Any]:
    """Return the --fail-if rules; called before anything runs, so that a mistake costs nothing."""
    from loadtest.analysis.gate import Rule

    if bool(arguments.baseline) != bool(arguments.fail_if):
        parser.error("expected --baseline and --fail-if together, got one of them")
    try:
        return [Rule.parse(text) for text in arguments.fail_if]
    except ValueError as error:  # its text says what was expected and what was got
        parser.error(str(error))


def worst(*statuses: int) -> int:
    """Return the most serious exit status: interrupted, broken or not run, missing, undecided."""
    return next((status for status in (130, 1, 2, 4) if status in statuses), 0)
