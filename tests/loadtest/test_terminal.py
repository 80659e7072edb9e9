"""The output of commands: on narrow terminals, in any encoding, into closed pipes."""

import contextlib
import fcntl
import io
import os
import pty
import random
import re
import struct
import subprocess
import sys
import termios
from collections.abc import Iterator
from pathlib import Path

import pytest
from rich.console import Console
from rich.table import Table

from loadtest.bench import report as bench_report
from loadtest.host import safe_output, tables, terminal
from loadtest.host.doctor import Check
from loadtest.host.doctor import table_of as doctor_table
from loadtest.measure.result import result_of
from loadtest.measure.table import cell_table
from loadtest.running.capacity import Search, Step
from loadtest.running.objective import Objective
from loadtest.running.table import search_table
from loadtest.selftest.command import table_of as selftest_table
from loadtest.selftest.proofs import Proof
from tests.support.bundles import Cell, make_bundle, matrix, noisy, observation
from tests.support.commands import ROOT, folder_of, run, started
from tests.support.running import DEADLINE_S

LOADTEST = [sys.executable, "-m", "loadtest"]
BRACKETS = "[/red]y [bold]:warning:"


def all_tables() -> Iterator[tuple[str, Table]]:
    wanted = matrix()
    results = [
        result_of(observation(wanted, cell, Cell(latency_ms=1234.5))) for cell in wanted.cells()[:3]
    ]
    search = Search(Objective.parse("p99=50ms"), 1e6, 1e8)
    for number, one in enumerate(results, 1):
        search.keep(Step(1_234_567.0 * number, one))
    yield "a cell", cell_table(results[0])
    yield "a search", search_table(search)
    yield (
        "the doctor",
        doctor_table([Check("a limit", "123,456,789", False, "sysctl a.b=1048576")]),
    )
    yield "the proofs", selftest_table([Proof("a delay of 1,234.56 ms", "1,234.57 ms", True)])
    yield "the generators", bench_report.generator_table([])
    yield "the costs", bench_report.ratio_table(["forking", "threaded", "gevent"], [])


@pytest.mark.parametrize("columns", [300, 120, 80, 60, 40, 20])
@pytest.mark.parametrize("name", [name for name, _ in all_tables()])
def test_no_number_is_cut_however_narrow_the_terminal(name: str, columns: int) -> None:
    file = io.StringIO()
    table = dict(all_tables())[name]
    cells = [cell for column in table.columns for cell in column.cells]
    numbers = {number for cell in cells for number in re.findall(r"[\d,]*\.?\d+", str(cell))}
    tables.print_tables(Console(file=file, width=columns, markup=False), table)
    words = re.split(r"[\s│┃|]+", file.getvalue())
    assert "…" not in file.getvalue()
    assert [one for one in numbers if not any(one in word for word in words)] == []


@pytest.mark.parametrize("text", ["[/srv/app] boom", "[bold]x[/bold]", ":warning:", "[link=x]y"])
def test_text_from_outside_is_never_markup(text: str, capsys: pytest.CaptureFixture[str]) -> None:
    table = Table(text, title=text, caption=text)
    table.add_row(text)
    tables.print_tables(terminal.console(), table)
    terminal.print_line(terminal.console(), text)
    assert capsys.readouterr().out.count(text) == 5


def test_control_characters_are_escaped() -> None:
    assert safe_output.one_line("a\nb\x1b[2J\udcff µ") == r"a\nb\x1b[2J\xff µ"


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    def cell_of(cell: object) -> Cell:
        return noisy(
            Cell(cpu_us=200.0 if "uvloop" in repr(cell) else 100.0), random.Random(repr(cell))
        )

    folder = tmp_path_factory.mktemp("results") / BRACKETS / "run [/] µ"
    return make_bundle(folder, matrix(), cell_of)


@pytest.mark.parametrize("encoding", ["latin-1", "ascii", "utf-8", "cp1252"])
def test_a_report_is_printed_in_any_encoding(bundle: Path, encoding: str) -> None:
    argv = [*LOADTEST, "report", str(bundle)]
    environment = os.environ | {"PYTHONIOENCODING": encoding, "COLUMNS": "200"}
    ended = subprocess.run(argv, cwd=ROOT, env=environment, capture_output=True, check=False)
    assert ended.returncode == 0, ended.stderr
    output = ended.stdout.decode(encoding)
    assert BRACKETS in output and "Small requests: CPU per request" in output
    assert (f"{bundle}/report.html" if encoding == "utf-8" else "/report.html") in output


