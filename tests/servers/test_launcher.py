"""The launcher: its ready line, flags, variables and exit statuses."""

import os
import re
import socket
import subprocess
import sys
from dataclasses import fields
from functools import cache
from pathlib import Path

import pytest

from servers.process.arguments import Arguments, parse
from servers.registry import MODELS
from tests.support.asking import HELLO
from tests.support.limits_of_machine import ROOT, fails_to_start, launch
from tests.support.running import DEADLINE_S, running

UNIT = """\
import os, sys
from servers import registry
from servers.__main__ import main
load = registry.load
def load_and_watch(name):
    serve = load(name)  # first: it may patch what the rest uses
    from servers.waiting.accepting import Acceptor
    def show(self, clients, *_):
        os.write(1, b"unit=" + clients.unit.encode())
        os._exit(0)
    Acceptor.__init__ = show
    return serve
registry.load = load_and_watch
main()
"""


def test_a_model_serves_a_client_by_the_unit_of_its_entry(model: str) -> None:
    argv = [sys.executable, "-c", UNIT, model, "--http-port=0", "--echo-port=0"]
    ended = subprocess.run(argv, cwd=ROOT, capture_output=True, timeout=DEADLINE_S, check=False)
    assert ended.stdout.split(b"unit=")[-1].decode() == MODELS[model].unit, ended.stderr


# -- the ready line ----------------------------------------------------------------------------


def test_the_ready_line_names_both_listeners_and_nothing_follows_it(model: str) -> None:
    with running(model) as server:  # which matches the whole line
        with server.connect() as sock, server.connect("echo") as echo:
            sock.sendall(HELLO)
            echo.sendall(b"hello")
            assert sock.recv(1000).endswith(b"Hello, World!")
            assert echo.recv(1000) == b"hello"
        assert (server.model, server.pid) == (model, server.process.pid)
        assert server.http is not None and server.http[0] == "127.0.0.1"
        assert server.echo is not None and server.echo[0] == "127.0.0.1"
        assert server.stop() == 0
        assert server.process.stdout is not None and server.process.stdout.read() == ""
        assert server.log() == ""


@pytest.mark.skipif(not socket.has_dualstack_ipv6(), reason="no IPv6 here")
def test_an_ipv6_address_is_served(model: str) -> None:
    with running(model, "--bind=::1") as server:
        assert server.get("/healthz") == b"ok\n"


@pytest.mark.parametrize("left_out", ["http", "echo"])
def test_off_leaves_a_protocol_out(model: str, left_out: str) -> None:
    with running(model, f"--{left_out}-port=off") as server:
        assert (server.http is None) == (left_out == "http")
        assert (server.echo is None) == (left_out == "echo")
        with server.connect("echo" if left_out == "http" else "http") as sock:
            sock.sendall(HELLO)
            assert sock.recv(1000)
        assert server.stop() == 0
        assert server.log() == ""


@pytest.mark.parametrize("closed_pipe", [True, False])
def test_a_ready_line_that_cannot_be_written_is_a_start_up_failure(closed_pipe: bool) -> None:
    reader, writer = os.pipe()
    os.close(reader)
    with Path("/dev/full").open("w") as full:
        process = subprocess.Popen(
            [sys.executable, "-m", "servers", "asyncio", "--http-port=0", "--echo-port=0"],
            stdout=writer if closed_pipe else full,
            stderr=subprocess.PIPE,
            text=True,
            cwd=ROOT,
        )
    os.close(writer)
    try:
        _, log = process.communicate(timeout=DEADLINE_S)
    finally:
        process.kill()
    assert (process.returncode, len(log.splitlines())) == (3, 1), log


# -- flags, environment, defaults --------------------------------------------------------------


def test_list_gives_every_model_a_line() -> None:
    status, out, err = launch("--list")
    assert (status, err) == (0, "")
    assert [line.split()[0] for line in out.splitlines()] == list(MODELS)
    assert all(model.summary in out for model in MODELS.values())


@cache
def help_text() -> str:
    status, out, err = launch("--help", env={"COLUMNS": "100"})
    assert (status, err) == (0, "")
    return out


@pytest.mark.parametrize("option", [field.name for field in fields(Arguments)][1:])
def test_help_gives_every_flag_its_default_and_its_variable(option: str) -> None:
    about = re.search(
        rf"^  --{option.replace('_', '-')} (.*?)(?=^  -|^\S)", help_text(), re.MULTILINE | re.DOTALL
    )
    assert about is not None
    default = getattr(parse(["asyncio"]), option)
    shown = re.escape(f"{default:g}" if isinstance(default, float) else str(default).lower())
    assert re.search(rf"default:? {shown}(\.0)?\b", " ".join(about[1].split())), about[1]
    assert f"SERVERS_{option.upper()}" in help_text()


