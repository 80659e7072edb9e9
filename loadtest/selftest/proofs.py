"""The proofs: known events, and whether the meter measures them right."""

import math
import signal
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path

from loadtest.bundle.calibration import Calibration
from loadtest.control.stages import Stage
from loadtest.host.cores import Cores
from loadtest.measure import observation
from loadtest.measure.result import Result, Times
from loadtest.measure.verdict import GENERATOR_BOUND
from loadtest.running.calibration import load, proof_server
from loadtest.running.cell import run_target
from loadtest.running.processes import running

FREEZE_S = 1.0
FREEZE_AFTER_S = 4.0
FREEZE_RATE_HZ = 200.0
FREEZE_WINDOW_S = 10.0
FREEZE_CONNECTIONS = 10
"""200 requests wait when the server thaws. It answers them within 3 ms, so the theory may leave out
the time of the queue."""

FREEZE_TOLERANCE = 0.03
SERVICE_P99_MAX = 0.1
"""As a share of the freeze: only 10 of 2,000 requests, 0.5 %, are in flight when it comes."""

DELAY_RATE_HZ = 1000.0
DELAY_WINDOW_S = 15.0
DELAY_CONNECTIONS = 200
"""On average 33 requests are in flight, so hardly any waits for a free connection. A window has 15
times the thousand replies that a p99.9 needs at least."""

DELAY_TOLERANCE = 0.02
HOGS = 4

_QUANTILES = {"p50": 0.5, "p90": 0.9, "p99": 0.99, "p99.9": 0.999}


@dataclass(frozen=True)
class Proof:
    """A claim, the measured value, and whether the claim held."""

    claim: str
    found: str
    held: bool


def freeze(cores: Cores, folder: Path) -> list[Proof]:
    """Prove that the latency, and only the latency, shows a freeze of a second, as theory says.

    Of a window T, a share F/T of the requests is due while it is frozen for F, and they wait evenly
    long, up to F: a share 1 - q of all waits longer than F - (1 - q)T.
    """
    frozen_s = [0.0]

    def say(stage: Stage) -> None:
        if stage is Stage.WINDOW:
            threading.Thread(target=act, daemon=True).start()

    def act() -> None:
        time.sleep(FREEZE_AFTER_S)
        served.process.send_signal(signal.SIGSTOP)
        begin_s = time.perf_counter()
        time.sleep(FREEZE_S)
        served.process.send_signal(signal.SIGCONT)
        frozen_s[0] = time.perf_counter() - begin_s

    with proof_server("plain", cores.server, folder) as served:
        wanted = load(FREEZE_RATE_HZ, FREEZE_WINDOW_S, FREEZE_CONNECTIONS)
        times = _times(run_target(served.target, wanted, cores, folder, say))
    proofs = []
    for name, q in (("p99", 0.99), ("p99.9", 0.999)):
        theory_ms = (frozen_s[0] - (1 - q) * FREEZE_WINDOW_S) * 1000
        seen_ms = _quantile(times["latency"], name)
        off = seen_ms / theory_ms - 1
        proofs.append(
            Proof(
                f"frozen for {frozen_s[0]:.3f} s: latency {name} within {FREEZE_TOLERANCE:.0%} of"
                f" {theory_ms:,.1f} ms",
                f"{seen_ms:,.1f} ms, {off:+.2%}",
                abs(off) <= FREEZE_TOLERANCE,
            )
        )
    limit_ms = SERVICE_P99_MAX * frozen_s[0] * 1000
    service_ms = _quantile(times["service_time"], "p99")
    proofs.append(
        Proof(
            f"and service time p99 below {limit_ms:,.0f} ms, which hides the freeze",
            f"{service_ms:,.2f} ms",
            service_ms < limit_ms,
        )
    )
    return proofs


