"""The models, by name, with the facts about each that everything else needs.

A model is one file, ``servers/models/<name>.py`` with ``_`` for ``-``, with a ``serve`` in it; and
one entry here. The launcher, the tests, the comparison, the benchmark and the report read the
entry, and ``make generate`` writes README's table and the services of docker compose from it.

Each entry holds strings only: importing gevent's model patches the process.
"""

import importlib
import importlib.util
from collections.abc import Callable
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:  # nothing must be imported before a model that changes what is imported
    from servers.counting.counters import Counters
    from servers.sockets.listeners import Listeners
    from servers.waiting.shutdown import Shutdown

Serve = Callable[["Listeners", "Counters", "Shutdown"], None]
"""A model: serves the listeners until the shutdown is requested and drained."""


class Model(NamedTuple):
    """One way to serve many connections at once.

    Attributes:
        unit: What serves one connection, and what may run out: "no thread left".
        waits: Who waits, as a sentence without its full stop.
        note: What to know before choosing it.
        own_process: Whether each connection has a process of its own, and so takes no descriptor
            of the serving process.
        pooled: Whether a fixed number of units serve all connections in turn.
        needs: A package that only this model uses.
    """

    unit: str
    waits: str
    note: str
    own_process: bool = False
    pooled: bool = False
    needs: str = ""

    @property
    def summary(self) -> str:
        """Who waits, and what else tells this model from others, in one line."""
        facts = [
            self.waits,
            f"a fixed pool of {self.unit}s" if self.pooled else "",
            f"needs {self.needs}" if self.needs else "",
        ]
        return "; ".join(fact for fact in facts if fact)


MODELS = {
    "forking": Model(
        unit="process",
        waits="a process per connection blocks in recv()",
        note="connections share nothing: no lock, and a crash ends one connection",
        own_process=True,
    ),
    "threaded": Model(
        unit="thread",
        waits="a thread per connection blocks in recv()",
        note="one interpreter lock: a thread that computes makes all others wait",
    ),
    "gevent": Model(
        unit="greenlet",
        waits="a greenlet per connection seems to block in recv(), while the hub runs others",
        note="the handler of the two above, patched; a greenlet that computes stops all others",
        needs="gevent",
    ),
    "asyncio": Model(
        unit="callback",
        waits="one event loop, written in Python, waits for all connections and calls back",
        note="a callback that computes stops all others",
    ),
    "uvloop": Model(
        unit="callback",
        waits="one event loop, written in C, waits for all connections and calls back",
        note="the callbacks of asyncio on another loop",
        needs="uvloop",
    ),
}


def missing(name: str) -> str:
    """Return the name of the package that a model needs and that is not installed; "" if none."""
    needs = MODELS[name].needs
    return needs if needs and importlib.util.find_spec(needs) is None else ""


def unit_of(name: str) -> str:
    """Return what serves a connection of a model; "" for a server that is none of the models."""
    return MODELS[name].unit if name in MODELS else ""


def module_of(name: str) -> str:
    """Return the module of a model."""
    return f"servers.models.{name.replace('-', '_')}"


def load(name: str) -> Serve:
    """Import a model's module and return its function."""
    return importlib.import_module(module_of(name)).serve  # type: ignore[no-any-return]