def test_the_defaults_are_those_of_the_contract(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in os.environ if name.startswith("SERVERS_")]:
        monkeypatch.delenv(name)
    defaults = parse(["gevent"])
    assert (defaults.bind, defaults.http_port, defaults.echo_port) == ("127.0.0.1", 8000, 7000)
    assert (defaults.backlog, defaults.max_body_size) == (2048, 1 << 20)
    assert (defaults.max_connections, defaults.limit_concurrency) == (None, None)
    assert (defaults.timeout_header, defaults.timeout_body, defaults.timeout_write) == (10, 30, 30)
    assert (defaults.timeout_keep_alive, defaults.timeout_echo_idle) == (5, 300)
    assert defaults.timeout_graceful_shutdown == 30


def test_a_flag_comes_before_the_environment_and_that_before_the_default() -> None:
    env = {
        "SERVERS_HTTP_PORT": "off", "SERVERS_ECHO_PORT": "off",  # overridden by flags
        "SERVERS_BIND": "127.0.0.2", "SERVERS_BACKLOG": "9", "SERVERS_MAX_BODY_SIZE": "77",
        "SERVERS_TIMEOUT_KEEP_ALIVE": "11.5", "SERVERS_TIMEOUT_ECHO_IDLE": "12",
    }  # fmt: skip
    with running("asyncio", "--timeout-echo-idle=13", env=env) as server:
        assert server.echo is not None
        assert server.http is not None and server.http[0] == "127.0.0.2"
        metrics = server.metrics()
    assert metrics["server_socket_option{backlog,http}"] == 9
    assert metrics["server_limit{max_body_size}"] == 77
    assert metrics["server_limit{timeout_keep_alive}"] == 11.5
    assert metrics["server_limit{timeout_echo_idle}"] == 13
    assert metrics["server_limit{timeout_graceful_shutdown}"] == 30


def test_the_backlog_metric_is_that_of_the_flag(model: str) -> None:
    with running(model, "--backlog=7") as server:
        metrics = server.metrics()
    assert metrics["server_socket_option{backlog,http}"] == 7
    assert metrics["server_socket_option{backlog,echo}"] == 7


# -- usage errors and start-up failures --------------------------------------------------------

WRONG_USAGE = [
    ("nope", "MODEL", "'nope'", *MODELS),
    ("", "MODEL"),
    ("asyncio --nope", "--nope"),
    ("asyncio gevent", "gevent"),
    ("asyncio --http-port=65536", "--http-port: expected 0 to 65535 or 'off', got '65536'"),
    ("asyncio --echo-port=http", "--echo-port: expected 0 to 65535 or 'off', got 'http'"),
    ("asyncio --echo-port=²", "--echo-port: expected 0 to 65535 or 'off', got '²'"),
    ("asyncio --http-port", "--http-port: expected"),
    ("asyncio --backlog=0", "--backlog: expected a whole number from 1", "got '0'"),
    ("asyncio --max-connections=0", "--max-connections: expected a whole number from 1"),
    ("asyncio --limit-concurrency=many", "--limit-concurrency: expected a whole number from 1"),
    ("asyncio --timeout-header=0", "--timeout-header: expected seconds", "got '0'"),
    ("asyncio --max-body-size=.5", "--max-body-size: expected a whole number from 0", "got '.5'"),
    ("asyncio --timeout-keep-alive=-1", "--timeout-keep-alive: expected seconds", "got '-1'"),
    ("asyncio --timeout-echo-idle=0", "--timeout-echo-idle: expected seconds", "got '0'"),
    ("asyncio --timeout-graceful-shutdown=nan", "shutdown: expected seconds", "got 'nan'"),
    ("asyncio --http-port=off --echo-port=off", "expected", "got --http-port off"),
]


@pytest.mark.parametrize("case", WRONG_USAGE, ids=lambda case: case[0])
def test_a_usage_error_is_one_line_with_a_way_out(case: tuple[str, ...]) -> None:
    status, out, err = launch(*case[0].split())
    assert (status, out) == (2, "")
    assert re.fullmatch(r"[^\n]+\n", err)
    for fragment in [*case[1:], "--help"]:
        assert fragment in err


@pytest.mark.parametrize(
    ("variable", "value", "expected"),
    [("HTTP_PORT", "abc", "0 to 65535"), ("TIMEOUT_ECHO_IDLE", "-2", "seconds")],
)
def test_a_wrong_variable_is_named(variable: str, value: str, expected: str) -> None:
    status, out, err = launch("asyncio", env={f"SERVERS_{variable}": value})
    assert (status, out) == (2, "")
    assert re.fullmatch(rf"[^\n]*SERVERS_{variable}\b[^\n]*\n", err), err
    assert f"expected {expected}" in err
    assert f"got {value!r}" in err


@pytest.mark.parametrize("protocol", ["http", "echo"])
def test_a_port_in_use_is_a_start_up_failure(protocol: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        why = fails_to_start(f"--{protocol}-port={port}")
    assert f"127.0.0.1 port {port}: Address already in use" in why
    assert f"--{protocol}-port" in why


@pytest.mark.parametrize("host", ["nowhere.invalid", "192.0.2.1", "a..b", "a" * 64 + ".b"])
def test_an_address_that_is_not_local_is_a_start_up_failure(host: str) -> None:
    why = fails_to_start(f"--bind={host}")
    assert host in why
    assert "--bind" in why
