"""Bundles as ``compare`` writes them, of invented cells with known times and costs."""

import random
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from hdrh.histogram import HdrHistogram

from loadtest.bundle.plan import CellPlan, Matrix
from loadtest.bundle.state import FINISHED, State
from loadtest.bundle.write import write_cell
from loadtest.host.machine import write_json
from loadtest.measure.histogram import new_histogram
from loadtest.measure.observation import Observation, Plan

START_S = 1_700_000_000.0
LATENCIES = 300


@dataclass(frozen=True)
class Cell:
    """The numbers of a cell.

    Attributes:
        latency_ms: Median latency.
        cpu_us: CPU time of a request.
        rate_hz: Correct replies a second; 0: the rate asked for.
        server_busy: Share of the server's core; None: as ``cpu_us`` and ``rate_hz`` imply.
        generator_busy: Share of the generator's core.
    """

    latency_ms: float = 1.0
    cpu_us: float = 100.0
    rate_hz: float = 0.0
    server_busy: float | None = None
    generator_busy: float = 0.3
    memory_kib: float = 10.0
    conditions: tuple[tuple[str, float], ...] = (("backlog http", 2048.0),)


def matrix(**options: Any) -> Matrix:
    """Return a small matrix, by default of two models in one scenario."""
    defaults: dict[str, Any] = {
        "models": ["asyncio", "uvloop"], "scenarios": ["hello"], "connections": [10, 1000],
        "repeats": 3, "duration_s": 4.0, "warmup_s": 1.0, "loads": ["rate"],
    }  # fmt: skip
    return Matrix(**(defaults | options))


def noisy(cell: Cell, rng: random.Random, share: float = 0.02) -> Cell:
    """Return a cell with random deviations."""
    return replace(
        cell,
        latency_ms=cell.latency_ms * rng.lognormvariate(0, share),
        cpu_us=cell.cpu_us * rng.lognormvariate(0, share),
        rate_hz=cell.rate_hz * rng.lognormvariate(0, share),
        memory_kib=cell.memory_kib * rng.lognormvariate(0, share),
    )


def make_bundle(
    folder: Path,
    wanted: Matrix,
    cell_of: Callable[[CellPlan], Cell | None],
    state: str = FINISHED,
    seconds: int = 2,
    **about: Any,
) -> Path:
    """Write a bundle; cells without numbers (None) have not been run."""
    folder.mkdir(parents=True)
    plan = wanted.cells()
    write_json(folder / "run.json", _about(wanted) | about)
    write_json(folder / "cells.json", [asdict(cell) for cell in plan])
    done = 0
    for cell in plan:
        behaviour = cell_of(cell)
        if behaviour is not None:
            write(folder, wanted, cell, behaviour, seconds)
            done += 1
    State(state=state, done=done, total=len(plan)).write(folder)
    return folder


def write(folder: Path, wanted: Matrix, cell: CellPlan, behaviour: Cell, seconds: int = 2) -> None:
    """Write one cell into a bundle."""
    (folder / cell.name).mkdir()
    write_cell(folder / cell.name, observation(wanted, cell, behaviour, seconds))


