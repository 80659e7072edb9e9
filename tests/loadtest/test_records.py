"""report and dashboard show bundles of run, Locust, selftest and bench."""

import asyncio
import shutil
import sys
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path

import aiohttp
import pytest

from loadtest.bundle.plan import CellPlan
from loadtest.bundle.read import BundleError
from loadtest.bundle.write import write_cell
from loadtest.host.machine import write_json
from loadtest.report.records import read_record
from loadtest.running.capacity import SEARCH_FILE, SearchPlan
from loadtest.selftest.proofs import Proof
from tests.support.bundles import Cell, make_bundle, matrix, observation
from tests.support.commands import ROOT, run, started

LOADTEST = [sys.executable, "-m", "loadtest"]
REPORT = [*LOADTEST, "report"]
HOSTILE = "<script>alert(1)</script>"


def origin(*command: str) -> dict[str, object]:
    return {
        "command": ["python", "-m", "loadtest", *command],
        "options": {},
        "started": "2026-11-23T12:00:00+00:00",
        "commit": "0123456789abcdef",
    }


def write(folder: Path, behaviour: Cell) -> None:
    folder.mkdir(parents=True)
    cell = CellPlan("hello", 10, "rate", "uvloop", 1)
    write_cell(folder, observation(matrix(), cell, behaviour))


def a_run(folder: Path) -> Path:
    write(folder / "hello-10-2000", Cell(cpu_us=77.0))
    write_json(folder / "run.json", origin("run", "uvloop", HOSTILE))
    return folder


def a_search(folder: Path) -> Path:
    for name, latency_ms in (("hello-10-2000", 1.0), ("hello-10-2000-2", 100.0)):
        write(folder / name, Cell(latency_ms=latency_ms))
    plan = SearchPlan("p99=50ms", 4000.0, 80_000.0, ["hello-10-2000", "hello-10-2000-2"])
    write_json(folder / SEARCH_FILE, asdict(plan))
    write_json(folder / "run.json", origin("run", "uvloop", "--find-capacity", "p99=50ms"))
    return folder


def a_locust(folder: Path) -> Path:
    write(folder, Cell())
    return folder


def a_selftest(folder: Path) -> Path:
    folder.mkdir()
    proofs = [Proof("a second is a second", "1.000 s", True), Proof("never late", "late", False)]
    write_json(folder / "selftest.json", {"proofs": [asdict(proof) for proof in proofs]})
    write_json(folder / "run.json", origin("selftest"))
    return folder


def a_bench(folder: Path) -> Path:
    shutil.copytree(ROOT / "loadtest" / "bench" / "reference", folder)
    return folder


KINDS = {
    "run": (a_run, ["uvloop: hello, 10 connections", "77.0 µs of CPU", "verdict: ok: "]),
    "search": (a_search, ["p99=50ms holds up to ", "does not hold", " 2 windows"]),
    "locust": (a_locust, ["uvloop: hello, 10 connections", "verdict: ok: "]),
    "selftest": (a_selftest, ["a second is a second", "FAILED", "1 of 2 proofs held"]),
    "bench": (a_bench, ["Compared with other servers", "Holding connections", "fastpysgi"]),
}
Make = Callable[[Path], Path]


@pytest.mark.parametrize(("make", "texts"), KINDS.values(), ids=KINDS)
def test_a_report_of_each_kind_is_printed_and_written(
    tmp_path: Path, make: Make, texts: list[str]
) -> None:
    folder = make(tmp_path / "one")
    ended = run([*REPORT, str(folder)])
    assert ended.returncode == 0, ended.stderr
    html = (folder / "report.html").read_text("utf-8")
    for text in texts:
        assert text in ended.stdout
        assert text in html
    assert HOSTILE not in html
    assert "default-src 'none'" in html
    assert "| " in (folder / "report.md").read_text("utf-8")
    assert f"report: {folder / 'report.html'}" in ended.stdout


def test_several_records_are_drawn_into_a_new_folder(tmp_path: Path) -> None:
    folders = [make(tmp_path / name) for name, (make, _) in KINDS.items()]
    ended = run([*REPORT, *map(str, folders)])
    assert ended.returncode == 0, ended.stderr
    (made,) = tmp_path.glob("*-report/report.html")
    html = made.read_text("utf-8")
    assert all(text in html for _, texts in KINDS.values() for text in texts)
    assert not any((folder / "report.html").exists() for folder in folders)


def test_a_comparison_beside_another_kind_is_refused(tmp_path: Path) -> None:
    compared = make_bundle(tmp_path / "compared", matrix(), lambda _: Cell())
    ended = run([*REPORT, str(compared), str(a_run(tmp_path / "run"))])
    assert ended.returncode == 2
    assert ended.stderr.count("\n") == 1
    assert "expected comparisons only, or none" in ended.stderr


@pytest.mark.parametrize(
    ("make", "path"),
    [
        (a_run, "run.json"), (a_run, "hello-10-2000/cell.json"), (a_search, SEARCH_FILE),
        (a_locust, "cell.json"), (a_selftest, "selftest.json"), (a_bench, "bench.json"),
        (a_bench, "run.json"),
    ],
)  # fmt: skip
@pytest.mark.parametrize("content", ["{", "[1]"])
def test_a_broken_record_is_refused_in_one_line(
    tmp_path: Path, make: Make, path: str, content: str
) -> None:
    folder = make(tmp_path / "one")
    (folder / path).write_text(content)
    with pytest.raises(BundleError, match="expected") as caught:
        read_record(folder)
    assert "\n" not in str(caught.value)


@pytest.mark.asyncio
async def test_the_dashboard_lists_and_shows_each_kind(tmp_path: Path) -> None:
    for name, (make, _) in KINDS.items():
        make(tmp_path / name)
    make_bundle(tmp_path / "compared", matrix(), lambda _: Cell())
    (a_run(tmp_path / "broken") / "run.json").write_text("{")
    with started([*LOADTEST, "dashboard", "--results", str(tmp_path), "--port", "0"]) as process:
        assert process.stdout is not None
        line = await asyncio.to_thread(process.stdout.readline)
        async with aiohttp.ClientSession(line.removeprefix("dashboard: ").strip()) as client:
            text = await (await client.get("/")).text()
            for name, (_, texts) in KINDS.items():
                assert f'href="/runs?run={name}"' in text
                reply = await client.get(f"/runs?run={name}")
                page = await reply.text()
                assert reply.status == 200
                assert all(text in page for text in texts)
                assert HOSTILE not in page
            assert HOSTILE not in text and "run uvloop" in text
            reply = await client.get("/runs?run=run&run=locust&run=broken")
            page = await reply.text()
            assert reply.status == 200 and "run.json" in page and "77.0 µs of CPU" in page
            reply = await client.get("/runs?run=run&run=compared")
            assert (
                reply.status == 404 and "expected comparisons only, or none" in await reply.text()
            )
            assert (await client.get("/runs?run=broken")).status == 404
            assert (await client.get("/runs?run=run&run=..")).status == 404
