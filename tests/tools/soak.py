"""make soak: clients of all kinds, good and bad, for minutes or hours, and what is kept of them.

python -m tests.tools.soak [MINUTES] [--workers N]

All models at once. Every few seconds all clients leave, and each server, at rest then, is measured:
its memory, descriptors, threads and processes. What grows from one rest to the next leaks. Slopes
are Theil and Sen's (the median of those between any two points), with an interval of 99 %.

Memory is what is not a file's: a library's pages are divided by how many processes share them, so
all models seem to grow when somebody else's process ends.

Memory that was needed once stays with the allocator, so it rises with the largest crowd so far: the
first minute has crowds four times as large and does not count, nor does the first quarter.

Exit status 1 if anything rises, or a client who behaves was not answered as it should.
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
CROWD = 32  # the same, while it warms up
WARMUP_S = 60.0
CONFIDENCE = 0.99

KINDS = {"memory": "KiB", "descriptors": "", "threads": "", "processes": ""}
"""What is measured -> its unit."""


@dataclass
class Watched:
    """A server, what its clients have met, and what it held each time they had left."""

    server: Server
    times_min: list[float] = field(default_factory=list)
    held: dict[str, list[float]] = field(default_factory=lambda: {kind: [] for kind in KINDS})
    clients: int = 0
    wrong: list[str] = field(default_factory=list)

    def besiege(self, until_s: float, rng: random.Random) -> None:
        """Be one client after another until the time is up."""
        while time.monotonic() < until_s:
            behave = rng.choice(rng.choice((GOOD, BAD)))
            self.clients += 1
            try:
                with self.server.connect() as sock:
                    behave(sock, self.server)
            except (OSError, AssertionError) as error:
                self.wrong.append(f"{behave.__name__}: {type(error).__name__} {error}")

    def rest(self) -> None:
        """Wait until the server holds no client."""
        ports = {address[1] for address in (self.server.http, self.server.echo) if address}
        wait_until(
            lambda: (
                not self.server.children
                and all(sock.port != port for port in ports for sock in open_sockets(port))
            ),
            "a server at rest",
        )

    def measure(self, at_min: float) -> None:
        """Take down what the server holds now."""
        pids = self.server.processes
        self.times_min.append(at_min)
        self.held["memory"].append(sum(map(anonymous_kib, pids)))
        self.held["descriptors"].append(sum(map(descriptors_of, pids)))
        self.held["threads"].append(sum(len([*tasks_of(pid)]) for pid in pids))
        self.held["processes"].append(len(pids))

    def slope(self, kind: str) -> tuple[float, float, float]:
        """Return how fast it rises a minute, and the ends of the interval."""
        first = len(self.times_min) // 4
        found = stats.theilslopes(self.held[kind][first:], self.times_min[first:], CONFIDENCE)
        return float(found[0]), float(found[2]), float(found[3])

    @property
    def rising(self) -> Iterator[str]:
        """Yield what leaks."""
        return (kind for kind in KINDS if self.slope(kind)[1] > 0)


def anonymous_kib(pid: int) -> int:
    """Return the memory of a process that is no file's, what it shares with children divided."""
    rollup = Path(f"/proc/{pid}/smaps_rollup").read_text("ascii")
    found = re.findall(r"^Pss_(?:Anon|Shmem): +(\d+) kB", rollup, re.MULTILINE)
    return sum(map(int, found))


def burst(all_watched: list[Watched], rng: random.Random, clients: int) -> None:
    """Let clients come to all servers for a while, so many at a time, until they have left."""
    until_s = time.monotonic() + BURST_S
    threads = [
        threading.Thread(target=watched.besiege, args=(until_s, random.Random(rng.random())))
        for watched in all_watched
        for _ in range(clients)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for watched in all_watched:
        watched.rest()


def table_of(all_watched: list[Watched]) -> Table:
    """Return slopes a minute with their intervals, and from what to what."""
    table = Table(title="rise a minute, [99 % interval], first -> last", title_justify="left")
    table.add_column("model")
    table.add_column("clients", justify="right")
    for kind, unit in KINDS.items():
        table.add_column(f"{kind} {unit}".strip(), justify="right")
    for watched in all_watched:
        cells = []
        for kind in KINDS:
            slope, low, high = watched.slope(kind)
            first, last = watched.held[kind][len(watched.times_min) // 4], watched.held[kind][-1]
            cells.append(f"{slope:+.4g} \\[{low:+.3g}, {high:+.3g}]\n{first:,.0f} -> {last:,.0f}")
        table.add_row(watched.server.model, f"{watched.clients:,}", *cells)
    return table


def main() -> int:
    """Soak until the time is up or Ctrl-C; say what rises and what was wrong."""
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
                    burst(all_watched, rng, CROWD)
                begin_s = time.monotonic()
                while at_min < arguments.minutes:
                    burst(all_watched, rng, CLIENTS)
                    at_min = (time.monotonic() - begin_s) / 60
                    for watched in all_watched:
                        watched.measure(at_min)
                    clients = sum(watched.clients for watched in all_watched)
                    progress.update(task, completed=at_min, description=f"{clients:,} clients")
            except KeyboardInterrupt:  # what has been measured until now is told
                interrupted = True
        if len(all_watched[-1].times_min) < 4:
            console.print("too short to tell anything: expected four rests, at least")
            return 130 if interrupted else 2
        console.print(table_of(all_watched))
        failed = False
        for watched in all_watched:
            found = [*(f"{kind} rises" for kind in watched.rising), *watched.wrong[:5]]
            if log := watched.server.log():
                found.append(f"said {log!r}")
            if (status := watched.server.stop()) != 0:
                found.append(f"exited with {status}")
            for what in found:
                console.print(f"{watched.server.model}: {what}", markup=False)
            failed = failed or bool(found)
    return 130 if interrupted else int(failed)


if __name__ == "__main__":
    sys.exit(main())
