"""A server in its own process, started by its launcher, that leaves no process behind."""

import ctypes
import os
import re
import select
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO

from prometheus_client.parser import text_string_to_metric_families

from servers.counting.process_tree import children_of

DEADLINE_S = 30.0
"""A deadline for all that a test waits for: only a defect lets it pass."""

_SYS_PIDFD_GETFD = 438
_libc = ctypes.CDLL(None)

WORKERS = 1
"""Workers of every server whose test does not choose a number."""

READY = re.compile(r"listening model=(\S+) http=(\S+) echo=(\S+) pid=(\d+)\n")


@dataclass
class Server:
    """A running server."""

    model: str
    process: subprocess.Popen[str]
    http: tuple[str, int] | None
    echo: tuple[str, int] | None
    pid: int
    stderr: IO[str] = field(repr=False)
    workers: int = 1

    @property
    def acceptors(self) -> list[int]:
        """The processes that accept: the one that was started, or its workers."""
        return children_of(self.pid) if self.workers > 1 else [self.pid]

    @property
    def children(self) -> list[int]:
        """The processes that serve a client each."""
        return [child for pid in self.acceptors for child in children_of(pid)]

    @property
    def processes(self) -> list[int]:
        """All of its processes."""
        return list(dict.fromkeys([self.pid, *self.acceptors, *self.children]))

    def connect(self, protocol: str = "http") -> socket.socket:
        """Return a new connection, with a deadline on all it does."""
        address = self.http if protocol == "http" else self.echo
        assert address is not None
        return socket.create_connection(address, DEADLINE_S)

    def ask(self, request: bytes) -> bytes:
        """Send on a new connection, stop sending, and return all that comes back."""
        with self.connect() as sock:
            sock.sendall(request)
            sock.shutdown(socket.SHUT_WR)
            return read_to_end(sock)

    def get(self, path: str) -> bytes:
        """Return the content of a resource; it must be there."""
        head, _, content = self.ask(f"GET {path} HTTP/1.1\r\nHost: a\r\n\r\n".encode()).partition(
            b"\r\n\r\n"
        )
        assert head.startswith(b"HTTP/1.1 200 "), head
        return content

    def metrics(self, query: str = "") -> dict[str, float]:
        """Return /metrics: "name{label values}" -> value."""
        values = {}
        for family in text_string_to_metric_families(self.get("/metrics" + query).decode()):
            for sample in family.samples:
                labels = ",".join(sample.labels.values())
                values[f"{sample.name}{{{labels}}}" if labels else sample.name] = sample.value
        return values

    def accepted_sockets(self, client: socket.socket) -> Iterator[socket.socket]:
        """Yield the server's end of a connection, taken from the process that holds it."""
        for pid in self.processes:
            pidfd = os.pidfd_open(pid)
            for fd in Path(f"/proc/{pid}/fd").iterdir():
                if not str(fd.readlink()).startswith("socket:"):
                    continue
                copy = _libc.syscall(_SYS_PIDFD_GETFD, pidfd, int(fd.name), 0)
                with socket.socket(fileno=copy) as sock:
                    if sock.family != socket.AF_INET:
                        continue
                    try:
                        peer = sock.getpeername()
                    except OSError:  # a listener has none
                        continue
                    if peer == client.getsockname():
                        yield sock
            os.close(pidfd)

    def log(self) -> str:
        """Return what it has written on standard error so far."""
        self.stderr.seek(0)
        return self.stderr.read()

    def stop(self) -> int:
        """Send SIGTERM and return the exit status."""
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(DEADLINE_S)


def read_to_end(sock: socket.socket) -> bytes:
    """Return all that the peer sends before it stops sending."""
    parts = []
    while part := sock.recv(65536):
        parts.append(part)
    return b"".join(parts)


def command(model: str, *flags: str) -> list[str]:
    """Return the command line of a server on free ports."""
    return [sys.executable, "-m", "servers", model, "--http-port=0", "--echo-port=0", *flags]


@contextmanager
def running(
    model: str,
    *flags: str,
    prefix: Sequence[str] = (),
    env: Mapping[str, str] | None = None,
    stderr_path: Path | None = None,
    stderr_fd: int | None = None,
    workers: int | None = None,
) -> Iterator[Server]:
    """Run a server for the length of a block; it must leave no process behind.

    Args:
        workers: None: as ``--workers`` of pytest; 0: without the flag.
    """
    if workers is None:
        workers = WORKERS
    count = [f"--workers={workers}"] if workers else []
    path = stderr_path or Path(f"/proc/self/fd/{os.memfd_create('stderr')}")
    with path.open("w+", encoding="utf-8") as stderr:
        process = subprocess.Popen(
            [*prefix, *command(model, *count, *flags)],
            stdout=subprocess.PIPE,
            stderr=stderr if stderr_fd is None else stderr_fd,
            text=True,
            env={**os.environ, **(env or {})},
            cwd=Path(__file__).parent.parent.parent,
        )
        try:
            assert process.stdout is not None
            ready, _, _ = select.select([process.stdout], [], [], DEADLINE_S)
            line = process.stdout.readline() if ready else ""
            match = READY.fullmatch(line)
            stderr.seek(0)
            assert match is not None, f"{line!r} {stderr.read()}"
            http, echo, pid = _address(match[2]), _address(match[3]), int(match[4])
            yield Server(match[1], process, http, echo, pid, stderr, workers)
        finally:
            process.kill()
            process.wait(DEADLINE_S)
            if process.stdout is not None:
                process.stdout.close()


@contextmanager
def stopped(server: Server) -> Iterator[None]:
    """Stop all of a server's processes for the length of a block."""
    processes = server.processes
    for pid in processes:
        with suppress(ProcessLookupError):  # a child that has ended since it was listed
            os.kill(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        for pid in processes:
            with suppress(ProcessLookupError):  # a child that had just ended
                os.kill(pid, signal.SIGCONT)


def _address(text: str) -> tuple[str, int] | None:
    if text == "off":
        return None
    host, _, port = text.rpartition(":")
    return host.strip("[]"), int(port)


def wait_until(true: Callable[[], bool], what: str, limit_s: float = DEADLINE_S) -> None:
    """Poll until a condition is true; fail after the deadline."""
    give_up_s = time.monotonic() + limit_s
    while not true():
        assert time.monotonic() < give_up_s, f"timed out waiting for {what}"
        time.sleep(0.005)


def process_is_gone(pid: int) -> bool:
    """Return whether no such process is left, not even a zombie."""
    return not Path(f"/proc/{pid}").exists()
