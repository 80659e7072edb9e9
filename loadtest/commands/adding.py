"""What all commands share."""

import argparse
from collections.abc import Callable
from pathlib import Path
from typing import Any

from loadtest.machine import new_folder
from loadtest.usage import Parser

EPILOG = """\
Exits with 0; with 1 where a cell could not be run; with 130 after Ctrl-C, which loses nothing
that has been measured; with 2 when asked for what there is not.
"""

Run = Callable[[Parser, argparse.Namespace], int]


def add(commands: Any, name: str, run: Run, **texts: str) -> Parser:
    """Add a command and return its parser."""
    parser: Parser = commands.add_parser(
        name, formatter_class=argparse.RawDescriptionHelpFormatter, **texts
    )
    parser.set_defaults(run=run, parser=parser)
    return parser


def add_out(parser: Parser) -> None:
    """Add where the results go."""
    parser.option("--out", "FOLDER", "results", Path, "where a folder for the results is made")


def folder_for(parser: Parser, arguments: argparse.Namespace, suffix: str) -> Path:
    """Make the folder of a new run and return it, absolute: what we start runs elsewhere."""
    try:
        return new_folder(arguments.out.absolute(), suffix)
    except OSError as error:  # no such place, or not ours to write to
        parser.error(f"expected a folder to write to, got --out {arguments.out}: {error.strerror}")
