"""A name with several addresses: a server listens on all of them, each once, on the same port."""

import contextlib
import errno
import re
import signal
import socket
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest

from tests.support.asking import HELLO
from tests.support.lacking import hosts, kernel_without
from tests.support.limits_of_machine import launch
from tests.support.running import DEADLINE_S, Server, read_to_end, running, stopped, wait_until

pytestmark = pytest.mark.skipif(not socket.has_dualstack_ipv6(), reason="no IPv6 here")

BOTH = ["127.0.0.1 both.test", "::1 both.test", "127.0.0.1 both.test"]
"""A name as /etc/hosts may have it: an address twice."""


def others(server: Server) -> list[tuple[str, str, int]]:
    """Return what standard error says is listened on besides: protocol, host, port."""
    found = re.findall(r"^listening also (\w+)=(\S+):(\d+)$", server.log(), re.MULTILINE)
    return [(protocol, host.strip("[]"), int(port)) for protocol, host, port in found]


def hello(host: str, port: int) -> bool:
    """Return whether a server answers at an address."""
    with socket.create_connection((host, port), DEADLINE_S) as sock:
        sock.sendall(HELLO)
        sock.shutdown(socket.SHUT_WR)
        return b"Hello, World!" in read_to_end(sock)


@pytest.mark.parametrize("workers", [1, 2])
def test_a_name_is_served_at_each_of_its_addresses_until_the_drain(
    model: str, workers: int, tmp_path: Path
) -> None:
    prefix = hosts(tmp_path / "hosts", *BOTH)
    with running(model, "--bind=both.test", prefix=prefix, workers=workers) as server:
        assert server.http is not None and server.echo is not None
        wait_until(lambda: len(others(server)) == 2, "a line for each further address")
        named = [("http", *server.http), ("echo", *server.echo), *others(server)]
        assert {host for _, host, _ in named} == {"127.0.0.1", "::1"}
        assert {(protocol, port) for protocol, _, port in named} == {
            ("http", server.http[1]), ("echo", server.echo[1]),
        }  # fmt: skip
        assert server.log().count("\n") == 2
        for _ in range(4):
            for host in ("127.0.0.1", "::1"):
                assert hello(host, server.http[1])
                with socket.create_connection((host, server.echo[1]), DEADLINE_S) as sock:
                    sock.sendall(b"hello")
                    assert sock.recv(100) == b"hello"
        with contextlib.ExitStack() as clients, stopped(server):
            late = [
                clients.enter_context(socket.create_connection((host, server.http[1]), DEADLINE_S))
                for host in ("127.0.0.1", "::1") * 10
            ]
            for sock in late:
                sock.sendall(HELLO)
            server.process.terminate()
            clients = clients.pop_all()
        with clients:
            assert all(b"Hello, World!" in read_to_end(sock) for sock in late)
        assert server.process.wait(DEADLINE_S) == 0
        assert server.log().count("\n") == 2


@pytest.mark.parametrize("lines", [BOTH, BOTH[::-1]], ids=["IPv4 first", "IPv6 first"])
def test_the_ready_line_names_the_resolvers_first(lines: Sequence[str], tmp_path: Path) -> None:
    prefix = hosts(tmp_path / "hosts", *lines)
    first = subprocess.run(
        [*prefix, sys.executable, "-c",
         "import socket; print(socket.getaddrinfo('both.test', 1, 0, 1)[0][4][0])"],
        capture_output=True, text=True, check=True, timeout=DEADLINE_S,
    )  # fmt: skip
    with running("asyncio", "--bind=both.test", "--echo-port=off", prefix=prefix) as server:
        assert server.http is not None and server.http[0] == first.stdout.strip()
        wait_until(lambda: len(others(server)) == 1, "a line for the other address")


def test_sighup_replaces_workers_at_each_address(tmp_path: Path) -> None:
    prefix = hosts(tmp_path / "hosts", *BOTH)
    with running("threaded", "--bind=both.test", prefix=prefix, workers=2) as server:
        before = set(server.acceptors)
        assert server.http is not None
        server.process.send_signal(signal.SIGHUP)
        wait_until(
            lambda: len(server.acceptors) == 2 and not before & set(server.acceptors), "others"
        )
        assert hello("127.0.0.1", server.http[1]) and hello("::1", server.http[1])
        assert server.stop() == 0


@pytest.mark.parametrize("switched_off", ["by sysctl", "in the kernel"])
def test_an_address_of_a_family_that_is_switched_off_is_left_out(
    switched_off: str, tmp_path: Path
) -> None:
    env = {}
    if switched_off == "in the kernel":
        env = kernel_without(f"socket {int(socket.AF_INET6)} 0", error=errno.EAFNOSUPPORT)
    prefix = hosts(tmp_path / "hosts", *BOTH, without_ipv6=not env)
    with running("asyncio", "--bind=both.test", prefix=prefix, env=env) as server:
        assert server.http is not None and server.http[0] == "127.0.0.1"
        assert server.stop() == 0
        assert server.log() == ""


