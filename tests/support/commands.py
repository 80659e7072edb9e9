"""Commands of the project, run as a user runs them."""

import json
import os
import re
import socket
import subprocess
import sys
import tomllib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

ROOT = Path(__file__).parent.parent.parent
SCRIPTS: dict[str, str] = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"][
    "scripts"
]
"""The console scripts, and the function that each calls."""

BRIEF: dict[str, dict[str, float]] = {
    "loadtest.running.calibration": {"WARMUP_S": 0.1, "WINDOW_S": 0.2}
}
"""Module -> constant -> value: a calibration of a second in place of one of 6 s. It runs the
generator flat out, and most commands under test need its figures to be there, not to be exact.

The full calibration is kept, with ``constants={}``, by the tests of ``test_compare.py``, whose one
comparison is a user's, and by ``test_a_model_is_started_loaded_and_judged``."""

LIMIT_S = 150
"""For a command."""

COMPARISON_LIMIT_S = 300
"""For a comparison of every model: it takes a minute, on an overloaded machine up to five."""


def script(name: str) -> list[str]:
    """Return a command that does what pip's wrapper of a console script does, installed or not."""
    module, _, function = SCRIPTS[name].partition(":")
    wrapper = (
        f"import sys; sys.argv[0] = '/usr/bin/{name}'\n"
        f"from {module} import {function}; sys.exit({function}())"
    )
    return [sys.executable, "-c", wrapper]


def run(
    argv: list[str],
    constants: Mapping[str, Mapping[str, float]] = BRIEF,
    limit_s: float = LIMIT_S,
    **env: str,
) -> subprocess.CompletedProcess[str]:
    """Run a command to its end.

    Args:
        argv: The command.
        constants: Module -> constant -> value, where the command's differ from a user's.
        limit_s: For the command to end.
        env: Variables in addition to those of this process.
    """
    return subprocess.run(
        argv,
        cwd=ROOT,
        env={**_environment(constants), "COLUMNS": "200", **env},
        capture_output=True,
        text=True,
        timeout=limit_s,
        check=False,
    )


@contextmanager
def started(argv: list[str]) -> Iterator[subprocess.Popen[str]]:
    """Run a command for the length of a block."""
    process = subprocess.Popen(
        argv,
        cwd=ROOT,
        env=_environment(BRIEF),
        text=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    with process:
        try:
            yield process
        finally:
            process.kill()


def _environment(constants: Mapping[str, Mapping[str, float]]) -> dict[str, str]:
    path = str(Path(__file__).with_name("constants"))
    return {**os.environ, "PYTHONPATH": path, "CONSTANTS": json.dumps(constants)}


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
