"""Calibrate the generator: the lowest latency it can measure, and the highest rate it can make."""

import json
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from loadtest.bundle.calibration import Calibration
from loadtest.host.cores import Cores
from loadtest.host.files import require_space
from loadtest.measure.result import Result
from loadtest.running.cell import Interrupted, Load, run_target
from loadtest.running.processes import first_line, last_line, running
from loadtest.running.servers import READY_S, STOP_S
from loadtest.running.target import CellError, Target

FLOOR_HZ = 1000.0
CONNECTIONS = 64
WARMUP_S = 0.5
WINDOW_S = 1.5


@dataclass
class Served:
    """A proof server and its log, which is empty until the server has ended."""

    target: Target
    process: subprocess.Popen[str]
    log: dict[str, Any]


@contextmanager
def proof_server(mode: str, cores: Sequence[int], folder: Path) -> Iterator[Served]:
    """Run a proof server for the length of a block, and read its log afterwards."""
    path = folder / "proof.json"
    command = [sys.executable, "-m", "loadtest.selftest.proof_server", mode, str(path)]
    with running(command, cores, folder / "server.log") as process:
        port = first_line(process, READY_S).strip()
        if not port:
            raise CellError(f"the proof server is not ready: {last_line(folder / 'server.log')}")
        served = Served(Target(f"proof-{mode}", f"http://127.0.0.1:{port}"), process, {})
        yield served
        process.terminate()
        try:
            process.wait(STOP_S)
        except subprocess.TimeoutExpired as late:
            raise CellError(f"the proof server had not ended after {STOP_S:g} s") from late
        try:
            served.log.update(json.loads(path.read_text(encoding="ascii")))
        except (OSError, ValueError) as error:  # missing or cut short
            require_space(folder)
            why = last_line(folder / "server.log") or str(error)
            raise CellError(f"the proof server left no log: {why}") from error


def load(rate_hz: float, window_s: float, connections: int = CONNECTIONS) -> Load:
    """Return a load of plain requests."""
    return Load(
        scenario="hello", classes=("Hello",), connections=connections, rate_hz=rate_hz,
        warmup_s=WARMUP_S, window_s=window_s,
    )  # fmt: skip


def calibrate(
    cores: Cores, folder: Path, say: Callable[[str], None] = lambda stage: None
) -> Calibration:
    """Measure the floor and the ceiling, in about 6 s.

    Raises:
        CellError: A measurement failed.
    """
    results: list[Result] = []
    for name, rate_hz in (("floor", FLOOR_HZ), ("ceiling", 0.0)):
        say(name)
        cell = folder / name
        cell.mkdir(parents=True)
        with proof_server("plain", cores.server, cell) as served:
            try:
                result = run_target(
                    served.target, load(rate_hz, WINDOW_S), cores, cell, lambda _: None
                )
            except Interrupted as interrupt:  # half a window calibrates nothing
                raise KeyboardInterrupt from interrupt
            results.append(result)
    floor, ceiling = results
    if floor.main is None or ceiling.main is None or "service_time" not in floor.main.times:
        raise CellError(f"the calibration failed: {floor.verdict.why}")
    times = floor.main.times["service_time"]
    return Calibration(
        (times.p50_ms or 0.0) * 1000, (times.p99_ms or 0.0) * 1000, ceiling.main.rate_hz
    )
