"""One cell: starts Locust in its own processes against one target, and awaits its end."""

import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack, suppress
from dataclasses import dataclass, replace
from pathlib import Path

from loadtest.bundle.read import BundleError, decoded
from loadtest.client.load_spec import LoadSpec
from loadtest.control.cell_spec import CellSpec
from loadtest.control.stages import Stage, StageReader
from loadtest.host.cores import Cores
from loadtest.host.files import disk_error_in, require_space
from loadtest.knobs import flags_of
from loadtest.limits import WORKERS_LIMIT_S, cell_limit_s
from loadtest.measure.result import Result
from loadtest.running.fork_server import Forked, LocustForkServer
from loadtest.running.processes import last_line, running
from loadtest.running.servers import serving
from loadtest.running.target import CellError, Target, free_port

POLL_S = 0.05

_LOCUSTFILE = Path(__file__).parent.parent / "locustfile.py"

Say = Callable[[Stage], None]
"""Called with each stage of a load when it begins."""
_Process = subprocess.Popen[str] | Forked


@dataclass(frozen=True, kw_only=True)
class Load(LoadSpec):
    """A load, with the users that make it and the processes they run in.

    Attributes:
        scenario: Its name.
        classes: Its user classes.
        connections: Total over all classes.
        processes: Number of load processes.
        distant: Whether these run on other machines and connect to ``port``.
        port: Where the master listens for them.
    """

    scenario: str
    classes: tuple[str, ...]
    connections: int
    processes: int = 1
    distant: bool = False
    port: int = 0

    @property
    def limit_s(self) -> float:
        """How long a cell with this load may take, from start to end."""
        return cell_limit_s(self.connections, self.warmup_s + self.window_s, self.deadline_s)

    def flags(self, target: Target, folder: Path, stage_fd: int) -> list[str]:
        """Return Locust's command-line flags."""
        cell = CellSpec(
            server_pid=target.pid,
            server_cores=target.cores,
            cell=str(folder),
            target_name=target.name,
            stage_fd=stage_fd,
        )
        return [
            f"--users={self.connections}",
            f"--spawn-rate={self.connections}",
            f"--host={target.host}",
            *flags_of(replace(self, echo_host=target.echo)),
            *flags_of(cell),
        ]


class Interrupted(KeyboardInterrupt):
    """Ctrl-C during a cell; ``result`` has what was measured before, if anything."""

    def __init__(self, result: Result | None) -> None:
        super().__init__()
        self.result = result


def run_model(
    model: str,
    load: Load,
    cores: Cores,
    folder: Path,
    say: Say,
    forks: LocustForkServer | None = None,
    workers: int = 1,
) -> Result:
    """Run a cell against a model that is started for it.

    Raises:
        CellError: It could not be run.
        Interrupted: Ctrl-C.
    """
    with serving(model, cores.server, folder / "server.log", workers) as target:
        return run_target(target, load, cores, folder, say, forks)


def run_target(
    target: Target,
    load: Load,
    cores: Cores,
    folder: Path,
    say: Say,
    forks: LocustForkServer | None = None,
) -> Result:
    """Run a cell against a server that runs; Locust's output goes into files in the folder.

    Args:
        say: Called with each stage when it begins.
        forks: Forks Locust where one process makes the load; None: start Locust each time.

    Raises:
        CellError: It could not be run.
        Interrupted: Ctrl-C.
        OSError: The disk is full, or refuses writes.
    """
    failures: list[str] = []
    try:
        with ExitStack() as stack:
            if forks is not None and load.processes == 1 and not load.distant:
                stages = forks.stages
                argv = ["locust", *_argv(target, load, folder, stages.writing_fd)]
                log = folder / "generator.log"
                lead: _Process = stack.enter_context(forks.running(argv, log))
            else:
                stages = stack.enter_context(StageReader())
                lead = _start(stack, target, load, cores.generator, folder, stages.writing_fd)
            late = ""
            try:
                if not _follow(lead, stages, say, load.limit_s):
                    late = f"the generator had not ended after {load.limit_s:.0f} s"
                    _stop(lead, load, say)
            except KeyboardInterrupt:
                _stop(lead, load, say)
                raise
            failures = stages.failures
    except KeyboardInterrupt as interrupt:
        raise Interrupted(_result(folder)) from interrupt
    except subprocess.TimeoutExpired as stuck:  # it does not even end when it is killed
        raise CellError(f"the generator had not ended after {stuck.timeout:g} s") from stuck
    result = _result(folder)
    if result is None:
        require_space(folder)  # on a full disk there is no log that explains it
        reasons = "; ".join([late] * bool(late) + (failures or _last_lines(folder)))
        if full := disk_error_in(reasons, folder):
            raise full
        raise CellError(f"the generator failed: {reasons}")
    return result


def _stop(lead: _Process, load: Load, say: Say) -> None:
    """Let Locust end and keep what was measured; it is killed if that takes too long."""
    say(Stage.STOPPING)
    lead.terminate()
    with suppress(subprocess.TimeoutExpired):  # then it is killed
        lead.wait(load.deadline_s + 20)


def _last_lines(folder: Path) -> list[str]:
    """Return the last words of the generator's processes, which ended without a report."""
    logs = [folder / "generator.log", *sorted(folder.glob("worker-*.log"))]
    return [line for line in map(last_line, logs) if line]


def _start(
    stack: ExitStack, target: Target, load: Load, cores: Sequence[int], folder: Path, stage_fd: int
) -> "subprocess.Popen[str]":
    """Start Locust, with workers for more than one process; return the process that leads."""
    argv = [sys.executable, "-m", "locust", *_argv(target, load, folder, stage_fd)]
    log, fds = folder / "generator.log", [stage_fd]
    if load.processes == 1 and not load.distant:
        return stack.enter_context(running(argv, cores, log, fds))
    port = load.port if load.distant else free_port()
    argv += ["--master", f"--master-bind-port={port}", f"--expect-workers={load.processes}"]
    argv += [f"--expect-workers-max-wait={WORKERS_LIMIT_S}"]
    if load.distant:
        return stack.enter_context(running(argv, cores, log, fds))
    lead = stack.enter_context(running([*argv, "--master-bind-host=127.0.0.1"], cores, log, fds))
    worker = [sys.executable, "-m", "locust", "-f", str(_LOCUSTFILE), "--worker"]
    worker += ["--master-host=127.0.0.1", f"--master-port={port}", *load.classes]
    for number in range(load.processes):
        own = [cores[number % len(cores)]]
        stack.enter_context(running(worker, own, folder / f"worker-{number}.log"))
    return lead


def _argv(target: Target, load: Load, folder: Path, stage_fd: int) -> list[str]:
    return [
        "-f", str(_LOCUSTFILE), "--headless", "--only-summary",
        *load.flags(target, folder, stage_fd), *load.classes,
    ]  # fmt: skip


def _follow(lead: _Process, stages: StageReader, say: Say, limit_s: float) -> bool:
    """Pass the stages on until Locust ends; return whether it ended in time."""
    give_up_s = time.monotonic() + limit_s
    while lead.poll() is None:
        for stage in stages.wait(POLL_S):
            say(stage)
        if time.monotonic() > give_up_s:
            return False
    stages.wait(0)  # for a failure just before the end
    return True


def _result(folder: Path) -> Result | None:
    """Return the numbers that Locust's process has computed; None if it left none."""
    try:
        return decoded(folder / "cell.json", Result)
    except BundleError as error:
        if isinstance(error.__cause__, FileNotFoundError):  # it failed before; it says why
            return None
        raise CellError(str(error)) from error
