"""What a contributor works with: make, the console scripts, types for importers, pre-commit, CI."""

import re
import tomllib
from typing import Any

import pytest

from tests.support.commands import ROOT, run, script

MAKEFILE = (ROOT / "Makefile").read_text("utf-8")
PROJECT: dict[str, Any] = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))


def test_make_help_lists_every_target_and_is_what_a_bare_make_does() -> None:
    targets = re.findall(r"^([a-z][a-z-]*):", MAKEFILE, re.MULTILINE)
    (phony,) = re.findall(r"^\.PHONY: (.+)$", MAKEFILE, re.MULTILINE)
    assert phony.split() == targets
    make = ["make", "--no-print-directory"]  # within make test it would say where it is
    shown, shown_by_default = run([*make, "help"]).stdout, run(make).stdout
    assert shown == shown_by_default
    rows = [line.split(maxsplit=1) for line in shown.splitlines()]
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
    ended = run([*script(name), *argv])
    command = " ".join([name, *argv[:-1]])
    assert (ended.returncode, ended.stdout) == (2, "")
    assert ended.stderr.startswith(f"{command}: ")
    assert ended.stderr.endswith(f"; run: {command} --help\n")


def test_a_console_script_names_itself_in_a_start_up_failure() -> None:
    ended = run([*script("concurrency-servers"), "asyncio", "--bind=192.0.2.1"])
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
    ended = run([*script(name), *argv, "--help"])
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
