"""python -m loadtest selftest: run the proofs and print their results."""

from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

from rich.table import Table

from loadtest.bundle.write import write_run
from loadtest.host import tables, terminal
from loadtest.host.cores import Cores
from loadtest.host.files import os_error_text
from loadtest.host.machine import write_json
from loadtest.running.calibration import calibrate
from loadtest.running.processes import raise_on_signals
from loadtest.running.progress import cell_progress
from loadtest.running.target import CellError
from loadtest.selftest.proofs import Proof, run_proofs


def selftest(names: Sequence[str], folder: Path) -> int:
    """Run the proofs; return the exit status: 0, 1 if a proof failed or could not run, 130."""
    raise_on_signals()
    cores, console = Cores.halves(), terminal.console()
    try:
        with cell_progress(1 + len(names)) as progress:

            def begin(name: str) -> None:
                progress.end()
                progress.begin(name)

            progress.begin("floor and ceiling")
            calibration = calibrate(cores, folder / "calibration")
            write_run(folder, {}, cores, asdict(calibration))
            proofs = run_proofs(names, cores, folder, calibration, begin)
            progress.end()
    except CellError as error:
        terminal.print_line(console, f"not run: {error}")
        return 1
    except OSError as error:  # a full disk
        terminal.print_line(console, f"not run: {os_error_text(error)}")
        return 1
    except KeyboardInterrupt:  # nothing is proved yet
        return 130
    write_json(folder / "selftest.json", {"proofs": [asdict(proof) for proof in proofs]})
    tables.print_tables(console, table_of(proofs))
    terminal.print_line(console, calibration.summary)
    failed = sum(not proof.held for proof in proofs)
    terminal.print_line(console, f"{len(proofs) - failed} of {len(proofs)} proofs held")
    terminal.print_line(console, f"raw results: {folder}")
    return 1 if failed else 0


def table_of(proofs: Sequence[Proof]) -> Table:
    """Return the proofs as a table."""
    table = Table()
    for name in ("claim", "measured", ""):
        table.add_column(name)
    for proof in proofs:
        table.add_row(proof.claim, proof.found, "held" if proof.held else "FAILED")
    return table
