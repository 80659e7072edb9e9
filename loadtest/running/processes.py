"""Child processes of a measurement: pinned to cores, and never left behind."""

import ctypes
import os
import select
import signal
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

_ROOT = Path(__file__).parent.parent.parent
"""The working directory that makes ``python -m servers`` work without an installation."""

_PR_SET_CHILD_SUBREAPER = 36


def raise_on_signals() -> None:
    """Let SIGINT and SIGTERM raise KeyboardInterrupt, so that every child process is ended.

    A shell starts background jobs with SIGINT ignored; that is overridden, too.
    """
    for signum in (signal.SIGINT, signal.SIGTERM):
        signal.signal(signum, signal.default_int_handler)


@contextmanager
def running(
    command: Sequence[str], cores: Sequence[int], log: Path, pass_fds: Sequence[int] = ()
) -> Iterator[subprocess.Popen[str]]:
    """Run a command for the length of a block, and kill its process group afterwards.

    Args:
        command: It must not start a session or process group of its own.
        cores: Those it and its children may use.
        log: File for its standard error.
        pass_fds: Descriptors that it inherits, under the same numbers.
    """
    start = ["-m", "loadtest.running.start", ",".join(map(str, cores)), str(os.getpid())]
    with (
        log.open("w", encoding="utf-8") as stderr,
        subprocess.Popen(  # noqa: S603  # our own commands
            [sys.executable, *start, *command],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=stderr,
            text=True,
            cwd=_ROOT,
            pass_fds=pass_fds,
            process_group=0,  # a Ctrl-C reaches this process alone, which ends the group
        ) as process,
    ):
        try:
            yield process
        finally:
            _end_group(process)


def _end_group(process: subprocess.Popen[str]) -> None:
    """Kill a process group, even if its leader has ended, and reap its processes."""
    with suppress(ProcessLookupError):  # all have ended and been reaped
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    with suppress(ChildProcessError):  # no child is left
        while True:
            os.waitpid(-process.pid, 0)


def adopt_orphans() -> None:
    """Become the parent of every descendant whose own parent has ended (prctl(2)).

    After a group has been killed, each of its processes can then be waited for, so that 10,000
    processes on their way out do not disturb the next measurement.
    """
    ctypes.CDLL(None).prctl(_PR_SET_CHILD_SUBREAPER, ctypes.c_ulong(1))


def first_line(process: subprocess.Popen[str], limit_s: float) -> str:
    """Return the first line that a process prints; "" if it prints none within the limit."""
    assert process.stdout is not None
    readable, _, _ = select.select([process.stdout], [], [], limit_s)
    return process.stdout.readline() if readable else ""


def last_line(log: Path) -> str:
    """Return the last line of a log that is not blank."""
    return next((line for line in reversed(lines_of(log)) if line.strip()), "")


def lines_of(log: Path) -> list[str]:
    """Return the lines of a log; none if it does not exist, as on a full disk."""
    try:
        return log.read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:  # it could not be created
        return []
