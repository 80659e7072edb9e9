"""Writes the folder of a run: the command, the machine, and every cell with its raw values."""

import logging
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from loadtest.host import tables, terminal
from loadtest.host.cores import Cores
from loadtest.host.machine import describe_run, host_path, write_json
from loadtest.host.safe_output import one_line
from loadtest.measure import observation
from loadtest.measure.observation import Observation
from loadtest.measure.result import Result, result_of
from loadtest.measure.table import cell_table

_log = logging.getLogger("loadtest")

PACKAGES = (
    "locust", "gevent", "greenlet", "hdrhistogram", "uvloop", "httptools", "prometheus-client",
)  # fmt: skip


def write_run(
    folder: Path, options: Mapping[str, Any], cores: Cores, calibration: Mapping[str, Any]
) -> None:
    """Write down the command, the machine, and what the generator can do on it."""
    content = describe_run("loadtest", options, PACKAGES)
    content |= {"cores": asdict(cores), "generator": dict(calibration)}
    write_json(folder / "run.json", content)


def write_cell(folder: Path, raw: Observation) -> Result:
    """Write an observation and, in another file, its numbers; return the numbers.

    Raises:
        OSError: It could not be written; then the folder has no part of it.
    """
    result = result_of(raw)
    try:
        observation.write(folder, raw)
        write_json(folder / "cell.json", asdict(result))
    except OSError:  # half a cell is useless
        observation.remove(folder)
        raise
    return result


def summarise(result: Result, folder: Path) -> None:
    """Print a cell's times on standard error: Locust's --json needs standard output.

    The verdict goes to Locust's log, so that the page's Logs tab shows it, too.
    """
    tables.print_tables(terminal.console(stderr=True), cell_table(result))
    verdict = result.verdict
    _log.info("verdict: %s: %s", verdict.name, one_line(verdict.why))
    _log.info("raw results: %s", one_line(str(host_path(folder))))
