"""What Locust's process gets to know about one cell: the server, and where the results go."""

from dataclasses import dataclass

from loadtest.control.stages import NO_PARENT
from loadtest.knobs import knob, whole_number


@dataclass(frozen=True, kw_only=True)
class CellSpec:
    """The flags of a cell, which Locust's page does not show.

    Attributes:
        server_pid: Measure this process tree instead of reading /metrics; 0: read them.
        server_cores: How many cores the server may use; 0: not known.
        cell: Folder for the results; "": a new one.
        target_name: What the results call the server; "": its address.
        stage_fd: Where to report stages (``stages.StageWriter``).
    """

    server_pid: int = knob(
        0, "server-pid", "PID", whole_number(0, 1 << 22), "measured instead of reading /metrics"
    )
    server_cores: int = knob(
        0, "server-cores", "N", whole_number(0, 1 << 12), "that the server may use; 0: not known"
    )
    cell: str = knob("", "cell", "FOLDER", str, "of the results (default: a new one in results/)")
    target_name: str = knob("", "target-name", "NAME", str, "what the results call the server")
    stage_fd: int = knob(
        NO_PARENT, "stage-fd", "FD", whole_number(0, 1 << 20), "gets a line of JSON at each stage"
    )
