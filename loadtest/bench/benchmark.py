"""The whole benchmark: rounds of costs, generators, holding. Each result is kept at once."""

import signal
from collections.abc import Container
from dataclasses import asdict, dataclass, field
from functools import partial
from pathlib import Path
from types import FrameType
from typing import NoReturn

from rich.progress import Progress, TaskID

from loadtest.bench import report
from loadtest.bench.contestants import comparisons, missing_peers, order
from loadtest.bench.cost import Run, ratio, run
from loadtest.bench.generators import NAMES, Sent, send
from loadtest.bench.hold import hold
from loadtest.bench.holding import Holding
from loadtest.host import tables, terminal
from loadtest.host.cores import Cores
from loadtest.host.descriptors import raise_descriptor_limit
from loadtest.host.files import os_error_text
from loadtest.host.machine import describe_run, first_output_line, write_json
from loadtest.running.processes import adopt_orphans
from loadtest.running.progress import new_progress

_PACKAGES = ("fastpysgi", "uvicorn", "httptools", "uvloop", "granian", "gunicorn", "gevent")
GENERATOR_ROUNDS = 3
INSTALL = "run: pip install '.[bench]'"


@dataclass(frozen=True)
class Options:
    """What to measure."""

    models: list[str]
    rounds: int
    duration_s: float
    hold: int
    generator: bool


@dataclass(frozen=True)
class Results:
    """The results so far."""

    options: Options
    folder: Path
    runs: list[Run] = field(default_factory=list)
    holdings: list[Holding] = field(default_factory=list)
    sent: list[Sent] = field(default_factory=list)

    @property
    def names(self) -> list[str]:
        """The servers in a round, missing ones included."""
        return order(self.options.models) if self.options.rounds else []

    @property
    def failed(self) -> bool:
        """Whether a measurement failed, or a connection was not held."""
        return any([run.error for run in self.runs] + [sent.error for sent in self.sent]) or any(
            holding.failures() for holding in self.holdings
        )

    def write(self) -> None:
        """Write all results, and the ratios computed from them."""
        content = {
            "runs": [asdict(run) for run in self.runs],
            "ratios": [
                {**pair._asdict(), "ratio": spread and spread._asdict()}
                for pair in comparisons(self.names)
                for spread in [ratio(self.runs, pair)]
            ],
            "sent": [asdict(sent) for sent in self.sent],
            "holdings": [asdict(holding) for holding in self.holdings],
        }
        write_json(self.folder / "bench.json", content)


def benchmark(options: Options, folder: Path) -> int:
    """Run all parts, print the tables, and return the exit status.

    0 if every measurement succeeded, 1 if one failed, 3 if a peer is missing, 130 after Ctrl-C. The
    results so far are printed and kept in any case.
    """
    for signum in (signal.SIGINT, signal.SIGTERM):  # even if a shell made them ignored
        signal.signal(signum, _interrupt)
    adopt_orphans()
    raise_descriptor_limit()
    cores = Cores.halves()
    (folder / "logs").mkdir()
    machine = describe_run("loadtest.bench", asdict(options), _PACKAGES)
    machine["versions"]["wrk"] = first_output_line("wrk", "-v")
    write_json(folder / "run.json", machine | {"cores": asdict(cores)})
    results = Results(options, folder)
    missing = missing_peers(results.names)
    try:
        with new_progress() as progress:
            for name, packages in missing.items():
                text = f"no {name}: it needs {', '.join(packages)}; {INSTALL}"
                terminal.print_line(progress.console, text)
            _measure_costs(results, missing, cores, progress)
            _measure_generators(results, cores, progress)
            _measure_holding(results, progress)
        status = 3 if missing else 1 if results.failed else 0
    except KeyboardInterrupt:  # all results are on disk already
        status = 130
    except OSError as error:  # a full disk: all files on it are whole
        terminal.print_line(terminal.console(), f"ended: {os_error_text(error)}")
        status = 1
    _show(results)
    return status


def _interrupt(_signum: int, _frame: FrameType | None) -> NoReturn:
    for signum in (signal.SIGINT, signal.SIGTERM):  # nothing may interrupt the clean-up
        signal.signal(signum, signal.SIG_IGN)
    raise KeyboardInterrupt


def _measure_costs(
    results: Results, missing: Container[str], cores: Cores, progress: Progress
) -> None:
    """Run all rounds; the servers take turns, so that drift hits them alike."""
    options = results.options
    turns = [
        (number, name)
        for number in range(1, options.rounds + 1)
        for name in results.names
        if name not in missing
    ]
    task = progress.add_task("", total=len(turns), visible=bool(turns))
    for number, name in turns:
        _show_turn(progress, task, f"round {number}: {name}")
        logs = results.folder / "logs"
        results.runs.append(run(name, number, options.duration_s, cores, logs))
        results.write()
        progress.advance(task)


def _measure_generators(results: Results, cores: Cores, progress: Progress) -> None:
    options = results.options
    turns = [(number, name) for number in range(1, GENERATOR_ROUNDS + 1) for name in NAMES]
    if not options.generator:
        return
    task = progress.add_task("", total=len(turns))
    for number, name in turns:
        _show_turn(progress, task, f"generator, round {number}: {name}")
        logs = results.folder / "logs"
        results.sent.append(send(name, number, options.duration_s, cores, logs))
        results.write()
        progress.advance(task)


def _measure_holding(results: Results, progress: Progress) -> None:
    connections = results.options.hold
    for model in results.options.models if connections else []:
        task = progress.add_task("", total=2 * connections)  # replies
        _show_turn(progress, task, f"hold {connections:,}: {model}")
        advance = partial(progress.advance, task)
        results.holdings.append(hold(model, connections, results.folder / "logs", advance))
        results.write()


def _show_turn(progress: Progress, task: TaskID, what: str) -> None:
    progress.update(task, description=what)
    if not progress.console.is_terminal:
        terminal.print_line(progress.console, f"{what} ...")


def _show(results: Results) -> None:
    console = terminal.console()
    if results.runs:
        tables.print_tables(
            console,
            report.cost_table(results.names, results.runs, results.options.duration_s),
            report.ratio_table(results.names, results.runs),
        )
        if disturbance := report.disturbance(results.runs):
            terminal.print_line(console, disturbance)
    if results.sent:
        console.print()
        tables.print_tables(console, report.generator_table(results.sent))
        for sent in results.sent:
            if sent.error:
                text = f"generator, round {sent.round_number}: {sent.name} failed: {sent.error}"
                terminal.print_line(console, text)
    if results.holdings:
        console.print()
        tables.print_tables(console, report.holding_table(results.holdings))
    terminal.print_line(console, f"raw results: {results.folder}")
