"""python -m loadtest selftest, and doctor."""

import argparse
from typing import Any

from loadtest.catalogue import PROOFS
from loadtest.cli.common import add, add_out, folder_for, statuses
from loadtest.cli.flags import Parser, names


def add_selftest(commands: Any) -> None:
    """Add the command."""
    parser = add(
        commands,
        "selftest",
        _selftest,
        help="prove that the meter measures",
        description="Measure what is known, and compare: freezes, delays, wrong replies, hunger.",
        epilog="Takes some two minutes.\n\n"
        + statuses({0: "every proof holds", 1: "one fails, or could not be tried", 130: "Ctrl-C"}),
    )
    parser.option("--only", "A,B", ",".join(PROOFS), names("proof", PROOFS), "what to prove")
    add_out(parser)


def _selftest(parser: Parser, arguments: argparse.Namespace) -> int:
    from loadtest.selftest.command import selftest

    return selftest(arguments.only, folder_for(parser, arguments, "-selftest"))


def add_doctor(commands: Any) -> None:
    """Add the command."""
    add(
        commands,
        "doctor",
        _doctor,
        help="what of this machine would spoil a measurement",
        description="Look at the machine's limits: what is fine, what is not, and what mends it.",
        epilog=statuses({0: "all is fine", 1: "something is not"}),
    )


def _doctor(_parser: Parser, _arguments: argparse.Namespace) -> int:
    from loadtest.host.doctor import doctor

    return doctor()
