"""Start a server of this project for the length of a block, and end it."""

import re
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

from loadtest.running.processes import first_line, last_line, running
from loadtest.running.target import CellError, Target

READY_S = 30.0
"""For a server to listen; the slowest one takes 2 s."""

STOP_S = 40.0
"""For a server to end: its own grace period is 30 s."""

_READY = re.compile(r"listening model=\S+ http=(\S+) echo=(\S+) pid=\d+\n")


class Started(NamedTuple):
    """A server that listens; its addresses as ``HOST:PORT``."""

    process: subprocess.Popen[str]
    http: str
    echo: str


@contextmanager
def started(model: str, cores: Sequence[int], log: Path, *flags: str) -> Iterator[Started]:
    """Run a model on free ports for the length of a block, and kill it afterwards.

    Args:
        model: Its name.
        cores: Those it may use.
        log: File for its standard error.
        flags: Further ones for the launcher.

    Raises:
        CellError: It does not listen within READY_S.
    """
    command = [sys.executable, "-m", "servers", model, "--http-port=0", "--echo-port=0", *flags]
    with running(command, cores, log) as process:
        line = first_line(process, READY_S)
        ready = _READY.fullmatch(line)
        if ready is None:
            raise CellError(f"the server is not ready: {last_line(log) or repr(line)}")
        yield Started(process, ready[1], ready[2])


@contextmanager
def serving(model: str, cores: Sequence[int], log: Path, workers: int = 1) -> Iterator[Target]:
    """Run a model for the length of a block, and end it as an operator would.

    Raises:
        CellError: It does not listen, or does not exit with 0 when it gets a SIGTERM.
    """
    # The time-outs: a connection may be silent for as long as a whole cell takes.
    flags = [f"--workers={workers}", "--timeout-keep-alive=3600", "--timeout-echo-idle=3600"]
    with started(model, cores, log, *flags) as server:
        yield Target(model, f"http://{server.http}", server.echo, cores=len(cores))
        server.process.terminate()
        try:
            status = server.process.wait(STOP_S)
        except subprocess.TimeoutExpired as late:
            raise CellError(f"the server had not ended after {STOP_S:g} s") from late
        if status != 0:
            raise CellError(f"the server exited with {status}, expected 0: {last_line(log)}")
