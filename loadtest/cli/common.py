"""What all commands share."""

import argparse
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from loadtest.cli.flags import Parser, program
from loadtest.host.machine import new_folder
from loadtest.measure.verdict import VERDICTS

_ALWAYS = {2: "asked for what there is not"}
UNDECIDED = {4: "no --fail-if rule is broken, but the noise hides whether one is"}
INTERRUPTED = {130: "Ctrl-C, which loses nothing that has been measured"}


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
    """Add where the results go."""
    parser.option("--out", "FOLDER", "results", Path, "where a folder for the results is made")


def default_scenario(target: str | None) -> str:
    """Return what a server is asked where it is not said: of one that is not ours, any path."""
    if target is None:
        return "hello"
    return "echo" if target.startswith("tcp://") else "get"


def folder_for(parser: Parser, arguments: argparse.Namespace, suffix: str) -> Path:
    """Make the folder of a new run and return it, absolute: what we start runs elsewhere."""
    try:
        return new_folder(arguments.out.absolute(), suffix)
    except OSError as error:  # no such place, or not ours to write to
        parser.error(f"expected a folder to write to, got --out {arguments.out}: {error.strerror}")
