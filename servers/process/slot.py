"""A slot: one worker's share of the clients, and the workers that serve it one after the other."""

import math
import socket
import subprocess
import time
from dataclasses import dataclass

from servers import limits
from servers.sockets.listeners import Socks


@dataclass(eq=False)
class Worker:
    """A process that is starting, serving or draining.

    Attributes:
        process: With a pipe as its standard output, for the ready line.
        slot: Where it serves.
        table: The index of the table in which it counts.
        started_s: When it was started, on the monotonic clock.
        kill_s: When it is killed, unless it has become ready, or has ended, by then.
    """

    process: subprocess.Popen[bytes]
    slot: "Slot"
    table: int
    started_s: float
    kill_s: float


@dataclass(eq=False)
class Slot:
    """The listeners of one worker. They stay open while workers come and go.

    Attributes:
        socks: The listeners, by protocol.
        worker: Is ready, and accepts.
        replacement: Has been started, and is not ready yet.
        reload_requested: Whether SIGHUP asks for a replacement.
        early_deaths: Deaths in a row, each soon after the start.
        start_s: When to start the next worker, on the monotonic clock.
    """

    socks: Socks
    worker: Worker | None = None
    replacement: Worker | None = None
    reload_requested: bool = False
    early_deaths: int = 0
    start_s: float = math.inf

    @property
    def listeners(self) -> list[socket.socket]:
        """All its sockets."""
        return [sock for each in self.socks.values() for sock in each]

    @property
    def is_empty(self) -> bool:
        """Whether no worker serves here, and none is about to."""
        return self.worker is None and self.replacement is None

    def forget(self, ended: Worker) -> None:
        """Forget a worker that has exited."""
        self.worker = None if ended is self.worker else self.worker
        self.replacement = None if ended is self.replacement else self.replacement

    def back_off(self, lived_s: float) -> float:
        """Plan the next start: at once after a first death, then after a pause that doubles.

        Args:
            lived_s: How long the last worker lived; 0: it could not be started.

        Returns:
            The pause in seconds.
        """
        if lived_s >= limits.WORKER_SETTLED_S:
            self.early_deaths = 0
        pause_s = 0.0
        if self.early_deaths:
            pause_s = limits.WORKER_PAUSE_FIRST_S * 2.0 ** min(self.early_deaths - 1, 30)
            pause_s = min(pause_s, limits.WORKER_PAUSE_LAST_S)
        self.early_deaths += 1
        self.start_s = time.monotonic() + pause_s
        return pause_s
