"""Imports Locust once and forks it for each cell: the import took half of a short cell.

Each cell still has a process of its own, without traces of the last one: the process that forks
runs no cell itself.

python -m loadtest.running.fork_server   reads lines of JSON: {"argv": [...], "log": PATH}
"""

import gc
import importlib
import json
import os
import select
import signal
import subprocess
import sys
import traceback
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from loadtest.control.stages import StageReader
from loadtest.limits import IMPORT_LIMIT_S
from loadtest.running.processes import first_line, last_line, running
from loadtest.running.target import CellError
from servers.sockets.kernel import die_with_parent


class Forked:
    """A process that is not our child, with the methods of ``subprocess.Popen``."""

    def __init__(self, pid: int) -> None:
        try:
            self._fd = os.pidfd_open(pid)
        except ProcessLookupError:  # it has ended already: its log says why
            self._fd, writer = os.pipe()  # always readable, as the pidfd of an ended process
            os.close(writer)

    def poll(self) -> int | None:
        """Return None while it runs, then 0: only its parent can read its status."""
        return 0 if select.select([self._fd], [], [], 0)[0] else None

    def terminate(self) -> None:
        """Send SIGTERM."""
        with suppress(OSError):  # it has ended, before there was a descriptor of it or since
            signal.pidfd_send_signal(self._fd, signal.SIGTERM)

    def wait(self, timeout: float) -> int:
        """Wait for its end.

        Raises:
            subprocess.TimeoutExpired: It has not come in time.
        """
        if not select.select([self._fd], [], [], timeout)[0]:
            raise subprocess.TimeoutExpired("locust", timeout)
        return 0

    def kill(self) -> None:
        """Kill it, and wait for its end."""
        with suppress(OSError):  # it has ended, before there was a descriptor of it or since
            signal.pidfd_send_signal(self._fd, signal.SIGKILL)
        self.wait(IMPORT_LIMIT_S)
        os.close(self._fd)


class LocustForkServer:
    """The process that forks Locust, as its parent uses it.

    Args:
        process: ``python -m loadtest.running.fork_server``.
        stages: Reads what each Locust reports; all of them inherit its other end.
    """

    def __init__(self, process: "subprocess.Popen[str]", stages: StageReader) -> None:
        self._process, self.stages = process, stages

    @contextmanager
    def running(self, argv: Sequence[str], log: Path) -> Iterator[Forked]:
        """Run Locust for the length of a block, which ends it.

        Raises:
            CellError: The process that forks has ended, or does not answer.
        """
        assert self._process.stdin is not None and self._process.stdout is not None
        self.stages.begin()
        wanted = json.dumps({"argv": list(argv), "log": str(log.absolute())})
        try:
            # Not buffered: bytes left by a broken pipe would raise again when the file is closed.
            os.write(self._process.stdin.fileno(), f"{wanted}\n".encode())
        except BrokenPipeError as error:
            raise CellError("the process that forks Locust has ended") from error
        readable, _, _ = select.select([self._process.stdout], [], [], IMPORT_LIMIT_S)
        if not readable:
            self._process.kill()  # a late answer would be taken for the next cell's
            self._process.wait()
            raise CellError(
                f"the process that forks Locust has not answered for {IMPORT_LIMIT_S:g} s"
            )
        pid = self._process.stdout.readline()
        if not pid:
            raise CellError("the process that forks Locust has ended")
        forked = Forked(int(pid))
        try:
            yield forked
        finally:
            forked.kill()


@contextmanager
def locust_fork_server(cores: Sequence[int], log: Path) -> Iterator[LocustForkServer]:
    """Run a fork server for the length of a block.

    Raises:
        CellError: It does not start; says why.
    """
    command = [sys.executable, "-m", "loadtest.running.fork_server"]
    with (
        StageReader() as stages,
        running(command, cores, log, pass_fds=[stages.writing_fd]) as process,
    ):
        if first_line(process, IMPORT_LIMIT_S) != "ready\n":
            raise CellError(f"Locust cannot be imported: {last_line(log)}")
        yield LocustForkServer(process, stages)


def main() -> None:
    """Import Locust, then fork it for each line of standard input, until that ends."""
    importlib.import_module("locust.main")
    importlib.import_module("loadtest.locustfile")
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # children leave no zombies
    gc.collect()
    gc.freeze()  # else the first collection in a child would copy all pages
    print("ready", flush=True)
    while line := sys.stdin.readline():
        wanted = json.loads(line)
        pid = os.fork()
        if not pid:
            _become_locust(wanted["argv"], wanted["log"])
        print(pid, flush=True)


def _become_locust(argv: list[str], log: str) -> None:
    """Run Locust in this process as if started by a shell; does not return."""
    locust: Any = sys.modules["locust.main"]
    status = 1
    try:
        die_with_parent()
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        out = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o666)
        for fd in (1, 2):
            os.dup2(out, fd)
        os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
        sys.argv = argv
        locust.main()
        status = 0
    except SystemExit as end:
        status = end.code if isinstance(end.code, int) else 1
    except BaseException:  # print it, as the interpreter would at its end
        with suppress(OSError):  # the disk of the log may be full
            traceback.print_exc()
    finally:
        for stream in (sys.stdout, sys.stderr):
            with suppress(OSError):  # the same
                stream.flush()
        os._exit(status)  # not sys.exit(), which would go on in the parent's loop


if __name__ == "__main__":
    main()
