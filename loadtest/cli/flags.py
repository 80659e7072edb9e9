"""What the command lines of this package share: how they read, and how they say no."""

import argparse
import math
import signal
import sys
from collections.abc import Callable, Collection, Sequence
from pathlib import Path
from typing import Any, NoReturn

from loadtest.host.safe_output import one_line


def program() -> str:
    """Return what the command was called as: its console script, or else a module."""
    name = Path(sys.argv[0]).name
    return name if name == "concurrency-loadtest" else "python -m loadtest"


class Parser(argparse.ArgumentParser):
    """A parser whose complaint is one line that shows the way out."""

    def error(self, message: str) -> NoReturn:
        """Say in one line what was wrong and where the way out is; exit with 2."""
        self.exit(2, f"{self.prog}: {one_line(message)}; run: {self.prog} --help\n")

    def parse_known_args(self, args: Any = None, namespace: Any = None) -> Any:
        """Refuse what is no text at all, unless it names a file: those may have any name."""
        known, unknown = super().parse_known_args(args, namespace)
        for name, value in vars(known).items():
            for text in value if isinstance(value, list) else [value]:
                if isinstance(text, str) and not _is_text(text):
                    self.error(f"expected UTF-8 for {name.replace('_', '-')}, got {text!r}")
        return known, unknown

    def option(
        self, flag: str, metavar: str, default: str, type_: Callable[[str], object], help_: str
    ) -> None:
        """Add a flag whose default is read as what is given would be."""
        self.add_argument(
            flag, metavar=metavar, default=default, type=type_, help=f"{help_} (default: {default})"
        )


def _is_text(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:  # a byte of the command line that is no UTF-8 (PEP 383)
        return False
    return True


def interruptible(command: Callable[[], int]) -> int:
    """Run a command and return its status: 130 after a Ctrl-C that it does not answer itself."""
    if callable(signal.getsignal(signal.SIGINT)):  # else a shell has it ignored
        signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        return command()
    except KeyboardInterrupt:  # there was nothing to keep yet
        return 130


def names(kind: str, known: Sequence[str]) -> Callable[[str], list[str]]:
    """Return what reads ``a,b``: each known, and once."""

    def parse(text: str) -> list[str]:
        given = text.split(",")
        if unknown := [name for name in given if name not in known]:
            raise argparse.ArgumentTypeError(
                f"expected {kind}s out of {','.join(known)}, got {unknown[0]!r}"
            )
        return list(dict.fromkeys(given))

    return parse


def checked(read: Callable[[str], str]) -> Callable[[str], str]:
    """Return what reads with a function that says in a ValueError what it expected."""

    def parse(text: str) -> str:
        try:
            return read(text)
        except ValueError as error:  # it says what was expected and what was got
            raise argparse.ArgumentTypeError(str(error)) from error

    return parse


def one_of(known: Collection[str]) -> Callable[[str], str]:
    """Return what reads one of some names."""

    def parse(text: str) -> str:
        if text not in known:
            raise argparse.ArgumentTypeError(f"expected one of {','.join(known)}, got {text!r}")
        return text

    return parse


def whole_number(least: int, most: int, why: str = "") -> Callable[[str], int]:
    """Return what reads a whole number within bounds."""

    def parse(text: str) -> int:
        if not text.isascii() or not text.isdigit() or not least <= int(text) <= most:
            raise argparse.ArgumentTypeError(
                f"expected a whole number from {least} to {most}{why}, got {text!r}"
            )
        return int(text)

    return parse


def number(least: float, most: float) -> Callable[[str], float]:
    """Return what reads a number within bounds."""

    def parse(text: str) -> float:
        try:
            value = float(text)
        except ValueError:  # no number at all
            value = math.nan
        if not least <= value <= most:
            raise argparse.ArgumentTypeError(
                f"expected a number from {least:g} to {most:g}, got {text!r}"
            )
        return value

    return parse


def seconds(text: str) -> float:
    """Read the length of a window."""
    try:
        value = float(text)
    except ValueError:  # not a number at all
        value = -1.0
    if not 0.1 <= value <= 60:
        raise argparse.ArgumentTypeError(f"expected seconds from 0.1 to 60, got {text!r}")
    return value
