"""Time lanes of one cell: client and server, second by second, on one time axis."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
from hdrh.histogram import HdrHistogram

from loadtest.analysis.groups import Group
from loadtest.analysis.metrics import METRICS
from loadtest.analysis.times import intervals
from loadtest.bundle.plan import FLAT_OUT, CellPlan
from loadtest.bundle.read import BundleError, shortened
from loadtest.measure.histogram import VALUES_S, new_histogram, recorded
from loadtest.measure.observation import Observation
from loadtest.measure.wording import counted
from loadtest.report.chart import Chart, ChartBuilder, Trace, axis, load_name

COLUMNS_MAX = 240
"""Width of the heat map; in a longer cell one column spans several seconds."""

ROWS_PER_DECADE = 10

SPAN_MIN_S = 0.1
"""Samples closer together are skipped: CPU time advances in steps."""


@dataclass
class _Column:
    """A column of the heat map: its span in seconds of the window, and its times."""

    from_s: float
    to_s: float
    histogram: HdrHistogram


def lanes_chart(builder: ChartBuilder, group: Group) -> Chart:
    """Return the time lanes of a group's median repeat.

    Raises:
        BundleError: Its observation or its log cannot be read.
    """
    key, repeat = group.key, _middle(group)
    plan = CellPlan(key.scenario, key.connections, key.load, key.contender, repeat)
    folder = builder.groups.bundles[key.run].folder / plan.name
    observation, result = _read(folder / "observation.json"), group.results[repeat]
    kind = "service_time" if key.load == FLAT_OUT else "latency"
    try:
        start_s = float(observation.marks["open"]["time_s"])
        traces = [
            _heat_map(
                builder, group, _columns(folder / f"{kind}.hlog", result.result_class, start_s)
            ),
            *_clients(builder, group, observation, start_s),
            *_servers(builder, group, observation, start_s),
        ]
    except (KeyError, TypeError, IndexError) as error:  # from another version or another tool
        raise BundleError(
            f"expected an observation, got {folder}: {type(error).__name__}: {error}"
        ) from error
    name = kind.replace("_", " ")
    return Chart(
        "lanes",
        f"Time lanes of {builder.label(key.contender, key.run)}: {key.scenario},"
        f" {counted(key.connections, 'connection')}, {load_name(key.load)}, repeat {repeat}",
        "From top to bottom, second by second: the distribution of latency (darker: more replies),"
        " replies, cores used by server and generator, and open connections. A gap or stripe in"
        " all lanes comes from the machine; one in a single lane comes from that lane's owner.",
        [trace for trace in traces if trace],
        {
            "xaxis": axis(
                "seconds of the window", anchor="y4", range=[-0.1, result.window_s + 0.1]
            ),
            "yaxis": axis(f"{name}, ms", log=True, domain=[0.58, 1.0]),
            "yaxis2": axis("replies/s", domain=[0.39, 0.54]),
            "yaxis3": axis("cores", domain=[0.2, 0.35]),
            "yaxis4": axis("open", domain=[0.0, 0.16]),
            "tall": True,
        },
        {"x": "seconds", "y": "value", "z": "requests"},
    )


def _middle(group: Group) -> int:
    """Return the repeat with the median p99, or the median throughput."""
    metric = METRICS["rate" if group.key.load == FLAT_OUT else "p99"]
    order = sorted(group.results, key=lambda repeat: metric.value_of(group.results[repeat]) or 0.0)
    return order[len(order) // 2]


def _read(path: Path) -> Observation:
    try:
        return msgspec.json.decode(path.read_bytes(), type=Observation)
    except (OSError, ValueError) as error:  # not there, cut off, or of another version
        raise BundleError(
            f"expected an observation, got {path}: {shortened(str(error))}"
        ) from error


def _columns(log: Path, class_: str, start_s: float) -> list[_Column]:
    """Return the columns of the heat map in the order of time."""
    columns: dict[int, _Column] = {}
    for interval in intervals(log, class_):
        # Processes report on the full second, each a little late.
        at = round((interval.to_s - start_s) * 2)
        column = columns.setdefault(at, _Column(interval.from_s - start_s, 0.0, new_histogram()))
        column.from_s = min(column.from_s, interval.from_s - start_s)
        column.to_s = max(column.to_s, interval.to_s - start_s)
        column.histogram.add(interval.histogram)
    in_order = [columns[at] for at in sorted(columns)]
    wide = -(-len(in_order) // COLUMNS_MAX)
    return [_joined(in_order[at : at + wide]) for at in range(0, len(in_order), wide or 1)]


def _joined(columns: Sequence[_Column]) -> _Column:
    for other in columns[1:]:
        columns[0].histogram.add(other.histogram)
    columns[0].to_s = columns[-1].to_s
    return columns[0]


def _heat_map(builder: ChartBuilder, group: Group, columns: Sequence[_Column]) -> dict[str, Any]:
    counts_ms = [
        [(VALUES_S[index] * 1000, count) for index, count in recorded(column.histogram)]
        for column in columns
    ]
    values_ms = [value for counts in counts_ms for value, _ in counts if value > 0]
    if not values_ms:
        return {}
    low, high = (np.floor(np.log10(min(values_ms))), np.ceil(np.log10(max(values_ms))))
    steps = max(1, round((high - low) * ROWS_PER_DECADE))
    edges = np.logspace(low, high, steps + 1)
    z = np.zeros((steps, len(columns)))
    for at, counts in enumerate(counts_ms):
        for value, count in counts:
            row = int(np.clip(np.searchsorted(edges, value, "right") - 1, 0, steps - 1))
            z[row, at] += count
    key = group.key
    return builder.trace(
        key.contender, key.run, "latency", type="heatmap",
        x=[round(edge, 3) for edge in (*(c.from_s for c in columns), columns[-1].to_s)],
        y=[float(f"{edge:.4g}") for edge in edges],
        z=[[int(n) or None for n in row] for row in z],
        colorscale="Viridis", reversescale=True, showscale=False, hoverongaps=False,
        hovertemplate="%{z} requests at about %{y:.3~g} ms, second %{x}<extra></extra>",
    )  # fmt: skip


def _clients(
    builder: ChartBuilder, group: Group, observation: Observation, start_s: float
) -> Iterable[dict[str, Any]]:
    done: dict[int, float] = {}
    for record in observation.records:
        if record["phase"] == "window":
            second = int(record["from_s"] - start_s + 0.5)
            count = record["inside"]["requests"] + record["outside"]["requests"]
            span_s = max(record["to_s"] - record["from_s"], SPAN_MIN_S)
            done[second] = done.get(second, 0.0) + count / span_s
    yield _lane(builder, group, "replies/s", "y2", sorted(done.items()))
    for worker, seconds in observation.seconds.items():
        points = [
            (after["time_s"] - start_s, (_cpu_s(after) - _cpu_s(before)) / elapsed_s)
            for before, after in pairwise(seconds)
            if (elapsed_s := after["time_s"] - before["time_s"]) > SPAN_MIN_S
        ]
        yield _lane(builder, group, f"generator {worker}, cores", "y3", points, dash="dot")


def _servers(
    builder: ChartBuilder, group: Group, observation: Observation, start_s: float
) -> Iterable[dict[str, Any]]:
    samples = [sample for sample in observation.samples if sample.get("server")]
    cpu, connections = [], []
    for before, after in pairwise(samples):
        elapsed_s = after["time_s"] - before["time_s"]
        used_s = _cpu_s(after["server"]) - _cpu_s(before["server"])
        if elapsed_s > SPAN_MIN_S:
            cpu.append((after["time_s"] - start_s, used_s / elapsed_s))
    for sample in samples:
        server = sample["server"]
        if "open_http" in server:
            count = server["open_http"] + server["open_echo"]
            connections.append((sample["time_s"] - start_s, count))
    yield _lane(builder, group, "server, cores", "y3", cpu)
    yield _lane(builder, group, "open connections", "y4", connections)


def _cpu_s(server: Mapping[str, float]) -> float:
    return server["cpu_user_s"] + server["cpu_system_s"]


def _lane(
    builder: ChartBuilder,
    group: Group,
    name: str,
    lane: str,
    points: Sequence[tuple[float, float]],
    dash: str = "solid",
) -> Trace:
    if not points:
        return {}
    key = group.key
    trace = builder.trace(
        key.contender, key.run, name, mode="lines+markers", yaxis=lane,
        x=[round(x, 3) for x, _ in points], y=[round(y, 4) for _, y in points],
        line={"color": builder.looks[key.contender].colour, "dash": dash, "width": 2},
        marker={"size": 5, "color": builder.looks[key.contender].colour},
    )  # fmt: skip
    return trace | {"name": name}  # all lanes belong to one contender
