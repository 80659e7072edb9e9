"""The folder of a run: enough to compute every number again, and to say what it was run on."""

from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from loadtest.cell import Cores, Measurement
from loadtest.machine import described, write_json
from loadtest.result import Result

_PACKAGES = ("locust", "gevent", "greenlet", "uvloop", "httptools", "prometheus-client")


def write_run(folder: Path, options: Mapping[str, Any], cores: Cores) -> None:
    """Write down the command and the machine, as the kernel describes it."""
    content = described("loadtest", options, _PACKAGES) | {"cores": asdict(cores)}
    write_json(folder / "run.json", content)


def write_cell(folder: Path, result: Result, measured: Measurement) -> None:
    """Write a cell's numbers and, apart, the raw values they were computed from."""
    raw = asdict(measured)
    write_json(folder / "service_times_ms.json", raw.pop("service_times_ms"))
    write_json(folder / "cell.json", asdict(result) | {"raw": raw})
