"""python -m loadtest report, and dashboard: what they take."""

import argparse
from pathlib import Path
from typing import Any

from loadtest.cli.common import INTERRUPTED, UNDECIDED, add, statuses
from loadtest.cli.flags import Parser, whole_number

_REPORT_EPILOG = """\
examples:
  python -m loadtest report results/2026-11-23T12-00-00Z
  python -m loadtest report results/before results/after --out both
  python -m loadtest report results/after --baseline results/before \\
      --fail-if 'uvloop wait cpu +20%' --fail-if 'gevent wait rate -10%'

Runs unlike in scenarios, connections, rate, duration, paths, headers or machine are refused; commit
and versions may differ.

""" + statuses(
    {
        0: "the bundles are drawn, and no rule is broken",
        1: "no cell has a figure, or a rule is broken",
        2: "asked for what there is not: a bundle that is missing or cannot be read (others\n"
        "       are drawn all the same), unlike runs, or a rule about no cell of the run",
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
        description="Draw bundles as one page that needs no network, and as Markdown.",
        epilog=_REPORT_EPILOG,
    )
    parser.add_argument("bundles", metavar="BUNDLE", nargs="+", type=Path, help="folder of a run")
    parser.add_argument(
        "--out",
        metavar="FOLDER",
        type=Path,
        help="(default: the bundle; of several, a new one beside the last)",
    )
    parser.add_argument("--anyway", action="store_true", help="compare runs that are unlike")
    add_gate(parser)


def add_gate(parser: Parser) -> None:
    """Add what a gate for CI needs."""
    parser.add_argument("--baseline", metavar="BUNDLE", type=Path, help="what is compared to")
    parser.add_argument(
        "--fail-if", metavar="RULE", action="append", default=[],
        help="'MODEL SCENARIO METRIC [CONNECTIONS] +N%%': exit with 1 if worse by more than that,"
        " with 4 if the noise hides it",
    )  # fmt: skip


def worst(*statuses: int) -> int:
    """Return the exit status of several: interrupted, broken or not run, missing, undecided."""
    return next((status for status in (130, 1, 2, 4) if status in statuses), 0)


def parsed_rules(parser: Parser, arguments: argparse.Namespace) -> list[Any]:
    """Return the rules given; before anything is run, so that a mistake costs nothing."""
    from loadtest.analysis.gate import Rule

    if bool(arguments.baseline) != bool(arguments.fail_if):
        parser.error("expected --baseline and --fail-if together, got one of them")
    try:
        return [Rule.parse(text) for text in arguments.fail_if]
    except ValueError as error:  # it says what was expected and what was got
        parser.error(str(error))


def _report(parser: Parser, arguments: argparse.Namespace) -> int:
    from loadtest.bundle.read import BundleError
    from loadtest.report.command import report
    from loadtest.report.judging import judge, refuse_before_report

    rules, anyway = parsed_rules(parser, arguments), arguments.anyway
    run, baseline = arguments.bundles[-1], arguments.baseline
    out = arguments.out
    try:
        judged = refuse_before_report(run, baseline, rules, anyway) if rules else {}
        status = report(arguments.bundles, out, anyway)
    except (BundleError, ValueError) as error:  # it says what was expected and what was got
        parser.error(str(error))
    except KeyboardInterrupt:  # nothing is lost but the drawing
        return 130
    except OSError as error:  # no such place, or not ours to write to
        parser.error(f"expected a folder to write to, got {out or run}: {error.strerror}")
    return worst(status, judge(judged, rules)) if rules else status


def add_dashboard(commands: Any) -> None:
    """Add the command."""
    parser = add(
        commands,
        "dashboard",
        _dashboard,
        help="all runs, in a browser, also while they happen",
        description="Serve the runs in a folder: a list, each by itself, any of them together.",
        epilog="On the machine that measures it costs a little of what is measured: look from\n"
        "time to time, or afterwards.\n\n"
        + statuses({0: "ended with Ctrl-C", 3: "the address cannot be listened on"}),
    )
    option = parser.option
    option("--results", "FOLDER", "results", Path, "where the bundles are")
    option("--bind", "ADDRESS", "127.0.0.1", str, "whom to listen to; this machine alone")
    option("--port", "N", "8090", whole_number(0, 65535), "0 picks a free one")


def _dashboard(parser: Parser, arguments: argparse.Namespace) -> int:
    from loadtest.dashboard.server import serve

    try:
        found = arguments.results.is_dir()
    except OSError:  # its name is too long, or not ours to look at
        found = False
    if not found:
        parser.error(f"expected a folder with bundles, got --results {arguments.results}")
    return serve(arguments.results, arguments.bind, arguments.port)
