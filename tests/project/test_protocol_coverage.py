"""Every line and branch of ``servers.protocol`` is reached by tests that need no socket."""

import json
import os
import subprocess
import sys
from pathlib import Path

from tests.support.commands import ROOT

FILES = ("connection_states", "handlers", "rare_requests", "two_ways")
"""Tests in memory that take seconds. Those that search by chance would only add time."""


def test_tests_in_memory_reach_every_branch_of_the_protocol(tmp_path: Path) -> None:
    report = tmp_path / "report.json"
    run = [sys.executable, "-m", "coverage"]
    tests = [f"tests/servers/test_{name}.py" for name in FILES]
    pytest = ["-m", "pytest", "-q", "-p", "no:cacheprovider", "-p", "no:xdist", *tests]
    environment = {
        name: value for name, value in os.environ.items() if not name.startswith("PYTEST_")
    }
    for command in (
        [
            *run,
            "run",
            "--branch",
            "--source=servers.protocol",
            *pytest,
            "-k",
            "not any_stream and not no_order",
        ],
        [*run, "json", "-q", "-o", str(report)],
    ):
        ended = subprocess.run(
            command,
            cwd=ROOT,
            env=environment | {"COVERAGE_FILE": str(tmp_path / "data")},
            capture_output=True,
            text=True,
            timeout=120,
        )
        assert ended.returncode == 0, ended.stdout + ended.stderr
    files = json.loads(report.read_text("utf-8"))["files"]
    assert len(files) == len(list((ROOT / "servers/protocol").glob("*.py")))
    missing = {
        name: (file["missing_lines"], file["missing_branches"])
        for name, file in files.items()
        if file["missing_lines"] or file["missing_branches"]
    }
    assert missing == {}
