"""Whether a comparison is still running: its process may have been killed without a word.

Its pid tells, if the reader sees the same processes. A dashboard in another container, or beside a
copy of the folder, sees others; there only the heartbeat tells, a file that the run touches.
"""

import os
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

HEARTBEAT = "heartbeat"
"""An empty file, so that a full disk does not stop the heartbeat."""

HEARTBEAT_INTERVAL_S = 5.0
HEARTBEAT_AGE_MAX_S = 60.0
"""A machine that gives a thread no core for a minute cannot measure either."""

_BOOT_ID = Path("/proc/sys/kernel/random/boot_id")
_NAMESPACE = Path("/proc/self/ns/pid")
_PID_MAX = 1 << 22  # PID_MAX_LIMIT; a file may hold any number
_ENDED = "ZX"  # a zombie, or dead: proc_pid_stat(5)


@dataclass(frozen=True)
class Runner:
    """A process that runs a comparison.

    Attributes:
        pid: 0: unknown.
        begun_ticks: Its start, in clock ticks since boot; a later process may reuse the pid.
        where: The boot and pid namespace in which the pid is valid; "" if unknown.
    """

    pid: int = 0
    begun_ticks: int = 0
    where: str = ""


def this_process() -> Runner:
    """Return the identity of this process."""
    stat = _stat(os.getpid())
    return Runner(os.getpid(), stat[1] if stat else 0, _here())


def beat(folder: Path) -> None:
    """Show that the run in a folder is alive."""
    with suppress(OSError):  # the folder has been removed, or is read-only by now
        (folder / HEARTBEAT).touch()


@contextmanager
def beating(folder: Path) -> Iterator[None]:
    """Show every few seconds that a run is alive, for the length of a block."""
    ended = threading.Event()

    def beat_on() -> None:
        while not ended.wait(HEARTBEAT_INTERVAL_S):
            beat(folder)

    thread = threading.Thread(target=beat_on, name="heartbeat", daemon=True)
    beat(folder)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()


def is_alive(runner: Runner, folder: Path) -> bool:
    """Return whether a run is alive: its process exists, and its heartbeat is recent."""
    return not _has_ended(runner) and _age_s(folder) <= HEARTBEAT_AGE_MAX_S


def _has_ended(runner: Runner) -> bool:
    """Return whether a process has certainly ended."""
    known = 0 < runner.pid <= _PID_MAX and runner.where
    if not known or runner.where != _here():
        return False
    stat = _stat(runner.pid)
    if stat is not None:
        return stat[0] in _ENDED or stat[1] != runner.begun_ticks
    try:
        os.kill(runner.pid, 0)
    except ProcessLookupError:  # no such process
        return True
    except PermissionError:  # another user's, and /proc hides it (hidepid)
        return False
    return False  # it started a moment ago, or /proc is not mounted


def _age_s(folder: Path) -> float:
    """Return the age of the last sign of life; infinity if there is none."""
    for name in (HEARTBEAT, "state.json"):  # older versions wrote only the second
        with suppress(OSError):  # no such file
            return time.time() - (folder / name).stat().st_mtime
    return float("inf")


def _here() -> str:
    try:
        return f"{_BOOT_ID.read_text(encoding='ascii').strip()} {_NAMESPACE.readlink()}"
    except OSError:  # hidden: mount -t proc -o subset=pid
        return ""


def _stat(pid: int) -> tuple[str, int] | None:
    """Return a process's state and start (proc_pid_stat(5)); None if it is not visible."""
    try:
        text = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace")
    except OSError:  # it has ended, or is hidden
        return None
    fields = text.rpartition(")")[2].split()  # its name may contain brackets
    return fields[0], int(fields[19])
