"""How far a run has come: written after each cell, for whoever looks or goes on."""

from dataclasses import asdict, dataclass, field, replace
from pathlib import Path

from loadtest.bundle.alive import Runner, beat, is_alive, this_process
from loadtest.host.machine import write_json

RUNNING, FINISHED, INTERRUPTED = "running", "finished", "interrupted"
FILE = "state.json"


@dataclass
class State:
    """How far a run has come.

    Attributes:
        state: RUNNING, FINISHED or INTERRUPTED.
        cell: The one that is being run.
        done: How many have ended, well or not.
        total: How many there are.
        left_s: How long the rest will take, roughly.
        failed: Cell -> why it could not be run.
        left_out: Cell -> why it was not tried.
        by: The process that runs it; it may have been killed since.
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
        """Write it into the bundle, as of this process."""
        self.by = this_process()
        beat(folder)
        write_json(folder / FILE, asdict(self))

    def as_seen(self, folder: Path) -> "State":
        """Return it as it is: what runs no more, and could not say so, has been interrupted."""
        if self.state != RUNNING or is_alive(self.by, folder):
            return self
        return replace(self, state=INTERRUPTED, cell="", left_s=0.0)