def test_where_no_family_is_left_that_is_a_start_up_failure(tmp_path: Path) -> None:
    prefix = hosts(tmp_path / "hosts", "::1 six.test", without_ipv6=True)
    status, out, err = launch("asyncio", "--bind=six.test", "--http-port=0", prefix=prefix)
    assert (status, out) == (3, "")
    assert re.fullmatch(r"[^\n]*six.test port 0: Cannot assign requested address[^\n]*\n", err)


def test_an_address_that_is_in_use_is_named(tmp_path: Path) -> None:
    prefix = hosts(tmp_path / "hosts", *BOTH)
    with socket.create_server(("::1", 0), family=socket.AF_INET6) as taken:
        port = taken.getsockname()[1]
        status, out, err = launch(
            "asyncio", "--bind=both.test", f"--http-port={port}", "--echo-port=off", prefix=prefix
        )
    assert (status, out) == (3, "")
    assert re.fullmatch(rf"[^\n]*both.test port {port}: ::1: Address already in use[^\n]*\n", err)


def test_an_address_that_is_not_local_is_named(tmp_path: Path) -> None:
    prefix = hosts(tmp_path / "hosts", "127.0.0.1 ours.test", "192.0.2.1 ours.test")
    status, out, err = launch("asyncio", "--bind=ours.test", "--http-port=0", prefix=prefix)
    assert (status, out) == (3, "")
    assert re.fullmatch(r"[^\n]*192.0.2.1: Cannot assign requested address[^\n]*\n", err)


_TAKES = """
import os, socket, sys
bind, first, taken = socket.socket.bind, [], []
def take(self, address):
    first[:] = first or [self.family]
    if self.family != first[0] and len(taken) < int(os.environ["TAKEN"]):
        taken.append(socket.socket(self.family))
        bind(taken[-1], address)
        taken[-1].listen()
    return bind(self, address)
if "servers" in sys.orig_argv:
    socket.socket.bind = take
"""


@pytest.mark.parametrize("workers", [1, 2])
@pytest.mark.parametrize("often", [3, 1000])
def test_a_free_port_is_one_that_is_free_on_each_address(
    often: int, workers: int, tmp_path: Path
) -> None:
    (tmp_path / "sitecustomize.py").write_text(_TAKES, "ascii")
    env = {"PYTHONPATH": str(tmp_path), "TAKEN": str(often)}
    prefix = hosts(tmp_path / "hosts", "127.0.0.1 both.test", "::1 both.test")
    flags = ["--bind=both.test", "--echo-port=off"]
    if often < 10:
        with running("asyncio", *flags, prefix=prefix, env=env, workers=workers) as server:
            assert server.http is not None
            wait_until(lambda: len(others(server)) == 1, "a line for the other address")
            [(_, host, port)] = others(server)
            assert {host, server.http[0]} == {"127.0.0.1", "::1"} and port == server.http[1]
            assert hello(host, port)
            assert server.stop() == 0
        return
    status, out, err = launch(
        "asyncio", *flags, "--http-port=0", f"--workers={workers}", prefix=prefix, env=env
    )
    assert (status, out) == (3, "")
    assert re.fullmatch(r"[^\n]*no port is free on all addresses[^\n]*\n", err)


def test_a_name_may_stand_for_all_addresses_of_either_family(tmp_path: Path) -> None:
    prefix = hosts(tmp_path / "hosts", "0.0.0.0 all.test", ":: all.test")
    with running("asyncio", "--bind=all.test", "--echo-port=off", prefix=prefix) as server:
        assert server.http is not None
        assert hello("127.0.0.1", server.http[1]) and hello("::1", server.http[1])
        assert server.stop() == 0


def test_the_ipv6_wildcard_alone_serves_ipv4_too(model: str) -> None:
    if Path("/proc/sys/net/ipv6/bindv6only").read_text("ascii").strip() != "0":
        pytest.skip("net.ipv6.bindv6only is set here")
    with running(model, "--bind=::") as server:
        assert server.http is not None and server.http[0] == "::"
        assert hello("127.0.0.1", server.http[1]) and hello("::1", server.http[1])


@pytest.mark.parametrize("workers", [1, 2])
def test_an_address_that_a_wildcard_of_its_family_covers_is_left_out(
    workers: int, tmp_path: Path
) -> None:
    names = ["127.0.0.1", "0.0.0.0", "::1", "::"]
    prefix = hosts(tmp_path / "hosts", *(f"{host} all.test" for host in names))
    flags = ["--bind=all.test", "--echo-port=off"]
    with running("asyncio", *flags, prefix=prefix, workers=workers) as server:
        assert server.http is not None
        wait_until(lambda: len(others(server)) == 1, "a line for the other address")
        assert {server.http[0], others(server)[0][1]} == {"0.0.0.0", "::"}
        assert hello("127.0.0.1", server.http[1]) and hello("::1", server.http[1])
        assert server.stop() == 0
