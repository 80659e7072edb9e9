"""What all commands share."""

import argparse
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from loadtest.host.machine import new_folder
from loadtest.host.parser import Parser, program
from loadtest.measure.verdict import VERDICTS

_ALWAYS = {2: "usage error"}
UNDECIDED = {4: "no --fail-if rule is broken, but noise leaves at least one undecided"}
INTERRUPTED = {130: "Ctrl-C; all finished measurements are kept"}


def statuses(meanings: Mapping[int, str]) -> str:
    """Return what a command's exit statuses mean, for the end of its help."""
    rows = sorted((_ALWAYS | dict(meanings)).items())
    return "exit status:\n" + "".join(f"  {status:3}  {means}\n" for status, means in rows)


def verdicts_and_statuses(meanings: Mapping[int, str]) -> str:
    """Return what verdicts and exit statuses mean, for the help of a command that measures."""
    rows = "".join(f"  {name:18}  {means}\n" for name, means in VERDICTS.items())
    return f"verdicts:\n{rows}\n{statuses(dict(meanings) | INTERRUPTED)}"


Run = Callable[[Parser, argparse.Namespace], int]


def add(commands: Any, name: str, run: Run, **texts: str) -> Parser:
    """Add a command and return its parser."""
    parser: Parser = commands.add_parser(
        name,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        **{key: text.replace("python -m loadtest", program()) for key, text in texts.items()},
    )
    parser.set_defaults(run=run, parser=parser)
    return parser


def add_out(parser: Parser) -> None:
    """Add the flag for the folder of the results."""
    parser.option("--out", "FOLDER", "results", Path, "folder in which the run's folder is made")


def default_scenario(target: str | None) -> str:
    """Return the scenario for a server if the user names none; for a target, one it must know."""
    if target is None:
        return "hello"
    return "echo" if target.startswith("tcp://") else "get"


def folder_for(parser: Parser, arguments: argparse.Namespace, suffix: str) -> Path:
    """Make the folder of a new run and return it, absolute: child processes run elsewhere."""
    try:
        return new_folder(arguments.out.absolute(), suffix)
    except OSError as error:  # no such place, or no permission
        parser.error(f"expected a folder to write to, got --out {arguments.out}: {error.strerror}")
