"""What the command lines share: a parser with one-line errors, and readers for values."""

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
    """A parser whose errors take one line and point to the help."""

    def error(self, message: str) -> NoReturn:
        """Print one line with the error and the command for help; exit with 2."""
        self.exit(2, f"{self.prog}: {one_line(message)}; run: {self.prog} --help\n")

    def parse_known_args(self, args: Any = None, namespace: Any = None) -> Any:
        """Refuse arguments that are not UTF-8, except paths: a file may have any name."""
        known, unknown = super().parse_known_args(args, namespace)
        for name, value in vars(known).items():
            for text in value if isinstance(value, list) else [value]:
                if isinstance(text, str) and not _is_text(text):
                    self.error(f"expected UTF-8 for {name.replace('_', '-')}, got {text!r}")
        return known, unknown

    def option(
        self, flag: str, metavar: str, default: str, type_: Callable[[str], object], help_: str
    ) -> None:
        """Add a flag; its default is text, and is read like an argument."""
        self.add_argument(
            flag, metavar=metavar, default=default, type=type_, help=f"{help_} (default: {default})"
        )


def _is_text(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:  # a byte that is not UTF-8 (PEP 383)
        return False
    return True


def interruptible(command: Callable[[], int]) -> int:
    """Run a command and return its status: 130 after a Ctrl-C that it does not handle itself."""
    if callable(signal.getsignal(signal.SIGINT)):  # else a shell made it ignored
        signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        return command()
    except KeyboardInterrupt:  # nothing to keep yet
        return 130


def names(kind: str, known: Sequence[str]) -> Callable[[str], list[str]]:
    """Return a reader for ``a,b``: known names, each kept once."""

    def parse(text: str) -> list[str]:
        listed = text.split(",")
        if unknown := [name for name in listed if name not in known]:
            raise argparse.ArgumentTypeError(
                f"expected {kind}s out of {','.join(known)}, got {unknown[0]!r}"
            )
        return list(dict.fromkeys(listed))

    return parse


def checked(read: Callable[[str], str]) -> Callable[[str], str]:
    """Return a reader that turns a function's ValueError into a usage error."""

    def parse(text: str) -> str:
        try:
            return read(text)
        except ValueError as error:  # its text says what was expected and what was got
            raise argparse.ArgumentTypeError(str(error)) from error

    return parse


def one_of(known: Collection[str]) -> Callable[[str], str]:
    """Return a reader for one of some names."""

    def parse(text: str) -> str:
        if text not in known:
            raise argparse.ArgumentTypeError(f"expected one of {','.join(known)}, got {text!r}")
        return text

    return parse


def whole_number(least: int, most: int, why: str = "") -> Callable[[str], int]:
    """Return a reader for a whole number within bounds."""

    def parse(text: str) -> int:
        if not text.isascii() or not text.isdigit() or not least <= int(text) <= most:
            raise argparse.ArgumentTypeError(
                f"expected a whole number from {least} to {most}{why}, got {text!r}"
            )
        return int(text)

    return parse


def number(least: float, most: float) -> Callable[[str], float]:
    """Return a reader for a number within bounds."""

    def parse(text: str) -> float:
        try:
            value = float(text)
        except ValueError:  # not a number
            value = math.nan
        if not least <= value <= most:
            raise argparse.ArgumentTypeError(
                f"expected a number from {least:g} to {most:g}, got {text!r}"
            )
        return value

    return parse


def seconds(text: str) -> float:
    """Read the length of a window of the benchmark."""
    try:
        value = float(text)
    except ValueError:  # not a number
        value = -1.0
    if not 0.1 <= value <= 60:
        raise argparse.ArgumentTypeError(f"expected seconds from 0.1 to 60, got {text!r}")
    return value
