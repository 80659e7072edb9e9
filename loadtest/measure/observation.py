"""Everything that was measured in one cell, raw, and the folder that keeps it.

``observation.json`` has the counts and samples. Each kind of time has a standard HdrHistogram log,
with a line for each second, user class and process.
"""

import json
import math
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from hdrh.histogram import HdrHistogram
from hdrh.log import HistogramLogReader, HistogramLogWriter

from loadtest.host.files import replacing
from loadtest.host.machine import write_json
from loadtest.measure.histogram import merged, new_histogram
from loadtest.measure.meter import KINDS
from loadtest.measure.pace import Pace


@dataclass(frozen=True, kw_only=True)
class Plan(Pace):
    """What a cell was meant to be.

    Attributes:
        target: Model or address.
        scenario: Its name.
        result_class: The user class whose times are the scenario's result.
        connections: Total over all user classes.
        server_cores: How many the server may use; 0: not known.
        workers: Processes that make the load.
        rated: The classes that share the rate and decide the verdict; none: only ``result_class``.
    """

    target: str
    scenario: str
    result_class: str
    connections: int
    server_cores: int
    workers: int
    rated: Sequence[str] = ()


@dataclass(frozen=True)
class Observation:
    """What was measured.

    Attributes:
        plan: What the cell was meant to be.
        established: Connections with a right first reply when the load began, by class.
        window_s: Real length; 0 without a window.
        records: One a second, class and process: phase, times and counts (``meter.Taken``).
        usage: Process -> what it had used when the window opened, and when it closed.
        seconds: Process -> what it had used, every second.
        samples: Of server and kernel, every second, and the marks.
        marks: Name -> sample: "idle", "open", "close", "loaded".
        missing: Load processes that ended early, or did not report at the end.
        sampling_cpu_s: CPU time that the samples cost the generator.
        conditions: Limits and socket options under which the server serves, by its own account.
        trouble: Why there is no result; "" if there is one.
        without_reply: Connections without a right first reply, by the error they had instead;
            ``first_failures.SILENCE`` where nothing came.
    """

    plan: Plan
    established: dict[str, int] = field(default_factory=dict)
    window_s: float = 0.0
    records: list[dict[str, Any]] = field(default_factory=list)
    usage: dict[str, dict[str, dict[str, float]]] = field(default_factory=dict)
    seconds: dict[str, list[dict[str, float]]] = field(default_factory=dict)
    samples: list[dict[str, Any]] = field(default_factory=list)
    marks: dict[str, dict[str, Any]] = field(default_factory=dict)
    missing: list[str] = field(default_factory=list)
    sampling_cpu_s: float = 0.0
    conditions: dict[str, float] = field(default_factory=dict)
    trouble: str = ""
    without_reply: dict[str, int] = field(default_factory=dict)

    def histogram(self, kind: str, class_: str) -> HdrHistogram:
        """Return the times of one kind and class in the window, merged."""
        return merged(
            record["inside"]["histograms"][kind]
            for record in self.records
            if record["class"] == class_ and kind in record["inside"]["histograms"]
        )


def write(folder: Path, observation: Observation) -> None:
    """Write an observation into a folder of its own."""
    for kind in KINDS:
        records = [r for r in observation.records if kind in r["inside"]["histograms"]]
        if records:
            _write_log(folder / f"{kind}.hlog", kind, records)
    content = asdict(observation)
    for record in content["records"]:
        record["inside"]["histograms"] = sorted(record["inside"]["histograms"])
    write_json(folder / "observation.json", content)


def remove(folder: Path) -> None:
    """Remove what ``write`` has written, even if it failed half-way."""
    with suppress(OSError):  # a disk that refuses writes may refuse this, too
        for path in (folder / "observation.json", *folder.glob("*.hlog")):
            path.unlink(missing_ok=True)


def _write_log(path: Path, kind: str, records: list[dict[str, Any]]) -> None:
    # A whole second: rounding could put a first line before the start, and readers skip that.
    base_s = math.floor(records[0]["from_s"])
    with replacing(path) as file:
        log = HistogramLogWriter(file)
        log.output_comment(f"[{kind} in microseconds]")
        log.output_log_format_version()
        log.output_base_time(base_s * 1000)
        file.write(f"#[StartTime: {base_s:f} (seconds since epoch)]\n")
        log.output_legend()
        for record in records:
            file.write(f"Tag={record['class']}@{record['worker']},")
            histogram = HdrHistogram.decode(record["inside"]["histograms"][kind])
            log.output_interval_histogram(
                histogram, record["from_s"] - base_s, record["to_s"] - base_s, 1.0
            )


def read(folder: Path) -> Observation:
    """Return the observation in a folder."""
    content = json.loads((folder / "observation.json").read_text(encoding="utf-8"))
    plan = Plan(**content["plan"])
    observation = Observation(**content | {"plan": replace(plan, rated=tuple(plan.rated))})
    logs = {
        path.stem: HistogramLogReader(str(path), new_histogram()) for path in folder.glob("*.hlog")
    }
    records = []
    for record in observation.records:
        histograms = {}
        for kind in KINDS:  # the lines of each log are in the order of the records
            if kind in record["inside"]["histograms"]:
                histogram = logs[kind].get_next_interval_histogram()
                histograms[kind] = histogram.encode().decode("ascii")
        records.append(record | {"inside": record["inside"] | {"histograms": histograms}})
    for log in logs.values():
        log.close()
    return replace(observation, records=records)
