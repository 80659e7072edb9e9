"""python -m loadtest report."""

import argparse
from pathlib import Path
from typing import Any

from loadtest.cli.common import INTERRUPTED, UNDECIDED, add, statuses
from loadtest.cli.gate import add_gate, parsed_rules, worst
from loadtest.host.parser import Parser

_EPILOG = """\
examples:
  python -m loadtest report results/2026-11-23T12-00-00Z
  python -m loadtest report results/before results/after --out both
  python -m loadtest report results/after --baseline results/before \\
      --fail-if 'uvloop wait cpu +20%' --fail-if 'gevent wait rate -10%'

Runs that differ in scenarios, connections, rate, duration, paths, headers or machine are refused.
Commit and versions may differ.

""" + statuses(
    {
        0: "the report is written, and no rule is broken",
        1: "no cell has a figure, or a rule is broken",
        2: "usage error: a bundle is missing or cannot be read (the others are drawn all the\n"
        "       same), runs differ too much, or a rule matches no cell of the run",
    }
    | UNDECIDED
    | INTERRUPTED
)


def add_report(commands: Any) -> None:
    """Add the command."""
    parser = add(
        commands,
        "report",
        _report,
        help="draw bundles again, side by side, and judge them against a baseline",
        description="Write one HTML page, which needs no network, and Markdown from bundles.",
        epilog=_EPILOG,
    )
    parser.add_argument("bundles", metavar="BUNDLE", nargs="+", type=Path, help="folder of a run")
    parser.add_argument(
        "--out",
        metavar="FOLDER",
        type=Path,
        help="(default: the bundle; of several, a new folder beside the last)",
    )
    parser.add_argument(
        "--allow-different", action="store_true", help="compare runs although they differ"
    )
    parser.add_argument(  # the old name, for one release
        "--anyway", action="store_true", dest="allow_different", help=argparse.SUPPRESS
    )
    add_gate(parser)


def _report(parser: Parser, arguments: argparse.Namespace) -> int:
    from loadtest.bundle.read import BundleError
    from loadtest.report.command import report
    from loadtest.report.judging import judge, refuse_before_report

    rules, allow_different = parsed_rules(parser, arguments), arguments.allow_different
    run, baseline = arguments.bundles[-1], arguments.baseline
    out = arguments.out
    try:
        judged = refuse_before_report(run, baseline, rules, allow_different) if rules else {}
        status = report(arguments.bundles, out, allow_different)
    except (BundleError, ValueError) as error:  # its text says what was expected and what was got
        parser.error(str(error))
    except KeyboardInterrupt:  # only the drawing is lost
        return 130
    except OSError as error:  # no such place, or no permission
        parser.error(f"expected a folder to write to, got {out or run}: {error.strerror}")
    return worst(status, judge(judged, rules)) if rules else status