def observation(wanted: Matrix, cell: CellPlan, behaviour: Cell, seconds: int = 2) -> Observation:
    """Return the observation that makes up a cell's numbers."""
    rate_wanted_hz = 0.0 if cell.load == "flat-out" else wanted.rate_for(cell.scenario, 10)
    rate_hz = behaviour.rate_hz or rate_wanted_hz
    busy = behaviour.server_busy
    cpu_s = (rate_hz * behaviour.cpu_us / 1e6 if busy is None else busy) * seconds
    memory = 20e6 + behaviour.memory_kib * 1024 * cell.connections
    marks = {
        "idle": _sample(0.0, 0.0, 0, 20e6),
        "open": _sample(0.0, 1.0, cell.connections, 0.0),
        "close": _sample(float(seconds), 1.0 + cpu_s, cell.connections, 0.0),
        "loaded": _sample(float(seconds), 1.0 + cpu_s, cell.connections, memory),
    }
    unused = dict.fromkeys(("cpu_user_s", "cpu_system_s", "waiting_s", "resident_bytes"), 0.0)
    usage = [
        unused | {"cpu_user_s": behaviour.generator_busy * at, "time_s": START_S + at}
        for at in range(seconds + 1)
    ]
    return Observation(
        plan=Plan(
            target=cell.contender, scenario=cell.scenario,
            result_class=cell.scenario.capitalize(), connections=cell.connections,
            rate_hz=rate_wanted_hz, warmup_s=wanted.warmup_s, window_s=float(seconds),
            server_cores=1, workers=1,
        ),
        established={cell.scenario.capitalize(): cell.connections},
        window_s=float(seconds),
        records=_records(cell, behaviour, rate_wanted_hz, rate_hz, seconds),
        usage={"local": {"open": usage[0], "close": usage[-1]}},
        seconds={"local": usage},
        samples=[*marks.values()],
        marks=marks,
        conditions=dict(behaviour.conditions),
    )  # fmt: skip


def _records(
    cell: CellPlan, behaviour: Cell, rate_wanted_hz: float, rate_hz: float, seconds: int
) -> list[dict[str, Any]]:
    """Return a record of every second, each with a histogram for every kind of time."""
    rng = random.Random(repr(cell))
    if rate_wanted_hz:
        medians_ms = {
            "latency": behaviour.latency_ms,
            "service_time": behaviour.latency_ms,
            "lateness": 0.1,
        }
        spread = 0.3
    else:  # flat out: every connection always waits for a reply
        medians_ms, spread = {"service_time": cell.connections / rate_hz * 1000}, 0.0
    return [
        {
            "class": cell.scenario.capitalize(), "phase": "window", "worker": "local",
            "from_s": START_S + second, "to_s": START_S + second + 1,
            "outside": {"requests": 0, "errors": {}},
            "inside": {
                "requests": round(rate_hz), "reply_bytes": 0, "errors": {},
                "dropped": max(0, round(rate_wanted_hz - rate_hz)),
                "histograms": {
                    kind: _times(rng, round(rate_hz), median_ms, spread).encode().decode()
                    for kind, median_ms in medians_ms.items()
                },
            },
        }
        for second in range(seconds)
    ]  # fmt: skip


def _times(rng: random.Random, count: int, median_ms: float, spread: float) -> HdrHistogram:
    histogram = new_histogram()
    each, rest = divmod(count, LATENCIES)
    for at in range(min(count, LATENCIES)):
        value_us = median_ms * 1000 * rng.lognormvariate(0, spread)
        histogram.record_value(max(1, round(value_us)), each + (at < rest))
    return histogram


def _sample(at_s: float, cpu_s: float, connections: int, memory: float) -> dict[str, Any]:
    server: Mapping[str, float] = {
        "cpu_user_s": cpu_s * 0.6, "cpu_system_s": cpu_s * 0.4, "context_switches": at_s * 100,
        "processes": 1.0, "threads": 1.0, "open_http": float(connections), "open_echo": 0.0,
        "requests_http": 0.0, "resident_bytes": 3e7,
    }  # fmt: skip
    if memory:
        server = {**server, "proportional_bytes": memory}
    return {"time_s": START_S + at_s, "kernel": {"RetransSegs": 0}, "server": server}


def _about(wanted: Matrix) -> dict[str, Any]:
    return {
        "command": ["python", "-m", "loadtest", "compare"],
        "options": asdict(wanted),
        "started": "2026-11-23T12:00:00+00:00",
        "commit": "0123456789abcdef",
        "versions": {"python": "3.11.7", "locust": "2.47.0"},
        "kernel": "6.1.0",
        "cpu": "A CPU",
        "memory_bytes": 24 * 2**30,
        "cores": {"server": [0], "generator": [1]},
        "limits": {"descriptors": [20000, 20000]},
        "generator": {"floor_p50_us": 100.0, "floor_p99_us": 500.0, "ceiling_hz": 80000.0},
    }
