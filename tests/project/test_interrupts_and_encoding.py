"""Wrong arguments and early interrupts: an exit status, one line at most, never a traceback."""

import os
import signal
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import pytest

from loadtest.__main__ import new_parser
from tests.support.commands import ROOT, SCRIPTS, script
from tests.support.running import DEADLINE_S

SERVERS, LOADTEST, BENCH = "servers", "loadtest", "loadtest.bench"


def ended(
    module: str, *argv: bytes | str, env: Mapping[str, str | bytes] | None = None
) -> tuple[int, bytes, bytes]:
    """Run a command to its end; return its status, standard output and standard error."""
    done = subprocess.run(
        [*(script(module) if module in SCRIPTS else [sys.executable, "-m", module]), *argv],
        capture_output=True,
        timeout=DEADLINE_S,
        cwd=ROOT,
        env={**os.environb, **{os.fsencode(k): os.fsencode(v) for k, v in (env or {}).items()}},
    )
    return done.returncode, done.stdout, done.stderr


# -- arguments that are not UTF-8 --------------------------------------------------------------


@pytest.mark.parametrize(
    ("status", "argv"),
    [
        (3, [b"threaded", b"--bind=\xff"]),
        (3, [b"threaded", b"--bind=\xff", b"--workers=2"]),
        (2, [b"\xff"]),
        (2, [b"threaded", b"--http-port=\xff"]),
        (2, [b"threaded", b"--timeout-header=\xff"]),
        (2, [b"threaded", b"--\xff"]),
        (2, [b"threaded", b"\xff"]),
    ],
    ids=lambda value: repr(b" ".join(value)) if isinstance(value, list) else str(value),
)
@pytest.mark.parametrize("locale", ["C.UTF-8", "C"])
def test_the_launcher_refuses_arguments_that_are_not_utf_8_in_one_line(
    status: int, argv: list[bytes], locale: str
) -> None:
    env = {"LC_ALL": locale, "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}
    got, out, err = ended(SERVERS, *argv, env=env)
    assert (got, out, err.count(b"\n")) == (status, b"", 1), err
    assert b"Traceback" not in err
    assert b"xff" in err or b"udcff" in err


def test_the_launcher_refuses_variables_that_are_not_utf_8_in_one_line() -> None:
    got, out, err = ended(SERVERS, "threaded", env={"SERVERS_BIND": b"\xff"})
    assert (got, out, err.count(b"\n")) == (3, b"", 1), err
    assert rb"\xff" in err


_COMMANDS = new_parser()._subparsers._group_actions[0].choices  # type: ignore[union-attr]
FLAGS = [
    (name, action.option_strings[-1])
    for name, parser in _COMMANDS.items()  # type: ignore[union-attr]
    for action in parser._actions
    if action.option_strings and action.nargs != 0 and action.type is not Path
]
"""Every flag that takes a value, of every command, except those that take a file's name."""


@pytest.mark.parametrize(("command", "flag"), FLAGS)
def test_each_flag_refuses_a_value_that_is_not_utf_8_in_one_line(
    command: str, flag: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as refused:
        new_parser().parse_args([command, f"{flag}=\udcff", *["bundle"] * (command == "report")])
    assert refused.value.code == 2
    err = capsys.readouterr().err
    assert err.count("\n") == 1 and flag.removeprefix("--") in err, err


@pytest.mark.parametrize(
    ("module", "argv"),
    [
        (LOADTEST, [b"\xff"]),
        (LOADTEST, [b"doctor", b"--\xff"]),
        (LOADTEST, [b"report", b"\xff"]),
        (LOADTEST, [b"compare", b"--resume=\xff"]),
        (LOADTEST, [b"dashboard", b"--bind=\xff"]),
        (LOADTEST, [b"dashboard", b"--results=\xff"]),
        (LOADTEST, [b"run", b"--target=http://\xff:1"]),
        (LOADTEST, [b"selftest", b"--out=/proc/\xff"]),
        (BENCH, [b"--rounds=\xff"]),
        (BENCH, [b"--rounds=0", b"--out=/proc/\xff"]),
    ],
    ids=repr,
)
def test_a_command_refuses_arguments_that_are_not_utf_8_in_one_line(
    module: str, argv: list[bytes]
) -> None:
    got, out, err = ended(module, *argv)
    assert (got, out, err.count(b"\n")) == (2, b"", 1), err
    assert b"Traceback" not in err


# -- Ctrl-C while the first modules are imported -----------------------------------------------

_INTERRUPTS = """
import os, signal, sys
class Interrupt:
    def find_spec(self, name, path=None, target=None):
        if name == os.environ.get("INTERRUPTED_AT"):
            os.kill(os.getpid(), signal.SIGINT)
sys.meta_path.insert(0, Interrupt())
signal.signal(signal.SIGINT, signal.default_int_handler)  # "make test &" has it ignored
"""


@pytest.mark.parametrize(
    ("command", "imported"),
    [
        ("servers threaded", "argparse"),
        ("servers threaded", "servers.registry"),
        ("servers threaded", "servers.process.startup"),
        ("servers gevent", "gevent.monkey"),
        ("servers asyncio --workers=2", "servers.process.supervisor"),
        ("concurrency-servers threaded", "servers.registry"),
        ("concurrency-servers gevent", "gevent.monkey"),
        ("loadtest doctor", "loadtest.host.safe_output"),
        ("loadtest doctor", "loadtest.cli.compare"),
        ("loadtest doctor", "loadtest.host.doctor"),
        ("loadtest doctor", "psutil"),
        ("loadtest run --target=tcp://127.0.0.1:1", "loadtest.running.run"),
        ("loadtest compare", "loadtest.compare.command"),
        ("loadtest report nowhere", "loadtest.report.command"),
        ("loadtest dashboard", "loadtest.dashboard.server"),
        ("loadtest selftest", "loadtest.selftest.command"),
        ("concurrency-loadtest doctor", "loadtest.host.safe_output"),
        ("concurrency-loadtest compare", "loadtest.compare.command"),
        ("loadtest.bench --rounds=0", "argparse"),
        ("loadtest.bench --rounds=0", "loadtest.bench.benchmark"),
    ],
)
def test_ctrl_c_during_an_import_ends_the_command_silently(
    command: str, imported: str, tmp_path: Path
) -> None:
    (tmp_path / "sitecustomize.py").write_text(_INTERRUPTS, "ascii")
    (tmp_path / "results").mkdir()
    env = {"PYTHONPATH": str(tmp_path), "INTERRUPTED_AT": imported}
    status, out, err = ended(*command.split(), env=env)
    # A shell shows 130 for both.
    assert status in (130, -signal.SIGINT), (status, err)
    assert (out, err) == (b"", b"")
