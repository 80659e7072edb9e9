"""The progress of a run, written after each cell for the dashboard and for ``--resume``."""

from dataclasses import asdict, dataclass, field, replace
from pathlib import Path

from loadtest.bundle.alive import Runner, beat, is_alive, this_process
from loadtest.host.machine import write_json

RUNNING, FINISHED, INTERRUPTED = "running", "finished", "interrupted"
FILE = "state.json"


@dataclass
class State:
    """The progress of a run.

    Attributes:
        state: RUNNING, FINISHED or INTERRUPTED.
        cell: The cell that is running.
        done: Cells that have ended, with or without a result.
        total: All cells.
        left_s: Estimated time for the rest.
        failed: Cell -> why it could not be run.
        left_out: Cell -> why it was skipped.
        by: The process that runs it, or did until it was killed.
    """

    state: str = RUNNING
    cell: str = ""
    done: int = 0
    total: int = 0
    left_s: float = 0.0
    failed: dict[str, str] = field(default_factory=dict)
    left_out: dict[str, str] = field(default_factory=dict)
    by: Runner = field(default_factory=Runner)

    def write(self, folder: Path) -> None:
        """Write it into the bundle, in the name of this process."""
        self.by = this_process()
        beat(folder)
        write_json(folder / FILE, asdict(self))

    def as_seen(self, folder: Path) -> "State":
        """Return the true state: a run whose process is gone has been interrupted."""
        if self.state != RUNNING or is_alive(self.by, folder):
            return self
        return replace(self, state=INTERRUPTED, cell="", left_s=0.0)
