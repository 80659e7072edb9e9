"""Usage errors: one line that says what was expected, what was got, and where the help is."""

import sys

import pytest

from tests.support.commands import run


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        ([], "the following arguments are required: COMMAND"),
        (["compare", "--models", "fork"], "expected models, each one of forking,threaded,"),
        (["compare", "--scenarios", "hello,bye"], "got 'bye'"),
        (["compare", "--connections", "0"], "got '0'"),
        (["compare", "--connections", "10,many"], "got 'many'"),
        (["compare", "--connections", "1000000"], "(the descriptor limit of a process that"),
        (["compare", "--duration", "-1"], "expected a number from 0.1 to 86400"),
        (["compare", "--duration", "nan"], "got 'nan'"),
        (["compare", "--out", "/dev/null"], "expected a folder to write to"),
        (["compare", "--repeats", "0"], "expected a whole number from 1 to 1000"),
        (["compare", "--shares", "50,120"], "expected a whole number from 1 to 100"),
        (["compare", "--loads", "slow"], "expected loads, each one of rate,flat-out"),
        (["compare", "--scenarios", "hello", "--loads", "flat-out"], "expected cells, got none"),
        (["compare", "--scenarios", "get"], "expected a --target for the scenario get"),
        (["compare", "--target", "http://127.0.0.1:1"], "expected NAME=URL"),
        (["compare", "--target", "../a=http://127.0.0.1:1"], "expected NAME=URL"),
        (["compare", "--target", "a=http://127.0.0.1:1"], "Connection refused; start it first"),
        (["compare", "--locust-workers", "2"], "expected only --target with --locust-workers"),
        (["compare", "--server-cores", "0"], "expected --server-cores and --load-cores"),
        (["compare", "--server-cores", "0", "--load-cores", "x"], "expected cores such as 0,2-3"),
        (["compare", "--server-cores", "0", "--load-cores", "999"], "expected cores, each one of"),
        (["compare", "--fail-if", "uvloop hello p99 +10%"], "--baseline and --fail-if together"),
        (["run"], "expected a MODEL or a --target, and not both"),
        (["run", "uvloop", "--target", "http://127.0.0.1:1"], "and not both"),
        (["run", "fork"], "invalid choice: 'fork'"),
        (["run", "uvloop", "--rate", "0"], "expected a number from 0.01 to"),
        (["run", "uvloop", "--rate", "fast"], "got 'fast'"),
        (["run", "uvloop", "--scenario", "bye"], "expected one of hello,echo,"),
        (["run", "uvloop", "--connections", "0"], "expected a whole number from 1"),
        (["run", "uvloop", "--connections", "900000"], "1 for a MODEL), got 900000"),
        (["run", "uvloop", "--scenario", "idle"], "expected --connections 101 or more"),
        (["run", "uvloop", "--find-capacity", "p42=1s"], "expected an objective such as p99=50ms"),
        (["run", "uvloop", "--rate", "5", "--find-capacity", "p99=1s"], "and not both"),
        (["run", "--target", "https://a"], "expected http://HOST:PORT or tcp://HOST:PORT"),
        (["run", "--target", "http://127.0.0.1:1"], "Connection refused; start it first"),
        (["run", "--target", "http://name.invalid"], "expected a server at http://name.invalid"),
    ],
)
def test_a_usage_error_gets_one_line_and_status_2(arguments: list[str], expected: str) -> None:
    ended = run([sys.executable, "-m", "loadtest", *arguments])
    assert ended.returncode == 2
    assert ended.stdout == ""
    assert ended.stderr.count("\n") == 1 and expected in ended.stderr
