"""Limits on descriptors, memory and processes, and what a server uses of them."""

import os
import re
import resource
import shutil
import socket
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import pytest

from tests.support.preload import preloadable
from tests.support.running import DEADLINE_S, Server, wait_until

ROOT = Path(__file__).parent.parent.parent


class Socket(NamedTuple):
    """A TCP socket that some process has open, as the kernel's table shows it (proc_net_tcp(5))."""

    port: int
    peer_port: int
    unsent_bytes: int
    unread_bytes: int


def open_sockets(port: int) -> list[Socket]:
    """Return the accepted IPv4 sockets of a port, without the listener."""
    socks = []
    for line in Path("/proc/net/tcp").read_text().splitlines()[1:]:
        if f":{port:04X} " not in line:  # there may be thousands
            continue
        _, local, remote, state, queues, _, _, _, _, inode, *_ = line.split()
        if state != "0A" and inode != "0":
            unsent, unread = (int(count, 16) for count in queues.split(":"))
            socks.append(Socket(int(local[-4:], 16), int(remote[-4:], 16), unsent, unread))
    return socks


def wait_until_received(server: Server, *clients: socket.socket) -> None:
    """Wait until the server has accepted these clients and dealt with all that they have sent."""

    def received(client: socket.socket) -> bool:
        port, server_port = client.getsockname()[1], client.getpeername()[1]
        ends = {
            sock.port: sock
            for sock in open_sockets(port)
            if {sock.port, sock.peer_port} == {port, server_port}
        }
        return (
            server_port in ends
            and ends[port].unsent_bytes == 0
            and ends[server_port].unread_bytes == 0
        )

    # It may still be working on what it has read.
    wait_until(
        lambda: all(map(received, clients)) and asleep(server), "a server that has received all"
    )


def asleep(server: Server) -> bool:
    """Return whether each thread of each of the server's processes waits for something."""
    return all(state == "S" for pid in server.processes for state in tasks_of(pid))


def tasks_of(pid: int) -> Iterator[str]:
    """Yield the state of each thread of a process: S waits for something, R works."""
    for stat in Path(f"/proc/{pid}/task").glob("*/stat"):
        try:
            yield stat.read_text().rpartition(")")[2].split()[0]
        except (FileNotFoundError, ProcessLookupError):  # it has ended since it was listed
            continue


def wakings(server: Server) -> int:
    """Return how often the server's threads have waited for something and gone on."""
    waited = 0
    for pid in server.processes:
        for status in Path(f"/proc/{pid}/task").glob("*/status"):
            found = re.search(
                r"^voluntary_ctxt_switches:\s*(\d+)", status.read_text(), re.MULTILINE
            )
            waited += int(found[1]) if found else 0
    return waited


def descriptors_at_rest(server: Server) -> int:
    """Return how many descriptors the server has open after it has served its last client."""
    for _ in range(20 * server.workers):
        server.get("/healthz")  # what is made once, at first use, is there from now on
    ports = {address[1] for address in (server.http, server.echo) if address}
    wait_until(
        lambda: (
            server.children == []
            and all(sock.port != port for port in ports for sock in open_sockets(port))
        ),
        "a server without clients",
    )
    return sum(map(descriptors_of, server.acceptors))


def descriptors_of(pid: int) -> int:
    """Return how many descriptors a process has open."""
    return len(os.listdir(f"/proc/{pid}/fd"))  # noqa: PTH208 - names, not paths


def wait_until_left(server: Server, descriptors: int) -> None:
    """Wait until the server holds no more than it did at rest."""
    wait_until(
        lambda: sum(map(descriptors_of, server.acceptors)) <= descriptors and server.children == [],
        "as few descriptors as before, and no child",
    )


def cpu_s(pid: int) -> float:
    """Return the CPU time that a process with all its threads has used."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def alive_in_session(session: int) -> list[int]:
    """Return the processes of a session; a zombie is dead, and only waits for its parent."""
    alive = []
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit():
            continue
        try:
            fields = (entry / "stat").read_text().rpartition(")")[2].split()
        except (FileNotFoundError, ProcessLookupError):  # it has ended since it was listed
            continue
        if int(fields[3]) == session and fields[0] != "Z":
            alive.append(int(entry.name))
    return alive


@contextmanager
def no_descriptor_left(pid: int) -> Iterator[None]:
    """Let a process open no more descriptors, for the length of a block."""
    before = resource.prlimit(pid, resource.RLIMIT_NOFILE)
    taken = {int(name) for name in os.listdir(f"/proc/{pid}/fd")}  # noqa: PTH208
    lowest_free = min(set(range(len(taken) + 1)) - taken)
    resource.prlimit(pid, resource.RLIMIT_NOFILE, (lowest_free, before[1]))
    try:
        yield
    finally:
        resource.prlimit(pid, resource.RLIMIT_NOFILE, before)


@contextmanager
def little_memory_left(pid: int, left_bytes: int) -> Iterator[None]:
    """Let a process allocate at most ``left_bytes`` more, for the length of a block."""
    before = resource.prlimit(pid, resource.RLIMIT_AS)
    pages = int(Path(f"/proc/{pid}/statm").read_text("ascii").split()[0])
    most = pages * resource.getpagesize() + left_bytes
    resource.prlimit(pid, resource.RLIMIT_AS, (most, before[1]))
    try:
        yield
    finally:
        resource.prlimit(pid, resource.RLIMIT_AS, before)


def as_nobody() -> list[str]:
    """Return a command prefix that gives up root for an unused user id."""
    if os.getuid() != 0 or shutil.which("setpriv") is None:
        pytest.skip("only root, with setpriv, can start a server as another user")
    uid = 100_000 + os.getpid()  # RLIMIT_NPROC counts all processes of a user
    prefix = ["setpriv", f"--reuid={uid}", f"--regid={uid}", "--clear-groups"]
    trial = subprocess.run(
        [*prefix, sys.executable, "-c", "import servers"],
        cwd=ROOT,
        capture_output=True,
        timeout=DEADLINE_S,
    )
    if trial.returncode != 0:
        pytest.skip("another user may not run this interpreter or read this project")
    return prefix


def launch(
    *argv: str, env: Mapping[str, str] | None = None, prefix: Sequence[str] = ()
) -> tuple[int, str, str]:
    """Run the launcher to its end; return its status, standard output and standard error."""
    done = subprocess.run(
        [*prefix, sys.executable, "-m", "servers", *argv],
        capture_output=True,
        text=True,
        timeout=DEADLINE_S,
        cwd=ROOT,
        env={**os.environ, **(env or {})},
    )
    return done.returncode, done.stdout, done.stderr


def fails_to_start(*argv: str, prefix: Sequence[str] = ()) -> str:
    """Start a server that must fail; return the one line on its standard error."""
    status, out, err = launch("threaded", "--http-port=0", "--echo-port=0", *argv, prefix=prefix)
    assert (status, out) == (3, ""), err
    assert re.fullmatch(r"[^\n]+\n", err)
    return err


def falling_asleep_slowly() -> dict[str, str]:
    """Return an environment where poll() and epoll begin half a second late, or at a signal.

    A process that is preempted on its way there meets the same by chance. A signal's Python
    handler runs only once it is back, so what wakes it must be written by the signal itself.
    """
    return {"LD_PRELOAD": str(preloadable("late"))}
