"""What the command lines share: a parser with one-line errors, and Ctrl-C before any work."""

import argparse
import signal
import sys
from collections.abc import Callable
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
