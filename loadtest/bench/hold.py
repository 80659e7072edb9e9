"""Measure how a model holds connections, from outside; its idle window is free of requests."""

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from loadtest.bench.fresh import TIMEOUT_S, Fresh
from loadtest.bench.holding import Holding
from loadtest.bench.many_clients import ManyClients
from loadtest.bench.serving import serving
from loadtest.client.address import Address
from loadtest.client.clients import HTTPClient
from loadtest.measure.errors import ReplyError
from loadtest.measure.process_usage import cpu_s_of_tree
from loadtest.running.processes import first_line, last_line, running
from loadtest.running.target import CellError

IDLE_S = 10.0
SETTLE_S = 1.0
"""Before the idle window, so that children that served a scrape have ended."""

SCRAPE_S = 120.0
"""For a scrape with memory, which takes 0.3 ms a process on an idle machine."""

_OPEN = 'server_open_connections{protocol="http"}'
_REFUSED = (
    'server_refused_connections_total{protocol="http"}',
    'server_accept_errors_total{protocol="http"}',
)
_PROPORTIONAL = "server_proportional_bytes"


def hold(
    model: str,
    connections: int,
    folder: Path,
    advance: Callable[[int], None],
    idle_s: float = IDLE_S,
) -> Holding:
    """Let a model hold connections; after a failure, return a Holding with its reason.

    Args:
        model: Its name.
        connections: Their number.
        folder: For logs.
        advance: Called with the number of new replies; each connection gets two.
        idle_s: Length of the window without requests.
    """
    cores = sorted(os.sched_getaffinity(0))  # all of them: the targets are for the machine
    log = folder / f"hold-{model}.log"
    holding = Holding(model, connections)
    try:
        with (
            serving(model, cores, log, "--timeout-keep-alive=3600") as server,
            ManyClients(server.address, advance) as clients,
        ):
            _scrape(server.address)  # the first scrape allocates memory of its own
            before = _scrape(server.address)
            with _fresh_client(server.address, cores, log.with_suffix(".fresh.log")) as fresh:
                holding.accept_s = clients.connect(connections)
                holding.again_s = clients.request_again()
                time.sleep(SETTLE_S)
                holding.fresh = _stopped(fresh)
            holding.answered_twice = len(clients.answered)
            holding.errors = dict(clients.errors)
            _take_memory(holding, before, _scrape(server.address))
            time.sleep(SETTLE_S)
            _take_idle(holding, server.process.pid, idle_s)
            holding.open_at_end = int(_scrape(server.address)[_OPEN]) - 1  # the scrape's own
    except (CellError, ReplyError) as error:  # the next model may succeed
        holding.error = str(error)
    except OSError as error:  # no descriptor or port left for the clients
        holding.error = f"the clients failed: {error}"
    return holding


def _take_memory(holding: Holding, before: Mapping[str, float], after: Mapping[str, float]) -> None:
    holding.refused = int(sum(after[name] - before[name] for name in _REFUSED))
    if holding.answered_twice:
        holding.memory_bytes_per_connection = (
            after[_PROPORTIONAL] - before[_PROPORTIONAL]
        ) / holding.answered_twice


def _take_idle(holding: Holding, pid: int, idle_s: float) -> None:
    start_s, start_cpu_s = time.perf_counter(), cpu_s_of_tree(pid)
    time.sleep(idle_s)
    holding.idle_s = time.perf_counter() - start_s
    holding.idle_cpu_s = cpu_s_of_tree(pid) - start_cpu_s


@contextmanager
def _fresh_client(address: Address, cores: list[int], log: Path) -> Iterator[subprocess.Popen[str]]:
    """Run a fresh client for the length of a block, after its first request."""
    command = [sys.executable, "-m", "loadtest.bench.fresh", address.host, str(address.port)]
    with running(command, cores, log) as client:
        if first_line(client, 2 * TIMEOUT_S) != "\n":
            raise CellError(f"the fresh client failed: {last_line(log)}")
        yield client


def _stopped(client: subprocess.Popen[str]) -> Fresh:
    try:
        output, _ = client.communicate(timeout=TIMEOUT_S + SETTLE_S)
    except subprocess.TimeoutExpired as error:  # it should have timed out by itself
        raise CellError("the fresh client did not end") from error
    return Fresh(**json.loads(output))


def _scrape(address: Address) -> dict[str, float]:
    """Return the server's metrics, its memory included: ``name{labels}`` -> value."""
    with HTTPClient(address, SCRAPE_S) as client:
        text = client.get("/metrics?memory=pss", expected=None).decode()
    samples = (line.rpartition(" ") for line in text.splitlines() if not line.startswith("#"))
    return {name: float(value) for name, _, value in samples}
