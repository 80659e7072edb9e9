"""What the load is aimed at: a model of ours, started for it, or a server that runs somewhere."""

import re
import select
import socket
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from loadtest.address import Address, address_of
from loadtest.errors import NotConnectedError
from loadtest.processes import last_line, running

READY_S = 30.0
STOP_S = 40.0
"""For a server to listen, and to end: it allows itself 30 s of grace."""

PROBE_S = 5.0
"""For a server that runs somewhere to take a connection."""

_READY = re.compile(r"listening model=\S+ http=(\S+) echo=(\S+) pid=(\d+)\n")


class CellError(Exception):
    """A cell could not be run; says why."""


@dataclass(frozen=True)
class Target:
    """A server.

    Attributes:
        name: What results call it.
        host: ``http://HOST:PORT`` or ``tcp://HOST:PORT``.
        echo: Where echo is spoken; "" where it is not known.
        pid: Of the server, if it is to be watched from outside; 0 if not.
        cores: How many it may use; 0: not known.
    """

    name: str
    host: str
    echo: str = ""
    pid: int = 0
    cores: int = 0

    @classmethod
    def parse(cls, text: str, pid: int = 0, name: str = "") -> "Target":
        """Return the server at ``http://HOST:PORT`` or ``tcp://HOST:PORT``.

        Raises:
            ValueError: It is neither, or nobody listens there; says what to do.
        """
        if not text.startswith(("http://", "tcp://")):
            raise ValueError(f"expected http://HOST:PORT or tcp://HOST:PORT, got {text!r}")
        tcp = text.startswith("tcp://")
        try:
            address = address_of(text, 7000 if tcp else 80)
            socket.create_connection(address, PROBE_S).close()
        except NotConnectedError as error:  # it says what was expected and what was got
            raise ValueError(str(error)) from error
        except OSError as error:  # nobody there, or no such host
            raise ValueError(
                f"expected a server at {text}, got: {error.strerror or error}; start it first, or"
                " name one of ours"
            ) from error
        return cls(name or text, text, f"{address.host}:{address.port}" if tcp else "", pid)

    @property
    def speaks_http(self) -> bool:
        """Whether it can be asked over HTTP."""
        return self.host.startswith("http://")


@contextmanager
def serving(model: str, cores: Sequence[int], log: Path, workers: int = 1) -> Iterator[Target]:
    """Run a model for the length of a block; it has to end well.

    Raises:
        CellError: It does not serve, or does not end as it should.
    """
    argv = ["servers", model, "--http-port=0", "--echo-port=0", f"--workers={workers}"]
    argv += ["--timeout-keep-alive=3600", "--timeout-echo-idle=3600"]  # a turn may come late
    with running([sys.executable, "-m", *argv], cores, log) as process:
        http, echo = _announced(process, log)
        yield Target(model, f"http://{http}", echo, cores=len(cores))
        process.terminate()
        try:
            status = process.wait(STOP_S)
        except subprocess.TimeoutExpired as late:
            raise CellError(f"the server had not ended after {STOP_S:g} s") from late
        if status != 0:
            raise CellError(f"the server exited with {status}, expected 0: {last_line(log)}")


def _announced(process: subprocess.Popen[str], log: Path) -> tuple[str, str]:
    """Return the addresses for HTTP and echo that a model prints when it listens."""
    assert process.stdout is not None
    readable, _, _ = select.select([process.stdout], [], [], READY_S)
    line = process.stdout.readline() if readable else ""
    match = _READY.fullmatch(line)
    if match is None:
        raise CellError(f"the server is not ready: {last_line(log) or repr(line)}")
    return match[1], match[2]


def free_port() -> int:
    """Return a port that was free a moment ago: not everybody can say which they have picked."""
    with socket.create_server(("127.0.0.1", 0)) as sock:
        return Address(*sock.getsockname()[:2]).port
