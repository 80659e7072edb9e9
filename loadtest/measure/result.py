"""The numbers of a cell: each is computed here, from raw measurements."""

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from hdrh.histogram import HdrHistogram

from loadtest.measure.artefacts import artefacts
from loadtest.measure.errors import TimedOutError
from loadtest.measure.histogram import mean_s, quantile_s
from loadtest.measure.meter import KINDS
from loadtest.measure.observation import Observation
from loadtest.measure.server_use import ServerUse, memory_bytes_per_connection, server_use
from loadtest.measure.verdict import OWN, Evidence, Verdict, judge

_QUANTILES = {"p50": 0.5, "p90": 0.9, "p99": 0.99, "p999": 0.999, "max": 1.0}


@dataclass(frozen=True)
class Times:
    """The distribution of a time, in milliseconds, from merged histograms of 3 digits."""

    count: int
    mean_ms: float | None
    p50_ms: float | None
    p90_ms: float | None
    p99_ms: float | None
    p999_ms: float | None
    max_ms: float | None


@dataclass(frozen=True)
class Class:
    """The requests of one user class that were due in the window.

    Attributes:
        requests: With a right reply.
        rate_hz: Right replies a second that came in the window, whenever they were due.
        times: By kind (``meter.KINDS``), without empty ones.
        in_flight: Mean number of requests in flight: rate x mean time.
        artefacts: Timer of TCP -> requests whose time it explains.
        reconnects: Connections made again because the server had closed the one before.
        retries: Requests sent again because a kept connection ended just then.
        given_up: Requests that were sent too late for the server to have its time.
        closing: Part of ``in_flight``: had their last reply and awaited their connection's end.
    """

    connections: int
    requests: int
    rate_hz: float
    errors: dict[str, int]
    dropped: int
    reply_bytes: int
    times: dict[str, Times]
    in_flight: float
    artefacts: dict[str, int]
    reconnects: int = 0
    retries: int = 0
    given_up: int = 0
    closing: float = 0.0

    @property
    def due(self) -> int:
        """Requests that were due in the window."""
        return self.requests + sum(self.errors.values()) + self.dropped + self.given_up


@dataclass(frozen=True)
class Process:
    """A process of the generator over the window, in shares of a core."""

    cpu: float
    waiting: float
    resident_bytes: float


@dataclass(frozen=True)
class Result:
    """The numbers of a cell; None where one is unknown.

    Attributes:
        due: Requests of the rated classes that were due in the window and have ended.
        held_share: Share of the due requests that had a right reply within the window, in the class
            with the lowest share.
        server_cpu: CPU time of the server over the window, in cores.
        cpu_us_per_request: CPU time of the server for each right reply; then its two parts.
        memory_bytes_per_connection: Proportional, of the server's whole process tree.
        kernel: TCP's losses and retransmissions in the generator's network namespace.
        conditions: Limits and socket options that the server has read back from the kernel.
        sampling_cpu: CPU time that the samples cost the generator, in cores.
    """

    target: str
    scenario: str
    connections: int
    rate_wanted_hz: float
    window_s: float
    result_class: str
    classes: dict[str, Class]
    due: int
    held_share: float | None
    generators: dict[str, Process]
    server_cpu: float | None
    cpu_us_per_request: float | None
    cpu_user_us_per_request: float | None
    cpu_system_us_per_request: float | None
    context_switches_per_request: float | None
    memory_bytes_per_connection: float | None
    kernel: dict[str, int]
    conditions: dict[str, float]
    sampling_cpu: float
    evidence: Evidence
    verdict: Verdict

    @property
    def main(self) -> Class | None:
        """The class whose times are the scenario's result; None if there is none."""
        return self.classes.get(self.result_class)


def result_of(raw: Observation) -> Result:
    """Return the numbers of an observation."""
    plan, window_s = raw.plan, raw.window_s
    classes = {name: _class(raw, name) for name in raw.established} if window_s else {}
    done = sum(_done_in_window(raw.records, name) for name in classes)
    rated = _rated(raw, classes)
    due = sum(c.due for c in rated.values())
    held_share = None
    if plan.rate_hz and due:
        held_share = min(_held_share(raw, name, class_) for name, class_ in rated.items())
    use = server_use(raw.marks)
    cost = None if use is None or not done else use.per_request(done / window_s)
    kernel = _difference(raw.marks, "kernel")
    generators = {
        worker: _process(usage["open"], usage["close"], window_s)
        for worker, usage in raw.usage.items()
        if window_s and {"open", "close"} <= usage.keys()
    }
    evidence = _evidence(raw, classes, held_share, generators, use, kernel)
    return Result(
        target=plan.target,
        scenario=plan.scenario,
        connections=plan.connections,
        rate_wanted_hz=plan.rate_hz,
        window_s=window_s,
        result_class=plan.result_class,
        classes=classes,
        due=due,
        held_share=held_share,
        generators=generators,
        server_cpu=None if use is None else use.cpu,
        cpu_us_per_request=None if cost is None else cost.cpu * 1e6,
        cpu_user_us_per_request=None if cost is None else cost.user * 1e6,
        cpu_system_us_per_request=None if cost is None else cost.system * 1e6,
        context_switches_per_request=None if cost is None else cost.context_switches,
        memory_bytes_per_connection=memory_bytes_per_connection(raw.marks),
        kernel=kernel,
        conditions=raw.conditions,
        sampling_cpu=raw.sampling_cpu_s / window_s if window_s else 0.0,
        evidence=evidence,
        verdict=judge(evidence),
    )


