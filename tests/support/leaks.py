"""After every fault a server holds no more than before, is at rest, and serves the next client.

test process                                server process
start, CENSUS=folder, PYTHONPATH=census --> census/sitecustomize.py: handle SIGRTMIN + 1
SIGRTMIN + 1 -----------------------------> count the objects of a connection's classes
read folder/PID <-------------------------- write folder/PID
"""

import ast
import contextlib
import os
import signal
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from tests.support.asking import HELLO
from tests.support.limits_of_machine import cpu_s, descriptors_at_rest, tasks_of, wait_until_left
from tests.support.running import Server, running, wait_until

_CENSUS = Path(__file__).with_name("census")


class LeakCheck:
    """A running server whose objects, threads and descriptors can be compared with those before.

    Attributes:
        server: The server.
    """

    def __init__(self, server: Server, folder: Path) -> None:
        self.server = server
        self._folder = folder

    @contextlib.contextmanager
    def no_leak(self) -> Iterator[None]:
        """Check that after a block the server holds no more than before, rests, and serves."""
        server = self.server
        descriptors = descriptors_at_rest(server)
        wait_until(lambda: not self._clients(), "a server that has forgotten its clients")
        tasks, objects = self._tasks(), self._objects()
        yield
        wait_until_left(server, descriptors)
        wait_until(lambda: self._tasks() <= tasks, "as few threads and processes as before")
        wait_until(lambda: not self._objects() - objects, "no more objects than before")
        before_s, start_s = sum(map(cpu_s, server.processes)), time.monotonic()
        time.sleep(0.3)  # a server at rest uses no CPU meanwhile
        used_s = sum(map(cpu_s, server.processes)) - before_s
        assert used_s <= 0.2 * (time.monotonic() - start_s)
        assert server.ask(HELLO).endswith(b"Hello, World!")

    def _tasks(self) -> int:
        return sum(len([*tasks_of(pid)]) for pid in self.server.processes)

    def _clients(self) -> Counter[str]:
        return self._objects() & Counter({"Client": 1, "ClientProtocol": 1})

    def _objects(self) -> Counter[str]:
        """Return how many objects of a connection's classes are alive in all acceptors."""
        alive: Counter[str] = Counter()
        for pid in self.server.acceptors:
            path = self._folder / str(pid)
            path.unlink(missing_ok=True)
            os.kill(pid, signal.SIGRTMIN + 1)
            wait_until(path.exists, "a census")
            alive.update(ast.literal_eval(path.read_text("ascii")))
        return alive


@contextlib.contextmanager
def leak_checked(model: str, *flags: str, **more: Any) -> Iterator[LeakCheck]:
    """Run a server as ``running`` does, so that its leaks can be seen."""
    with tempfile.TemporaryDirectory() as folder:
        Path(folder).chmod(0o777)  # a server without root's rights writes there, too
        env = {"PYTHONPATH": str(_CENSUS), "CENSUS": folder}
        with running(model, *flags, env=env, **more) as server:
            yield LeakCheck(server, Path(folder))
