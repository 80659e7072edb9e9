"""python -m loadtest dashboard."""

import argparse
from pathlib import Path
from typing import Any

from loadtest.cli.common import add, statuses
from loadtest.host.parser import Parser
from loadtest.knobs import whole_number


def add_dashboard(commands: Any) -> None:
    """Add the command."""
    parser = add(
        commands,
        "dashboard",
        _dashboard,
        help="all runs in a browser, live",
        description="Serve the runs in a folder: a list, each run's page, and any runs side by"
        " side.",
        epilog="On the machine that measures, each page view disturbs the measurement a little:\n"
        "open it rarely, or afterwards.\n\n"
        + statuses(
            {
                0: "ended with Ctrl-C",
                3: "the server cannot listen on the address",
                130: "Ctrl-C before the server listens",
            }
        ),
    )
    option = parser.option
    option("--results", "FOLDER", "results", Path, "folder with the bundles")
    option("--bind", "ADDRESS", "127.0.0.1", str, "address to listen on")
    option("--port", "N", "8090", whole_number(0, 65535), "port to listen on; 0 picks a free one")


def _dashboard(parser: Parser, arguments: argparse.Namespace) -> int:
    from loadtest.dashboard.server import serve

    try:
        is_folder = arguments.results.is_dir()
    except OSError:  # its name is too long, or it may not be read
        is_folder = False
    if not is_folder:
        parser.error(f"expected a folder with bundles, got --results {arguments.results}")
    return serve(arguments.results, arguments.bind, arguments.port)
