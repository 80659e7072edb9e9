"""One cell: a fresh server and a fresh generator, on cores of their own, until both have ended."""

import json
import os
import re
import select
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path

RATES_HZ = {"hello": 2000.0, "echo": 2000.0, "wait": 1000.0, "connect": 200.0}
"""Requests a second, of all connections together: what every model holds on one core, so that
its CPU time per request is compared and not its ceiling. A process per connection takes 3 ms of
CPU to start and end: hence the last one."""

WAIT_RATE_PER_CONNECTION_HZ = 10.0
"""Half of what one connection can do that waits 50 ms each time; beyond, no rate is held."""

WARM_UP_S = 60.0
"""For all users to connect and have a first reply: 1,000 forks take some seconds."""

READY_S = 30.0
STOP_S = 40.0
"""For a server to listen, and to end: it allows itself 30 s of grace."""

_READY = re.compile(r"listening model=\S+ http=(\S+) echo=(\S+) pid=\d+\n")


class CellError(Exception):
    """A cell could not be run; says why."""


@dataclass(frozen=True)
class Cell:
    """A model, a scenario, and a number of connections."""

    model: str
    scenario: str
    connections: int

    @property
    def name(self) -> str:
        """What its folder is called."""
        return f"{self.scenario}-{self.connections}-{self.model}"

    @property
    def rate_hz(self) -> float:
        """The rate wanted, of all connections together: the same for every model."""
        rate_hz = RATES_HZ[self.scenario]
        if self.scenario == "wait":
            return min(rate_hz, self.connections * WAIT_RATE_PER_CONNECTION_HZ)
        return rate_hz


@dataclass(frozen=True)
class Load:
    """What a generator is asked for."""

    scenario: str
    connections: int
    rate_hz: float
    duration_s: float
    http_host: str
    echo_host: str


@dataclass(frozen=True)
class Measurement:
    """What a generator has seen; ``metrics`` are the server's, by when they were scraped."""

    window_s: float
    service_times_ms: list[float]
    errors: dict[str, int]
    warm_up_errors: dict[str, int]
    generator_cpu_s: float
    metrics: dict[str, dict[str, float]]


@dataclass(frozen=True)
class Cores:
    """Who runs where."""

    server: list[int]
    generator: list[int]

    @classmethod
    def halves(cls) -> "Cores":
        """Share out the cores that this process may use; both sides get an only one."""
        cores = sorted(os.sched_getaffinity(0))
        half = len(cores) // 2
        return cls(cores[:half] or cores, cores[half:])


def run(cell: Cell, duration_s: float, cores: Cores, folder: Path) -> Measurement:
    """Run a cell; what its processes have to say goes into log files in the folder.

    Raises:
        CellError: It could not be run.
    """
    generator_argv = ["loadtest.generator"]
    server_argv = ["servers", cell.model, "--http-port=0", "--echo-port=0"]
    server_argv += ["--timeout-keep-alive=3600"]  # a connection's turn may come late
    generator_log, server_log = folder / "generator.log", folder / "server.log"
    # The generator first: it imports Locust while the server starts.
    with (
        _running(generator_argv, cores.generator, generator_log) as generator,
        _running(server_argv, cores.server, server_log) as server,
    ):
        http, echo = _wait_until_ready(server, server_log)
        load = Load(
            scenario=cell.scenario,
            connections=cell.connections,
            rate_hz=cell.rate_hz,
            duration_s=duration_s,
            http_host=f"http://{http}",
            echo_host=echo,
        )
        try:
            limit_s = duration_s + 2 * WARM_UP_S
            output, _ = generator.communicate(json.dumps(asdict(load)) + "\n", limit_s)
            server.send_signal(signal.SIGTERM)
            status = server.wait(STOP_S)
        except subprocess.TimeoutExpired as late:
            raise CellError(f"{late.cmd[2]} had not ended after {late.timeout:g} s") from late
    if generator.returncode != 0:
        raise CellError(f"the generator failed: {_last_line(generator_log)}")
    if status != 0:
        raise CellError(f"the server exited with {status}, expected 0: {_last_line(server_log)}")
    return Measurement(**json.loads(output))


@contextmanager
def _running(argv: list[str], cores: list[int], log: Path) -> Iterator[subprocess.Popen[str]]:
    """Run a module for the length of a block; afterwards nothing of it is left."""
    with (
        log.open("w", encoding="utf-8") as stderr,
        subprocess.Popen(  # noqa: S603  # our own modules
            [sys.executable, "-m", *argv],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=stderr,
            text=True,
            process_group=0,  # Ctrl-C is for us alone: it is this block that ends the others
        ) as process,
    ):
        try:
            # Before the interpreter has started anything that would keep the cores it was given.
            os.sched_setaffinity(process.pid, cores)
            yield process
        finally:
            process.kill()  # no matter if it has ended; children of a server die with it


def _wait_until_ready(server: subprocess.Popen[str], log: Path) -> tuple[str, str]:
    """Return the addresses for HTTP and echo that the server prints when it listens."""
    assert server.stdout is not None
    readable, _, _ = select.select([server.stdout], [], [], READY_S)
    line = server.stdout.readline() if readable else ""
    match = _READY.fullmatch(line)
    if match is None:
        raise CellError(f"the server is not ready: {_last_line(log) or repr(line)}")
    return match[1], match[2]


def _last_line(log: Path) -> str:
    lines = log.read_text(encoding="utf-8", errors="replace").split("\n")
    return next((line for line in reversed(lines) if line.strip()), "")
