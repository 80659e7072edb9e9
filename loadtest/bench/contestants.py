"""Who is compared with whom, and how each is started."""

import importlib.util
import re
import select
import shlex
import socket
import subprocess
import sys
import time
from collections.abc import Collection, Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

from loadtest.bench.peer_app import HELLO
from loadtest.bench.processes import BenchError
from loadtest.client.address import Address
from loadtest.client.clients import HTTPClient
from loadtest.measure.errors import ReplyError
from loadtest.running.processes import last_line, running
from loadtest.running.target import free_port

READY_S = 30.0
"""For a server to listen; the slowest peer takes 2 s."""

_READY = re.compile(r"listening model=\S+ http=127\.0\.0\.1:(\d+) echo=\S+ pid=\d+\n")


class Peer(NamedTuple):
    """Another server, with one process that serves."""

    command: str  # after "python"; {port} stands for its port
    packages: tuple[str, ...]  # the modules it needs
    app: str = "loadtest.bench.peer_app:wsgi"
    remark: str = ""

    @property
    def missing(self) -> list[str]:
        """Return the packages that are not installed."""
        return [name for name in self.packages if importlib.util.find_spec(name) is None]


_GUNICORN = "-m gunicorn --bind 127.0.0.1:{port} --workers 1 --log-level warning --worker-class "

PEERS = {
    "fastpysgi": Peer(  # it has no __main__
        "-c 'import fastpysgi; fastpysgi.run_from_cli()' --host 127.0.0.1 --port {port}",
        ("fastpysgi",),
    ),
    "uvicorn": Peer(
        "-m uvicorn --host 127.0.0.1 --port {port} --http httptools --loop uvloop"
        " --lifespan off --no-access-log --log-level warning",
        ("uvicorn", "httptools", "uvloop"),
        app="loadtest.bench.peer_app:asgi",
        remark="httptools, uvloop",
    ),
    "granian": Peer(
        "-m granian --host 127.0.0.1 --port {port} --interface wsgi --workers 1"
        " --no-access-log --log-level warning",
        ("granian",),
        remark="WSGI, its own choice of threads",
    ),
    "gunicorn-gthread": Peer(_GUNICORN + "gthread --threads 4", ("gunicorn",), remark="4 threads"),
    "gunicorn-gevent": Peer(_GUNICORN + "gevent", ("gunicorn", "gevent")),
    "gunicorn-sync": Peer(
        _GUNICORN + "sync", ("gunicorn",), remark="closes after each request: no keep-alive"
    ),
}


class Comparison(NamedTuple):
    """A model's CPU time per request, as a share of a peer's: at most the target."""

    model: str
    peer: str
    ratio_max: float


COMPARISONS = (
    Comparison("uvloop", "fastpysgi", 1.15),
    Comparison("uvloop", "uvicorn", 0.35),
    Comparison("asyncio", "uvicorn", 0.4),
    Comparison("threaded", "granian", 0.85),
    Comparison("threaded", "gunicorn-gthread", 0.1),
    Comparison("gevent", "gunicorn-gevent", 0.15),
    Comparison("forking", "gunicorn-sync", 0.1),
)


def order(models: Sequence[str]) -> list[str]:
    """Return who runs in a round: each model with its peers next to it, each once."""
    names: list[str] = []
    for model in models:
        names += [model, *(pair.peer for pair in comparisons([model]))]
    return list(dict.fromkeys(names))


def comparisons(names: Collection[str]) -> list[Comparison]:
    """Return the comparisons that some contestants ask for."""
    return [pair for pair in COMPARISONS if pair.model in names]


def missing_peers(names: Iterable[str]) -> dict[str, list[str]]:
    """Return the peers that cannot run, and the packages they lack."""
    return {name: PEERS[name].missing for name in names if name in PEERS and PEERS[name].missing}


class Running(NamedTuple):
    """A server that has answered rightly."""

    process: subprocess.Popen[str]
    address: Address


@contextmanager
def serving(name: str, cores: Sequence[int], log: Path, *flags: str) -> Iterator[Running]:
    """Run a model or a peer for the length of a block.

    Args:
        name: Of either.
        cores: Those it may use.
        log: What it has to say on standard error goes there.
        flags: More of them for a model.

    Raises:
        BenchError: It doesn't serve.
    """
    if name in PEERS:
        address = Address("127.0.0.1", free_port())
        peer = PEERS[name]
        words = shlex.split(peer.command.format(port=address.port))
        command = [sys.executable, *words, peer.app]
        with running(command, cores, log) as process:
            _wait_until_listening(process, address, log)
            yield _checked(process, address)
    else:
        command = [sys.executable, "-m", "servers", name, "--http-port=0", "--echo-port=0", *flags]
        with running(command, cores, log) as process:
            yield _checked(process, _announced(process, log))


def _announced(process: subprocess.Popen[str], log: Path) -> Address:
    """Return the address that a model prints when it listens."""
    assert process.stdout is not None
    readable, _, _ = select.select([process.stdout], [], [], READY_S)
    line = process.stdout.readline() if readable else ""
    match = _READY.fullmatch(line)
    if match is None:
        raise BenchError(f"the server is not ready: {last_line(log) or repr(line)}")
    return Address("127.0.0.1", int(match[1]))


def _wait_until_listening(process: subprocess.Popen[str], address: Address, log: Path) -> None:
    give_up_s = time.monotonic() + READY_S
    while True:
        try:
            socket.create_connection(address, 1).close()
        except OSError:  # not yet, or never
            if process.poll() is not None or time.monotonic() > give_up_s:
                raise BenchError(f"the server is not ready: {last_line(log)}") from None
            time.sleep(0.05)
        else:
            return


def _checked(process: subprocess.Popen[str], address: Address) -> Running:
    try:
        with HTTPClient(address) as client:
            client.get("/", HELLO)
    except ReplyError as error:  # it listens, but doesn't serve what the others do
        raise BenchError(f"GET / went wrong: {error}") from error
    return Running(process, address)
