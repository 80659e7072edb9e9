"""CPU time per request under wrk: every server in turn, round after round."""

import math
import os
import re
import statistics
import time
from collections.abc import Iterable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import psutil

from loadtest.bench.contestants import Comparison
from loadtest.bench.serving import serving
from loadtest.host.cores import Cores
from loadtest.measure.process_usage import cpu_s_of_tree
from loadtest.running.processes import running
from loadtest.running.target import CellError

CONNECTIONS = 64
WARM_UP_S = 1.0
"""Under load, on the connections that are measured, so that no fork and no first request counts."""

_WRK_LONGER_S = 0.25
"""wrk starts a little late, and must not end before the window does."""

_REQUESTS = re.compile(r"(\d+) requests in")
_ERRORS = re.compile(r"(Socket errors: .*|Non-2xx or 3xx responses: .*)")


@dataclass(frozen=True)
class Run:
    """One server in one round; all counts are of the window alone."""

    name: str
    round_number: int
    window_s: float = 0.0
    requests: float = 0.0
    cpu_s: float = 0.0
    others_cpu_s: float = 0.0  # all other processes of the machine, this one included
    error: str = ""  # the reason if the run does not count

    @property
    def cpu_us_per_request(self) -> float:
        """CPU time of the server's process tree."""
        return self.cpu_s / self.requests * 1e6

    @property
    def core_share(self) -> float:
        """Share of a core that the server used; well below 1, something else was the limit."""
        return self.cpu_s / self.window_s

    @property
    def others_share(self) -> float:
        """CPU time of all other processes, as a share of one core."""
        return max(0.0, self.others_cpu_s / self.window_s)


class Reading(NamedTuple):
    """All counters at one moment."""

    at_s: float
    server_cpu_s: float
    wrk_cpu_s: float
    machine_cpu_s: float
    received_bytes: int  # by wrk


def run(name: str, round_number: int, duration_s: float, cores: Cores, folder: Path) -> Run:
    """Start and measure a server; after a failure, return a Run with its reason."""
    log = folder / f"{name}-{round_number}.log"
    wrk_log = folder / f"{name}-{round_number}-wrk.log"
    seconds = math.ceil(WARM_UP_S + duration_s + _WRK_LONGER_S)
    try:
        with ExitStack() as stack:
            server = stack.enter_context(serving(name, cores.server[:1], log))
            wrk = [
                "wrk", "-t1", f"-c{CONNECTIONS}", f"-d{seconds}",
                f"http://{server.address.host}:{server.address.port}/",
            ]  # fmt: skip
            load = stack.enter_context(running(wrk, cores.generator[:1], wrk_log))
            time.sleep(WARM_UP_S)
            start = _read(server.process.pid, load.pid)
            time.sleep(duration_s)
            end = _read(server.process.pid, load.pid)
            # WNOWAIT keeps the zombie, and with it the count of bytes that wrk has read.
            os.waitid(os.P_PID, load.pid, os.WEXITED | os.WNOWAIT)
            received_bytes = _received_bytes(load.pid)
            assert load.stdout is not None
            requests = requests_in(load.stdout.read())
    except CellError as error:  # the next run may succeed
        return Run(name, round_number, error=str(error))
    if end.received_bytes == start.received_bytes:
        return Run(name, round_number, error="no reply came in the window")
    cpu_s = end.server_cpu_s - start.server_cpu_s
    wrk_cpu_s = end.wrk_cpu_s - start.wrk_cpu_s
    return Run(
        name,
        round_number,
        window_s=end.at_s - start.at_s,
        # All replies have one length, so requests in the window are in proportion to bytes.
        requests=requests * (end.received_bytes - start.received_bytes) / received_bytes,
        cpu_s=cpu_s,
        others_cpu_s=end.machine_cpu_s - start.machine_cpu_s - cpu_s - wrk_cpu_s,
    )


def _read(server_pid: int, wrk_pid: int) -> Reading:
    return Reading(
        at_s=time.perf_counter(),
        server_cpu_s=cpu_s_of_tree(server_pid),
        received_bytes=_received_bytes(wrk_pid),
        wrk_cpu_s=cpu_s_of_tree(wrk_pid),
        machine_cpu_s=_cpu_s_of_machine(),
    )


def _cpu_s_of_machine() -> float:
    """Return the CPU time of all processes of the machine."""
    used = psutil.cpu_times()
    return used.user + used.nice + used.system


def _received_bytes(pid: int) -> int:
    """Return how much a process has read so far, from sockets above all; it may be a zombie."""
    return psutil.Process(pid).io_counters().read_chars


def requests_in(output: str) -> int:
    """Return the number of requests in wrk's output; all must have succeeded.

    Raises:
        CellError: One has failed, or there are none.
    """
    if errors := _ERRORS.search(output):
        raise CellError(f"wrk: {errors[1].lower()}")
    match = _REQUESTS.search(output)
    if match is None or int(match[1]) == 0:
        raise CellError(f"wrk counted no requests: {output!r}")
    return int(match[1])


class Spread(NamedTuple):
    """The median of some values, with the lowest and the highest."""

    median: float
    low: float
    high: float

    @classmethod
    def of(cls, values: Sequence[float]) -> "Spread | None":
        """Return the spread of some values; None of none."""
        if not values:
            return None
        return cls(statistics.median(values), min(values), max(values))


def cpu_us_per_request(runs: Iterable[Run], name: str) -> Spread | None:
    """Return a server's CPU time per request over all rounds."""
    return Spread.of([run.cpu_us_per_request for run in runs if run.name == name and not run.error])


def ratio(runs: Iterable[Run], pair: Comparison) -> Spread | None:
    """Return a model's cost as a share of its peer's, from the ratios within each round."""
    costs = {(run.name, run.round_number): run.cpu_us_per_request for run in runs if not run.error}
    return Spread.of(
        [
            cost / costs[pair.peer, round_number]
            for (name, round_number), cost in costs.items()
            if name == pair.model and (pair.peer, round_number) in costs
        ]
    )
