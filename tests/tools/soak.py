"""make soak: clients of all kinds, good and bad, for minutes or hours; nothing may leak.

python -m tests.tools.soak [MINUTES] [--workers N]

All models run at once. Every few seconds all clients close, and each idle server is measured: its
memory, descriptors, threads and processes. A value that rises from one idle moment to the next is a
leak. Slopes are Theil and Sen's (the median of the slopes between any two points), with an interval
of 99 %.

Memory is anonymous memory. A library's pages are divided by the number of processes that share
them, so with them all models would seem to grow when another process ends.

An allocator keeps memory for the peak so far. So the first minute has four times as many clients
and does not count, nor does the first quarter.

Exit status 1 if a value rises, or a well-behaved client got a wrong reply.
"""

import argparse
import random
import re
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table
from scipy import stats

from servers.registry import MODELS
from tests.support.behaviours import BAD, GOOD
from tests.support.limits_of_machine import descriptors_of, open_sockets, tasks_of
from tests.support.running import Server, running, wait_until

BURST_S = 5.0
CLIENTS = 8  # at a time, of each model
WARMUP_CLIENTS = 32
WARMUP_S = 60.0
CONFIDENCE = 0.99

KINDS = {"memory": "KiB", "descriptors": "", "threads": "", "processes": ""}
"""A measured value -> its unit."""


@dataclass
class Watched:
    """A server, its clients' errors, and its values whenever it was idle."""

    server: Server
    times_min: list[float] = field(default_factory=list)
    values: dict[str, list[float]] = field(default_factory=lambda: {kind: [] for kind in KINDS})
    clients: int = 0
    errors: list[str] = field(default_factory=list)

    def run_clients(self, until_s: float, rng: random.Random) -> None:
        """Run one client after another until the time is up."""
        while time.monotonic() < until_s:
            behave = rng.choice(rng.choice((GOOD, BAD)))
            self.clients += 1
            try:
                with self.server.connect() as sock:
                    behave(sock, self.server)
            except (OSError, AssertionError) as error:
                self.errors.append(f"{behave.__name__}: {type(error).__name__} {error}")

    def wait_until_idle(self) -> None:
        """Wait until the server has no connection."""
        ports = {address[1] for address in (self.server.http, self.server.echo) if address}
        wait_until(
            lambda: (
                not self.server.children
                and all(sock.port != port for port in ports for sock in open_sockets(port))
            ),
            "an idle server",
        )

    def measure(self, at_min: float) -> None:
        """Record the server's values."""
        pids = self.server.processes
        self.times_min.append(at_min)
        self.values["memory"].append(sum(map(anonymous_kib, pids)))
        self.values["descriptors"].append(sum(map(descriptors_of, pids)))
        self.values["threads"].append(sum(len([*tasks_of(pid)]) for pid in pids))
        self.values["processes"].append(len(pids))

    def slope(self, kind: str) -> tuple[float, float, float]:
        """Return the slope of a value per minute, and the ends of its interval."""
        first = len(self.times_min) // 4
        slopes = stats.theilslopes(self.values[kind][first:], self.times_min[first:], CONFIDENCE)
        return float(slopes[0]), float(slopes[2]), float(slopes[3])

    @property
    def rising(self) -> Iterator[str]:
        """Yield the kinds that leak."""
        return (kind for kind in KINDS if self.slope(kind)[1] > 0)


def anonymous_kib(pid: int) -> int:
    """Return a process's anonymous memory, with shared pages divided among the sharers."""
    rollup = Path(f"/proc/{pid}/smaps_rollup").read_text("ascii")
    sizes = re.findall(r"^Pss_(?:Anon|Shmem): +(\d+) kB", rollup, re.MULTILINE)
    return sum(map(int, sizes))


def burst(all_watched: list[Watched], rng: random.Random, clients: int) -> None:
    """Run clients on all servers for BURST_S, a number at a time; return when all are idle."""
    until_s = time.monotonic() + BURST_S
    threads = [
        threading.Thread(target=watched.run_clients, args=(until_s, random.Random(rng.random())))
        for watched in all_watched
        for _ in range(clients)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for watched in all_watched:
        watched.wait_until_idle()


def table_of(all_watched: list[Watched]) -> Table:
    """Return the slopes with their intervals, and the first and last values."""
    table = Table(title="slope per minute, [99 % interval], first -> last", title_justify="left")
    table.add_column("model")
    table.add_column("clients", justify="right")
    for kind, unit in KINDS.items():
        table.add_column(f"{kind} {unit}".strip(), justify="right")
    for watched in all_watched:
        cells = []
        for kind in KINDS:
            slope, low, high = watched.slope(kind)
            values = watched.values[kind][len(watched.times_min) // 4 :]
            interval = f"{slope:+.4g} \\[{low:+.3g}, {high:+.3g}]"
            cells.append(f"{interval}\n{values[0]:,.0f} -> {values[-1]:,.0f}")
        table.add_row(watched.server.model, f"{watched.clients:,}", *cells)
    return table


def main() -> int:
    """Soak until the time is up or Ctrl-C; print rising values and errors."""
    parser = argparse.ArgumentParser(prog="make soak", description=__doc__)
    parser.add_argument("minutes", nargs="?", type=float, default=5.0)
    parser.add_argument("--workers", type=int, default=1)
    parser.add_argument("--seed", type=int, default=1)
    arguments = parser.parse_args()
    rng = random.Random(arguments.seed)
    console, interrupted = Console(), False
    flags = [f"--timeout-{name}=1" for name in ("header", "body", "write", "keep-alive")]
    with ExitStack() as stack:
        all_watched = [
            Watched(stack.enter_context(running(model, *flags, workers=arguments.workers)))
            for model in MODELS
        ]
        columns = TextColumn("{task.description}"), BarColumn(), TimeRemainingColumn()
        with Progress(*columns, console=console) as progress:
            task = progress.add_task("soaking", total=arguments.minutes)
            at_min = 0.0
            try:
                warm_s = time.monotonic() + WARMUP_S
                while time.monotonic() < warm_s:
                    burst(all_watched, rng, WARMUP_CLIENTS)
                begin_s = time.monotonic()
                while at_min < arguments.minutes:
                    burst(all_watched, rng, CLIENTS)
                    at_min = (time.monotonic() - begin_s) / 60
                    for watched in all_watched:
                        watched.measure(at_min)
                    clients = sum(watched.clients for watched in all_watched)
                    progress.update(task, completed=at_min, description=f"{clients:,} clients")
            except KeyboardInterrupt:  # the values so far are printed
                interrupted = True
        if len(all_watched[-1].times_min) < 4:
            console.print("too short: expected at least four measurements")
            return 130 if interrupted else 2
        console.print(table_of(all_watched))
        failed = False
        for watched in all_watched:
            problems = [*(f"{kind} rises" for kind in watched.rising), *watched.errors[:5]]
            if log := watched.server.log():
                problems.append(f"logged {log!r}")
            if (status := watched.server.stop()) != 0:
                problems.append(f"exited with {status}")
            for problem in problems:
                console.print(f"{watched.server.model}: {problem}", markup=False)
            failed = failed or bool(problems)
    return 130 if interrupted else int(failed)


if __name__ == "__main__":
    sys.exit(main())
