"""python -m loadtest selftest."""

import argparse
from typing import Any

from loadtest.catalogue import PROOFS
from loadtest.cli.common import add, add_out, folder_for, statuses
from loadtest.host.parser import Parser
from loadtest.knobs import names


def add_selftest(commands: Any) -> None:
    """Add the command."""
    parser = add(
        commands,
        "selftest",
        _selftest,
        help="check the meter against known faults",
        description="Measure known freezes, delays, wrong replies and CPU starvation, and compare.",
        epilog="Takes about two minutes.\n\n"
        + statuses(
            {0: "every proof holds", 1: "a proof fails or could not be run", 130: "Ctrl-C"},
        ),
    )
    parser.option("--only", "A,B", ",".join(PROOFS), names("proof", PROOFS), "proofs to run")
    add_out(parser)


def _selftest(parser: Parser, arguments: argparse.Namespace) -> int:
    from loadtest.selftest.command import selftest

    return selftest(arguments.only, folder_for(parser, arguments, "-selftest"))