def delays(cores: Cores, folder: Path, floor: Calibration, processes: int) -> list[Proof]:
    """Prove that service time equals the server's logged delays, and each request counts once."""
    wanted = replace(
        load(DELAY_RATE_HZ, DELAY_WINDOW_S, DELAY_CONNECTIONS), processes=processes, warmup_s=0.0
    )
    with proof_server("slow", cores.server, folder) as served:
        result = run_target(served.target, wanted, cores, folder, lambda _: None)
    times = _times(result)["service_time"]
    applied_ms = sorted(1000 * s for s in served.log["applied_s"][DELAY_CONNECTIONS:])
    floor_ms = floor.floor_p99_us / 1000
    origin = "one process" if processes == 1 else f"{processes} workers"
    proofs = []
    for name, q in _QUANTILES.items():
        true_ms = applied_ms[math.ceil(q * len(applied_ms)) - 1]
        seen_ms = _quantile(times, name)
        low_ms, high_ms = true_ms * (1 - DELAY_TOLERANCE), true_ms * (1 + DELAY_TOLERANCE)
        proofs.append(
            Proof(
                f"{origin}: delays of {true_ms:,.2f} ms at {name} within {DELAY_TOLERANCE:.0%}"
                f" and the floor of {floor_ms:.2f} ms",
                f"{seen_ms:,.2f} ms, {seen_ms / true_ms - 1:+.2%}",
                low_ms <= seen_ms <= high_ms + floor_ms,
            )
        )
    counted = _all_requests(folder)
    proofs.append(
        Proof(
            f"{origin}: each of the {served.log['requests']:,} received requests is counted once",
            f"{counted:,}",
            counted == served.log["requests"],
        )
    )
    return proofs


def starved(cores: Cores, folder: Path, ceiling_hz: float) -> list[Proof]:
    """Prove that a generator on a shared core is judged generator-bound."""
    hog = [sys.executable, "-c", "while True: pass"]
    with ExitStack() as stack:
        served = stack.enter_context(proof_server("plain", cores.server, folder))
        for number in range(HOGS):
            stack.enter_context(running(hog, cores.generator, folder / f"hog-{number}.log"))
        wanted = load(ceiling_hz / 2, 2.0)
        result = run_target(served.target, wanted, cores, folder, lambda _: None)
    return [
        Proof(
            f"a generator that shares its core with {HOGS} busy processes is {GENERATOR_BOUND}",
            f"{result.verdict.name}: {result.verdict.why}",
            result.verdict.name == GENERATOR_BOUND,
        )
    ]


def wrong(cores: Cores, folder: Path) -> list[Proof]:
    """Prove that each wrong reply is counted once, under its kind."""
    wanted = replace(load(70.0, 4.0, 100), deadline_s=1.0, warmup_s=0.0)
    with proof_server("wrong", cores.server, folder) as served:
        run_target(served.target, wanted, cores, folder, lambda _: None)
    sent, counted = Counter(served.log["wrong"]), _all_errors(folder)
    return [
        Proof(f"{kind}: {count} sent by the server", f"{counted[kind]}", counted[kind] == count)
        for kind, count in sent.items()
    ]


def run_proofs(
    names: Sequence[str],
    cores: Cores,
    folder: Path,
    calibration: Calibration,
    begin: Callable[[str], None],
) -> list[Proof]:
    """Run proofs by name, each in a folder of its own."""
    steps: dict[str, Callable[[Path], list[Proof]]] = {
        "freeze": lambda at: freeze(cores, at),
        "delays": lambda at: delays(cores, at, calibration, 1),
        "workers": lambda at: delays(cores, at, calibration, 2),
        "starved": lambda at: starved(cores, at, calibration.ceiling_hz),
        "wrong": lambda at: wrong(cores, at),
    }
    proofs = []
    for name in names:
        begin(name)
        at = folder / name
        at.mkdir()
        proofs += steps[name](at)
    return proofs


def _times(result: Result) -> dict[str, Times]:
    return result.main.times if result.main else {}


def _quantile(times: Times, name: str) -> float:
    return float(getattr(times, name.replace(".", "") + "_ms") or 0.0)


def _all_requests(folder: Path) -> int:
    records = observation.read(folder).records
    return sum(r["inside"]["requests"] + r["outside"]["requests"] for r in records)


def _all_errors(folder: Path) -> Counter[str]:
    errors: Counter[str] = Counter()
    for record in observation.read(folder).records:
        errors.update(record["inside"]["errors"])
        errors.update(record["outside"]["errors"])
        # Requests whose deadline came after the end of the test count as silence, too.
        given_up = record["inside"]["given_up"] + record["outside"]["given_up"]
        errors["TimedOutError"] += given_up
    return errors
