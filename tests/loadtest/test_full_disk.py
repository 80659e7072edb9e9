"""On a full disk, commands name it, keep finished cells, and leave a bundle that can be read."""

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from loadtest.bundle.read import read_bundle
from tests.support.commands import run

LOADTEST = [sys.executable, "-m", "loadtest"]
LOAD = ["--connections", "4", "--duration", "1", "--warmup", "0.2"]
FULL = "No space left on device"


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    """Return a folder on a disk of 60 KB, which is less than one run takes."""
    made = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=60k", "tmpfs", str(tmp_path)],
        check=False, capture_output=True, text=True,
    )  # fmt: skip
    if made.returncode:
        pytest.skip(f"only root may mount a small disk: {made.stderr.strip()}")
    yield tmp_path
    subprocess.run(["umount", "--lazy", str(tmp_path)], check=True)


def assert_whole(folder: Path) -> None:
    """Assert that each result file is whole, and that no partial file is left."""
    for path in folder.rglob("*"):
        assert path.suffix != ".new", path
        if path.suffix == ".json":
            json.loads(path.read_text("utf-8"))
        if path.suffix == ".hlog":
            assert (path.parent / "cell.json").exists(), path


def test_a_run_on_a_full_disk_names_it_and_ends(disk: Path) -> None:
    ended = run([*LOADTEST, "run", "asyncio", "--rate", "100", *LOAD, "--out", str(disk)])
    assert ended.returncode == 1
    assert f"not run: {FULL} ({disk}/" in ended.stdout, ended.stdout
    assert "Traceback" not in ended.stdout + ended.stderr
    assert_whole(disk)


def test_a_comparison_on_a_full_disk_keeps_finished_cells_and_can_be_resumed(disk: Path) -> None:
    subprocess.run(["mount", "-o", "remount,size=150k", str(disk)], check=True)
    argv = [*LOADTEST, "compare", "--models", "asyncio", "--scenarios", "wait", "--loads", "rate"]
    ended = run([*argv, *LOAD, "--repeats", "2", "--out", str(disk)])
    assert ended.returncode == 1
    (bundle,) = disk.iterdir()
    assert f"ended: {FULL} (" in ended.stderr and f"--resume {bundle}" in ended.stderr, ended.stderr
    assert "Traceback" not in ended.stdout + ended.stderr
    assert_whole(disk)
    finished = read_bundle(bundle).cells
    assert finished and not read_bundle(bundle).broken
    reported = run([*LOADTEST, "report", str(bundle), "--out", str(disk / "none")])
    assert reported.returncode == 2 and reported.stderr.count("\n") <= 2
    assert FULL in reported.stderr
    assert_whole(disk)
    subprocess.run(["mount", "-o", "remount,size=50m", str(disk)], check=True)
    page = bundle / "report.html"
    for argv in (["report", str(bundle)], ["compare", "--resume", str(bundle)]):
        ended = run([*LOADTEST, *argv])
        assert ended.returncode in (0, 1), ended.stderr  # 1: a busy machine spoilt all cells
        assert page.read_text("utf-8").endswith("</html>")
        page.unlink()
    assert read_bundle(bundle).cells.keys() >= finished.keys()
    assert len(read_bundle(bundle).cells) == 4
