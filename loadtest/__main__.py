"""The command line: python -m loadtest compare, report, dashboard, run, selftest, doctor."""

import _signal  # type: ignore[import-not-found]  # signal would import enum first
import os

if __name__ == "__main__" and _signal.getsignal(_signal.SIGINT) is _signal.default_int_handler:
    # Before all other imports: a Ctrl-C meanwhile prints no traceback. main() takes over.
    _signal.signal(_signal.SIGINT, lambda *_: os._exit(130))

import sys
from collections.abc import Sequence

from loadtest.cli.compare import add_compare
from loadtest.cli.dashboard import add_dashboard
from loadtest.cli.doctor import add_doctor
from loadtest.cli.report import add_report
from loadtest.cli.run import add_run
from loadtest.cli.selftest import add_selftest
from loadtest.host import safe_output
from loadtest.host.files import is_disk_error, os_error_text
from loadtest.host.parser import Parser, interruptible, program


def main(argv: Sequence[str] | None = None) -> int:
    """Run a command and return its exit status."""
    safe_output.install()
    return interruptible(lambda: _run(new_parser(), argv))


def _run(parser: Parser, argv: Sequence[str] | None) -> int:
    arguments = parser.parse_args(argv)
    try:
        status: int = arguments.run(arguments.parser, arguments)
    except ModuleNotFoundError as missing:  # the extra is not installed
        parser.error(
            f"expected the extra 'load', got no {missing.name}; run: pip install '.[load]'"
        )
    except OSError as error:
        if not is_disk_error(error):
            raise
        parser.exit(1, f"{parser.prog}: {safe_output.one_line(os_error_text(error))}\n")
    return status


def new_parser() -> Parser:
    """Return the parser of the command line."""
    parser = Parser(
        prog=program(),
        description="Put the same load on every model, and compare.",
    )
    commands = parser.add_subparsers(metavar="COMMAND", required=True)
    for add in (add_compare, add_report, add_dashboard, add_run, add_selftest, add_doctor):
        add(commands)
    return parser


if __name__ == "__main__":
    sys.exit(main())
