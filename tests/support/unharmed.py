"""What has to be so after every fault: the server lives, rests, holds nothing, and serves."""

import ast
import contextlib
import os
import signal
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

from tests.support.limits_of_machine import (
    HELLO,
    cpu_s,
    descriptors_at_rest,
    tasks_of,
    wait_until_left,
)
from tests.support.running import Server, running, wait_until

_CENSUS = Path(__file__).with_name("census")


class _Watch:
    """A server, and the folder where it tells what it holds."""

    def __init__(self, server: Server, folder: Path) -> None:
        self._server = server
        self._folder = folder

    @contextlib.contextmanager
    def unharmed(self) -> Iterator[None]:
        """After a block it holds, and does, no more than before, and serves the next client."""
        server = self._server
        descriptors = descriptors_at_rest(server)
        clients = Counter({"Client": 1, "Peer": 1})
        wait_until(lambda: not self._objects() & clients, "a server that has forgotten its clients")
        tasks, objects = self._tasks(), self._objects()
        yield
        wait_until_left(server, descriptors)
        wait_until(lambda: self._tasks() <= tasks, "as few threads and processes as before")
        wait_until(lambda: not self._objects() - objects, "no more objects than before")
        before_s, start_s = sum(map(cpu_s, server.processes)), time.monotonic()
        time.sleep(0.3)  # to see what it does when there is nothing to do
        used_s = sum(map(cpu_s, server.processes)) - before_s
        assert used_s <= 0.2 * (time.monotonic() - start_s)
        assert server.ask(HELLO).endswith(b"Hello, World!")

    def _tasks(self) -> int:
        return sum(len([*tasks_of(pid)]) for pid in self._server.processes)

    def _objects(self) -> Counter[str]:
        """Return how many objects of a connection's kinds are alive in all who accept."""
        everybody: Counter[str] = Counter()
        for pid in self._server.acceptors:
            path = self._folder / str(pid)
            path.unlink(missing_ok=True)
            os.kill(pid, signal.SIGRTMIN + 1)
            wait_until(path.exists, "a census")
            everybody.update(ast.literal_eval(path.read_text("ascii")))
        return everybody


@contextlib.contextmanager
def watched(
    model: str, *flags: str, **more: Any
) -> Iterator[tuple[Server, Callable[[], AbstractContextManager[None]]]]:
    """Run a server as ``running`` does; with it comes what says that a block has done no harm."""
    with tempfile.TemporaryDirectory() as folder:
        Path(folder).chmod(0o777)  # a server that has given up root writes there, too
        env = {"PYTHONPATH": str(_CENSUS), "CENSUS": folder}
        with running(model, *flags, env=env, **more) as server:
            yield server, _Watch(server, Path(folder)).unharmed
