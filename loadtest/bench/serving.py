"""Start any server of the benchmark: a model, or another server."""

import shlex
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

from loadtest.bench.contestants import PEERS
from loadtest.bench.peer_app import HELLO
from loadtest.client.address import Address, url_of
from loadtest.client.clients import HTTPClient
from loadtest.measure.errors import ReplyError
from loadtest.running.processes import last_line, running
from loadtest.running.servers import READY_S, started
from loadtest.running.target import CellError, free_port


class Running(NamedTuple):
    """A server that has given the right reply."""

    process: subprocess.Popen[str]
    address: Address


@contextmanager
def serving(name: str, cores: Sequence[int], log: Path, *flags: str) -> Iterator[Running]:
    """Run a model or another server for the length of a block, and kill it afterwards.

    Args:
        name: Of either.
        cores: Those it may use.
        log: File for its standard error.
        flags: Further ones for a model's launcher.

    Raises:
        CellError: It does not listen, or its reply to ``GET /`` is wrong.
    """
    if name in PEERS:
        address = Address("127.0.0.1", free_port())
        words = shlex.split(PEERS[name].command.format(port=address.port))
        with running([sys.executable, *words, PEERS[name].app], cores, log) as process:
            _wait_until_listening(process, address, log)
            yield _checked(process, address)
    else:
        with started(name, cores, log, *flags) as server:
            yield _checked(server.process, url_of(f"http://{server.http}", 80).address)


def _wait_until_listening(process: subprocess.Popen[str], address: Address, log: Path) -> None:
    give_up_s = time.monotonic() + READY_S
    while True:
        try:
            socket.create_connection(address, 1).close()
        except OSError:  # not yet, or never
            if process.poll() is not None or time.monotonic() > give_up_s:
                raise CellError(f"the server is not ready: {last_line(log)}") from None
            time.sleep(0.05)
        else:
            return


def _checked(process: subprocess.Popen[str], address: Address) -> Running:
    try:
        with HTTPClient(address) as client:
            client.get("/", HELLO)
    except ReplyError as error:  # it listens, but its reply differs from the others'
        raise CellError(f"GET / went wrong: {error}") from error
    return Running(process, address)
