"""A MemoryError where a server allocates something for a client costs that client alone.

A file decides when an allocation fails, so that nothing depends on chance.
"""

from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

import pytest

from tests.support.asking import HELLO, ask
from tests.support.limits_of_machine import descriptors_of, wait_until_received
from tests.support.running import Server, read_to_end, running, wait_until

_SITE = """
import os, sys

def no_memory():
    return os.path.exists({flag!r})

class Sabotage:
    def find_spec(self, name, path, target=None):
        if name == "servers.process.service":  # the model is imported, and has not started
            sys.meta_path.remove(self)
            exec(CODE, {{"no_memory": no_memory}})

CODE = {code!r}
if "servers" in sys.orig_argv or "servers.process.worker" in sys.orig_argv:
    sys.meta_path.insert(0, Sabotage())
"""

NO_CLIENT = """
from servers.waiting.client import Client
begin = Client.__init__
def __init__(self, *args):
    if no_memory():
        raise MemoryError
    begin(self, *args)
Client.__init__ = __init__
"""

NO_NOTE = """
from servers.waiting.children import Children
class Tallies(dict):
    def __setitem__(self, pid, tally):
        if no_memory():
            raise MemoryError
        super().__setitem__(pid, tally)
begin = Children.__init__
def __init__(self, *args):
    begin(self, *args)
    self._tallies = Tallies()
Children.__init__ = __init__
"""

NO_WORDS = """
from servers.waiting import accepting
begun = accepting._begun
def _begun(sock):
    if no_memory():
        raise MemoryError
    return begun(sock)
accepting._begun = _begun
"""

NO_SOCKET = """
from servers.waiting import accepting
real = accepting.socket
class Socket:
    def __getattr__(self, name):
        return getattr(real, name)
    def socket(self, *args):
        if no_memory():
            raise MemoryError
        return real.socket(*args)
accepting.socket = Socket()
"""

NO_SOCKET_THAT_OWNS = NO_SOCKET.replace(
    "            raise MemoryError", "            made = real.socket(*args); raise MemoryError"
)


UNBORN = """
import _thread
from servers.waiting import threads
class Threads:
    def start_new_thread(self, run, args):
        def die(*_):
            raise MemoryError
        return _thread.start_new_thread(die if no_memory() else run, args)
threads._thread = Threads()
"""


@pytest.fixture
def flag(tmp_path: Path) -> Path:
    """Return a file: as long as it exists, allocations fail."""
    return tmp_path / "no memory"


def sabotaged(flag: Path, code: str) -> Mapping[str, str]:
    """Return an environment in which a server's processes run this before they serve."""
    site = _SITE.format(flag=str(flag), code=code)
    flag.with_name("sitecustomize.py").write_text(site, "utf-8")
    return {"PYTHONPATH": str(flag.parent)}


def lost(server: Server) -> bytes:
    """Return what one client receives meanwhile; b"" if it is reset."""
    with server.connect() as sock, suppress(ConnectionResetError, BrokenPipeError):
        sock.sendall(HELLO)
        return read_to_end(sock)
    return b""


def assert_serves_and_ends(server: Server) -> None:
    """Check that the server serves as before, and stop it."""
    wait_until(lambda: server.children == [], "no child")
    assert [server.get("/") for _ in range(20)] == [b"Hello, World!"] * 20
    wait_until(lambda: server.metrics()["server_open_connections{http}"] == 1, "no other client")
    assert server.stop() == 0


def test_a_child_without_memory_never_accepts(flag: Path) -> None:
    with running("forking", env=sabotaged(flag, NO_CLIENT)) as server:
        flag.touch()
        assert lost(server) == b""
        flag.unlink()
        assert_serves_and_ends(server)
        assert server.log().count("child failed") == 1


def test_a_child_that_cannot_be_recorded_serves_no_refused_client(
    flag: Path,
) -> None:
    with running("forking", env=sabotaged(flag, NO_NOTE)) as server:
        flag.touch()
        with server.connect() as sock:
            assert read_to_end(sock).startswith(b"HTTP/1.1 503 ")
            assert server.children == []
        flag.unlink()
        assert_serves_and_ends(server)
        assert "Traceback" not in server.log()


def test_a_client_is_refused_though_there_is_no_memory_for_the_503_body(
    model: str, flag: Path
) -> None:
    env = sabotaged(flag, NO_WORDS)
    with running(model, "--limit-concurrency=1", env=env, workers=1) as server:
        with server.connect() as inside:
            assert ask(inside).endswith(b"Hello, World!")
            flag.touch()
            assert [lost(server) for _ in range(3)] == [b""] * 3
            flag.unlink()
            assert lost(server).startswith(b"HTTP/1.1 503 ")
            assert ask(inside).endswith(b"Hello, World!")
        wait_until(lambda: lost(server).startswith(b"HTTP/1.1 200 "), "room")
        assert server.stop() == 0
        assert server.log() == ""


@pytest.mark.parametrize("code", [NO_SOCKET, NO_SOCKET_THAT_OWNS], ids=["none", "half made"])
def test_a_client_without_memory_for_its_socket_leaves_no_descriptor(
    model: str, code: str, flag: Path
) -> None:
    with running(model, env=sabotaged(flag, code), workers=1) as server:
        server.get("/")
        wait_until(lambda: server.children == [], "no child")
        before = descriptors_of(server.pid)
        flag.touch()
        assert [lost(server) for _ in range(3)] == [b""] * 3
        flag.unlink()
        assert server.get("/") == b"Hello, World!"
        wait_until(lambda: descriptors_of(server.pid) <= before, "as few descriptors as before")
        assert_serves_and_ends(server)
        assert server.log().count("no memory left") == server.log().count("\n") == 1


def test_a_thread_that_dies_of_memory_before_it_begins_costs_only_its_client(flag: Path) -> None:
    with running("threaded", env=sabotaged(flag, UNBORN), workers=1) as server:
        flag.touch()
        with server.connect() as sock:
            wait_until_received(server, sock)  # accepted, and its thread is dead
            flag.unlink()
            assert_serves_and_ends(server)
            assert sock.recv(1) == b""
        assert server.log().count("thread failed") == 1
