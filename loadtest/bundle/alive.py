"""Whether the process that runs a comparison still does: it may have been killed, and said nothing.

Its pid tells where the same processes are seen. A dashboard in another container, or beside a copy
of the folder, sees others: there only a heartbeat tells, the time of a file that is touched.
"""

import os
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

HEARTBEAT = "heartbeat"
"""A file without content, so that a full disk stops no heart."""

HEARTBEAT_INTERVAL_S = 5.0
HEARTBEAT_AGE_MAX_S = 60.0
"""A machine that has no core for a thread in a minute measures nothing either."""

_BOOT_ID = Path("/proc/sys/kernel/random/boot_id")
_NAMESPACE = Path("/proc/self/ns/pid")
_PID_MAX = 1 << 22  # PID_MAX_LIMIT; what is read may be of any size
_ENDED = "ZX"  # a zombie, or dead: proc_pid_stat(5)


@dataclass(frozen=True)
class Runner:
    """A process that runs a comparison.

    Attributes:
        pid: 0: not known.
        begun_ticks: When it began, in clock ticks since the boot: a later process may get its pid.
        where: Boot and pid namespace in which that pid means something; "" if not known.
    """

    pid: int = 0
    begun_ticks: int = 0
    where: str = ""


def this_process() -> Runner:
    """Return what others recognise this process by."""
    stat = _stat(os.getpid())
    return Runner(os.getpid(), stat[1] if stat else 0, _here())


def beat(folder: Path) -> None:
    """Show that the run in a folder goes on."""
    with suppress(OSError):  # the folder has been removed, or may no longer be written to
        (folder / HEARTBEAT).touch()


@contextmanager
def beating(folder: Path) -> Iterator[None]:
    """Show so every few seconds, for the length of a block."""
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
    """Return whether the run in a folder goes on: its process is there, and its heart beats."""
    return not _has_ended(runner) and _age_s(folder) <= HEARTBEAT_AGE_MAX_S


def _has_ended(runner: Runner) -> bool:
    """Return whether a process has ended for sure."""
    known = 0 < runner.pid <= _PID_MAX and runner.where
    if not known or runner.where != _here():
        return False
    stat = _stat(runner.pid)
    if stat is not None:
        return stat[0] in _ENDED or stat[1] != runner.begun_ticks
    try:
        os.kill(runner.pid, 0)
    except ProcessLookupError:  # there is none
        return True
    except PermissionError:  # another user's, and /proc hides it (hidepid)
        return False
    return False  # it was born since we looked, or /proc is not mounted


def _age_s(folder: Path) -> float:
    """Return how long ago a run showed that it goes on; infinity if it never has."""
    for name in (HEARTBEAT, "state.json"):  # an older version wrote only the second
        with suppress(OSError):  # there is none
            return time.time() - (folder / name).stat().st_mtime
    return float("inf")


def _here() -> str:
    try:
        return f"{_BOOT_ID.read_text(encoding='ascii').strip()} {_NAMESPACE.readlink()}"
    except OSError:  # hidden: mount -t proc -o subset=pid
        return ""


def _stat(pid: int) -> tuple[str, int] | None:
    """Return a process's state and when it began (proc_pid_stat(5)); None if it is not seen."""
    try:
        text = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace")
    except OSError:  # it has ended, or is hidden
        return None
    fields = text.rpartition(")")[2].split()  # a name may have brackets in it
    return fields[0], int(fields[19])
