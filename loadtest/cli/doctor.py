"""python -m loadtest doctor."""

import argparse
from typing import Any

from loadtest.cli.common import add, statuses
from loadtest.host.parser import Parser


def add_doctor(commands: Any) -> None:
    """Add the command."""
    add(
        commands,
        "doctor",
        _doctor,
        help="check the machine for limits that would spoil a measurement",
        description="Check the machine's limits, and name the fix for each that is too low.",
        epilog=statuses({0: "every check passed", 1: "a check failed", 130: "Ctrl-C"}),
    )


def _doctor(_parser: Parser, _arguments: argparse.Namespace) -> int:
    from loadtest.host.doctor import doctor

    return doctor()
