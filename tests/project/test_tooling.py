"""What a contributor works with: make, the console scripts, types for importers, pre-commit, CI."""

import re
import subprocess
import sys
import tomllib
from typing import Any

import pytest

from tests.support.commands import ROOT
from tests.support.running import DEADLINE_S

MAKEFILE = (ROOT / "Makefile").read_text("utf-8")
PROJECT: dict[str, Any] = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))
SCRIPTS: dict[str, str] = PROJECT["project"]["scripts"]


def script(name: str, *argv: str) -> subprocess.CompletedProcess[str]:
    """Run a console script as pip's wrapper runs it, whether it is installed or not."""
    module, _, function = SCRIPTS[name].partition(":")
    wrapper = (
        f"import sys; sys.argv[0] = '/usr/bin/{name}'\n"
        f"from {module} import {function}; sys.exit({function}())"
    )
    return subprocess.run(
        [sys.executable, "-c", wrapper, *argv],
        capture_output=True,
        text=True,
        cwd=ROOT,
        timeout=DEADLINE_S,
        check=False,
    )


def test_make_help_lists_every_target_and_is_what_a_bare_make_does() -> None:
    targets = re.findall(r"^([a-z][a-z-]*):", MAKEFILE, re.MULTILINE)
    (phony,) = re.findall(r"^\.PHONY: (.+)$", MAKEFILE, re.MULTILINE)
    assert phony.split() == targets
    helps = [
        subprocess.run(["make", *argv], capture_output=True, text=True, cwd=ROOT, check=True).stdout
        for argv in (["help"], [])
    ]
    assert helps[0] == helps[1]
    rows = [line.split(maxsplit=1) for line in helps[0].splitlines()]
    assert [row[0] for row in rows] == targets
    assert all(len(row) == 2 for row in rows), "every target has a text behind ##"


@pytest.mark.parametrize(
    ("name", "argv"),
    [
        ("concurrency-servers", ["nope"]),
        ("concurrency-loadtest", ["nope"]),
        ("concurrency-loadtest", ["run", "nope"]),
    ],
)
def test_a_console_script_names_itself_in_a_usage_error(name: str, argv: list[str]) -> None:
    ended = script(name, *argv)
    command = " ".join([name, *argv[:-1]])
    assert (ended.returncode, ended.stdout) == (2, "")
    assert ended.stderr.startswith(f"{command}: ")
    assert ended.stderr.endswith(f"; run: {command} --help\n")


def test_a_console_script_names_itself_in_a_start_up_failure() -> None:
    ended = script("concurrency-servers", "asyncio", "--bind=192.0.2.1")
    assert (ended.returncode, ended.stdout) == (3, "")
    assert ended.stderr.startswith("concurrency-servers: ")


@pytest.mark.parametrize(
    ("name", "argv"),
    [
        ("concurrency-servers", []),
        ("concurrency-loadtest", ["run"]),
        ("concurrency-loadtest", ["compare"]),
    ],
)
def test_a_console_scripts_help_names_no_other_command(name: str, argv: list[str]) -> None:
    ended = script(name, *argv, "--help")
    assert ended.returncode == 0, ended.stderr
    assert f"usage: {' '.join([name, *argv])} " in ended.stdout
    assert "python -m" not in ended.stdout


def test_pre_commit_runs_what_make_check_runs_from_the_same_environment() -> None:
    text = (ROOT / ".pre-commit-config.yaml").read_text("utf-8")
    assert re.findall(r"repo: (\S+)", text) == ["local"]  # nothing is downloaded
    entries = re.findall(r"entry: \.venv/bin/(.+)", text)
    checks = re.findall(
        r"^\t\$\(BIN\)/((?:ruff check|ruff format --check|mypy).*)$", MAKEFILE, re.MULTILINE
    )
    wanted = [check.removesuffix(" .") for check in checks if "--fix" not in check]
    assert [entry.removesuffix(" --force-exclude") for entry in entries][: len(wanted)] == wanted


def test_ci_checks_first_reads_only_and_pins_every_action_by_hash() -> None:
    text = (ROOT / ".github" / "workflows" / "ci.yml").read_text("utf-8")
    actions = re.findall(r"uses: \S+@(.+)", text)
    assert actions and all(re.fullmatch(r"[0-9a-f]{40} # v[0-9.]+", action) for action in actions)
    assert "\npermissions:\n  contents: read\n" in text
    assert text.index("run: make check") < text.index("needs: check") < text.index("run: .ci/run")


@pytest.mark.parametrize("package", ["servers", "loadtest"])
def test_a_package_tells_type_checkers_that_it_is_typed(package: str) -> None:
    assert (ROOT / package / "py.typed").read_bytes() == b""
    assert package in PROJECT["tool"]["hatch"]["build"]["targets"]["wheel"]["packages"]