def test_a_folder_name_that_is_not_utf_8_is_printed_with_escapes(tmp_path: Path) -> None:
    folder = Path(os.fsdecode(os.fsencode(tmp_path) + b"/\xff"))
    make_bundle(folder, matrix(), lambda cell: Cell())
    ended = run([*LOADTEST, "report", str(folder), "--out", str(folder / "\udcfe")])
    assert ended.returncode == 0, ended.stderr
    assert r"\xff/\xfe/report.html" in ended.stdout
    assert (folder / "\udcfe" / "report.html").exists()


@pytest.mark.parametrize(
    "command", ["doctor", "report", "dashboard", "selftest --help", "run --target x", "compare --x"]
)
def test_a_closed_pipe_does_not_change_the_exit_status(command: str, bundle: Path) -> None:
    """The reader of standard output and error has exited before anything is printed."""
    argv = [*LOADTEST, *command.split()]
    argv += {"report": [str(bundle)], "dashboard": ["--results", str(bundle), "--bind", "x"]}.get(
        command, []
    )
    expected = run(argv).returncode
    reader, writer = os.pipe()
    os.close(reader)
    ended = subprocess.run(
        argv, cwd=ROOT, stdout=writer, stderr=writer, timeout=DEADLINE_S, check=False
    )
    os.close(writer)
    assert ended.returncode == expected


def test_a_report_is_complete_though_the_reader_of_its_output_exits_early(bundle: Path) -> None:
    (bundle / "report.html").unlink(missing_ok=True)
    ended = run(["sh", "-c", '"$@" | head -1', "sh", *LOADTEST, "report", str(bundle)])
    assert ended.stdout.count("\n") == 1 and "Traceback" not in ended.stderr
    assert "BrokenPipe" not in ended.stderr
    assert (bundle / "report.html").read_text("utf-8").endswith("</html>")


def test_a_dashboard_goes_on_after_the_reader_of_its_output_exits(bundle: Path) -> None:
    with started([*LOADTEST, "dashboard", "--results", str(bundle), "--port=0"]) as process:
        assert process.stdout is not None and process.stderr is not None
        assert process.stdout.readline().startswith("dashboard: ")
        process.stdout.close()
        process.terminate()
        assert process.wait(DEADLINE_S) == 0
        assert process.stderr.read() == ""


def test_a_run_on_80_columns_in_ascii_into_a_folder_with_brackets(tmp_path: Path) -> None:
    out = tmp_path / BRACKETS
    argv = [*LOADTEST, "run", "asyncio", "--rate", "100", "--connections", "4", "--duration", "1"]
    ended = run([*argv, "--out", str(out)], COLUMNS="80", PYTHONIOENCODING="ascii")
    assert ended.returncode == 0, ended.stderr
    assert ended.stdout.isascii() and ended.stderr.isascii()
    assert "us of CPU per request" in " ".join(ended.stdout.split())
    # On a busy machine the numbers are longer, and the table has another form.
    table = ended.stdout.partition("\nHello: ")[0].splitlines()
    assert max(map(len, table)) <= 80, ended.stdout
    assert len(re.findall(r"\b\d[\d,]*\.\d{3}\b", ended.stdout)) >= 12, ended.stdout
    assert folder_of(ended.stdout).parent == out
    assert "[/red]y" in ended.stdout and not [*out.rglob("*.new")]


PROGRESS = """
from loadtest.running.progress import matrix_progress
with matrix_progress(100.0) as progress:
    progress.begin("wait-4-rate-asyncio-twin-12345678")
    progress.show_stage("[/red]y")
    progress.end(55)
"""


@pytest.mark.parametrize("columns", [80, 60, 40])
def test_progress_cuts_no_name_and_no_number_on_a_narrow_terminal(columns: int) -> None:
    master, terminal_fd = pty.openpty()
    fcntl.ioctl(terminal_fd, termios.TIOCSWINSZ, struct.pack("HHHH", 24, columns, 0, 0))
    environment = {name: value for name, value in os.environ.items() if name != "COLUMNS"}
    argv = [sys.executable, "-c", PROGRESS]
    with subprocess.Popen(
        argv, cwd=ROOT, stderr=terminal_fd, env=environment | {"TERM": "xterm"}
    ) as process:
        os.close(terminal_fd)
        output = b""
        with contextlib.suppress(OSError):  # EIO: the other end is closed
            while data := os.read(master, 65536):
                output += data
        os.close(master)
        assert process.wait(DEADLINE_S) == 0
    text = re.sub(r"\x1b\[[0-9;?]*[a-zA-Z]", "", output.decode("utf-8"))
    assert "…" not in text and "55%" in text and "[/red]y" in text
    assert "wait-4-rate-asyncio-twin-12345678" in re.sub(r"\s+", "", text)
