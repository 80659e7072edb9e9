"""Commands of the project, run as a user runs them."""

import os
import re
import socket
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

ROOT = Path(__file__).parent.parent.parent
SCRIPTS: dict[str, str] = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"][
    "scripts"
]
"""The console scripts, and the function that each calls."""

_BRIEF_CALIBRATION = str(Path(__file__).with_name("brief_calibration"))
LIMIT_S = 150
"""A demonstration of 20 short cells takes half of it, beside other tests."""


def script(name: str) -> list[str]:
    """Return a command that does what pip's wrapper of a console script does, installed or not."""
    module, _, function = SCRIPTS[name].partition(":")
    wrapper = (
        f"import sys; sys.argv[0] = '/usr/bin/{name}'\n"
        f"from {module} import {function}; sys.exit({function}())"
    )
    return [sys.executable, "-c", wrapper]


def run(
    argv: list[str], whole_calibration: bool = False, **env: str
) -> subprocess.CompletedProcess[str]:
    """Run a command to its end.

    Args:
        argv: The command.
        whole_calibration: Calibrate the generator for as long as a user's command does.
        env: Variables in addition to those of this process.
    """
    return subprocess.run(
        argv,
        cwd=ROOT,
        env={**_environment(whole_calibration), "COLUMNS": "200", **env},
        capture_output=True,
        text=True,
        timeout=LIMIT_S,
        check=False,
    )


@contextmanager
def started(argv: list[str]) -> Iterator[subprocess.Popen[str]]:
    """Run a command for the length of a block."""
    process = subprocess.Popen(
        argv,
        cwd=ROOT,
        env=_environment(),
        text=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    with process:
        try:
            yield process
        finally:
            process.kill()


def _environment(whole_calibration: bool = False) -> dict[str, str]:
    return {**os.environ, **({} if whole_calibration else {"PYTHONPATH": _BRIEF_CALIBRATION})}


def folder_of(output: str) -> Path:
    """Return the folder that a command says it has written to."""
    match = re.search(r"^raw results: (.+)$", output, re.MULTILINE)
    assert match is not None, output
    return Path(match[1])


def free_port() -> int:
    """Return a port that was free a moment ago: Locust cannot say which it has picked."""
    with socket.create_server(("127.0.0.1", 0)) as unused:
        port: int = unused.getsockname()[1]
        return port
