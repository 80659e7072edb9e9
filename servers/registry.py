"""The models, by name. A model is one file and one line here.

Each line holds strings only: importing gevent's model patches the process.
"""

import importlib
import importlib.util
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:  # nothing must be imported before a model that changes what is imported
    from servers.counting.counters import Counters
    from servers.sockets.listeners import Listener
    from servers.waiting.shutdown import Shutdown

Serve = Callable[["Sequence[Listener]", "Counters", "Shutdown"], None]
"""A model: serves the listeners until the shutdown is requested and drained."""


class Model(NamedTuple):
    """One way to serve many connections at once."""

    function: str  # "module:function"
    summary: str  # who waits; what an idle connection costs
    in_process: bool = True  # each connection takes a descriptor of the serving process
    needs: str = ""  # a package that only this model uses


MODELS = {
    "forking": Model(
        "servers.models.forking:serve",
        "a process waits per connection; an idle one costs a process (about 0.9 MB)",
        in_process=False,
    ),
    "threaded": Model(
        "servers.models.threaded:serve",
        "a thread waits per connection; an idle one costs a thread (about 25 KB)",
    ),
    "gevent": Model(
        "servers.models.gevent:serve",
        "a greenlet waits per connection; an idle one costs a greenlet (about 10 KB)",
        needs="gevent",
    ),
    "asyncio": Model(
        "servers.models.eventloop:serve_asyncio",
        "one loop in Python waits for all; an idle one costs a few objects (about 3 KB)",
    ),
    "uvloop": Model(
        "servers.models.eventloop:serve_uvloop",
        "one loop in C waits for all; an idle one costs a few objects (about 3 KB)",
        needs="uvloop",
    ),
}


def missing(name: str) -> str:
    """Return the name of the package that a model needs and that is not installed; "" if none."""
    needs = MODELS[name].needs
    return needs if needs and importlib.util.find_spec(needs) is None else ""


def load(name: str) -> Serve:
    """Import a model's module and return its function."""
    module, _, function = MODELS[name].function.partition(":")
    return getattr(importlib.import_module(module), function)  # type: ignore[no-any-return]