def times_of(histogram: HdrHistogram) -> Times:
    """Return the quantiles of a histogram."""
    seconds = [mean_s(histogram), *(quantile_s(histogram, q) for q in _QUANTILES.values())]
    return Times(histogram.total_count, *(None if s is None else s * 1000 for s in seconds))


def _class(raw: Observation, name: str) -> Class:
    inside = [record["inside"] for record in raw.records if record["class"] == name]
    histograms = {kind: raw.histogram(kind, name) for kind in KINDS}
    times = {kind: times_of(h) for kind, h in histograms.items() if h.total_count}
    busy, closing = (
        times[kind].count * (times[kind].mean_ms or 0.0) / 1000 / raw.window_s
        if kind in times
        else 0.0
        for kind in ("service_time", "close")
    )
    return Class(
        connections=raw.established[name],
        requests=sum(taken["requests"] for taken in inside),
        rate_hz=_done_in_window(raw.records, name) / raw.window_s,
        errors=dict(sum((Counter(taken["errors"]) for taken in inside), Counter())),
        dropped=sum(taken["dropped"] for taken in inside),
        reply_bytes=sum(taken["reply_bytes"] for taken in inside),
        times=times,
        in_flight=busy + closing,
        artefacts=artefacts(histograms),
        reconnects=sum(taken.get("reconnects", 0) for taken in inside),  # not in older bundles
        retries=sum(taken.get("retries", 0) for taken in inside),
        given_up=sum(taken.get("given_up", 0) for taken in inside),
        closing=closing,
    )


def _done_in_window(records: Iterable[Mapping[str, Any]], name: str) -> int:
    return sum(
        record["inside"]["requests"] + record["outside"]["requests"]
        for record in records
        if record["phase"] == "window" and record["class"] == name
    )


def _rated(raw: Observation, classes: Mapping[str, Class]) -> dict[str, Class]:
    """Return the classes that share the rate."""
    names = raw.plan.rated or [raw.plan.result_class]
    return {name: classes[name] for name in names if name in classes}


def _held_share(raw: Observation, name: str, class_: Class) -> float:
    done, due = _done_in_window(raw.records, name), class_.due
    return min(done / due, class_.requests / due) if due else 1.0


def _process(open_: Mapping[str, float], close: Mapping[str, float], window_s: float) -> Process:
    cpu_s = sum(close[name] - open_[name] for name in ("cpu_user_s", "cpu_system_s"))
    waiting_s = close["waiting_s"] - open_["waiting_s"]
    return Process(cpu_s / window_s, waiting_s / window_s, close["resident_bytes"])


def _difference(marks: Mapping[str, Mapping[str, Any]], what: str) -> dict[str, int]:
    if not {"open", "close"} <= marks.keys():
        return {}
    before, after = marks["open"][what], marks["close"][what]
    return {name: after[name] - before[name] for name in after if name in before}


def _evidence(
    raw: Observation,
    classes: Mapping[str, Class],
    held_share: float | None,
    generators: Mapping[str, Process],
    use: ServerUse | None,
    kernel: Mapping[str, int],
) -> Evidence:
    plan = raw.plan
    rated = _rated(raw, classes).values()
    errors: Counter[str] = sum((Counter(c.errors) for c in classes.values()), Counter())
    ended = errors.total() + sum(c.requests for c in classes.values())
    of_server = sum(count for name, count in errors.items() if name not in OWN)
    lateness = [c.times["lateness"].p99_ms or 0.0 for c in rated if "lateness" in c.times]
    server_busy = None
    if use is not None and plan.server_cores:
        # One process of Python has one interpreter lock.
        server_busy = use.cpu / (plan.server_cores if use.processes > 1 else 1)
    return Evidence(
        trouble=raw.trouble,
        missing=raw.missing,
        requests=min((c.requests for c in rated), default=0),
        errors_share=of_server / ended if ended else 0.0,
        rate_wanted_hz=plan.rate_hz,
        rate_held_share=held_share if plan.rate_hz else None,
        generator_busy=max((p.cpu + p.waiting for p in generators.values()), default=0.0),
        generator_cpu=max((p.cpu for p in generators.values()), default=0.0),
        lateness_p99_ms=max(lateness, default=None),
        server_busy=server_busy,
        listen_drops=max(kernel.get("ListenOverflows", 0), kernel.get("ListenDrops", 0)),
        syn_retransmits=kernel.get("TCPSynRetrans", 0),
        retransmits=kernel.get("RetransSegs", 0),
        in_flight=sum(c.in_flight for c in rated),
        connections=sum(c.connections for c in rated),
        dropped=sum(c.dropped for c in classes.values()),
        given_up=sum(c.given_up for c in classes.values()),
        due=sum(c.due for c in classes.values()),
        errors=dict(errors),
        silent_before=_silent_before(raw.records),
        unfinished=_unfinished(raw.records),
        without_reply=raw.without_reply,
        retries=sum(c.retries for c in classes.values()),
        closing=sum(c.closing for c in rated),
    )


def _silent_before(records: Iterable[Mapping[str, Any]]) -> int:
    """Count requests from before the window that had no reply even after it."""
    return sum(
        record["outside"].get("given_up", 0)
        - record["outside"].get("unfinished", 0)
        + record["outside"]["errors"].get(TimedOutError.__name__, 0)
        for record in records
        if record["phase"] != "before"
    )


def _unfinished(records: Iterable[Mapping[str, Any]]) -> int:
    """Count requests whose reply had begun when it was given up."""
    return sum(
        record[part].get("unfinished", 0) for record in records for part in ("inside", "outside")
    )
