"""Processes that a measurement starts: on their own cores, and never left behind."""

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
"""Where ``python -m servers`` and ``python -m loadtest`` are found without an installation."""

_PR_SET_CHILD_SUBREAPER = 36


@contextmanager
def running(
    command: Sequence[str], cores: Sequence[int], log: Path, pass_fds: Sequence[int] = ()
) -> Iterator[subprocess.Popen[str]]:
    """Run a command for the length of a block; afterwards nothing of its group is left.

    Args:
        command: It must not start a session or process group of its own.
        cores: Those it may use, with all that it starts.
        log: What it has to say on standard error goes there.
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
            process_group=0,  # Ctrl-C is for us alone: it is this block that ends the others
        ) as process,
    ):
        try:
            yield process
        finally:
            _end_group(process)


def _end_group(process: subprocess.Popen[str]) -> None:
    """Kill a group, whether or not its first process has ended, and wait for its end."""
    with suppress(ProcessLookupError):  # all have ended, and have been waited for
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    with suppress(ChildProcessError):  # none is left that we could wait for
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
    """Return the last line of a log that says something."""
    return next((line for line in reversed(lines_of(log)) if line.strip()), "")


def lines_of(log: Path) -> list[str]:
    """Return what a log says; nothing if there is none, as on a full disk."""
    try:
        return log.read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:  # it could not be made
        return []
