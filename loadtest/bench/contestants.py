"""The models and other servers that the benchmark compares, and how the others are started."""

import importlib.util
from collections.abc import Collection, Iterable, Sequence
from typing import NamedTuple


class OtherServer(NamedTuple):
    """Another server, which serves with one process."""

    command: str  # what follows "python"; {port} stands for the port
    packages: tuple[str, ...]  # the modules it needs
    app: str = "loadtest.bench.peer_app:wsgi"
    remark: str = ""

    @property
    def missing(self) -> list[str]:
        """Return the packages that are not installed."""
        return [name for name in self.packages if importlib.util.find_spec(name) is None]


_GUNICORN = "-m gunicorn --bind 127.0.0.1:{port} --workers 1 --log-level warning --worker-class "

PEERS = {
    "fastpysgi": OtherServer(  # it lacks a __main__
        "-c 'import fastpysgi; fastpysgi.run_from_cli()' --host 127.0.0.1 --port {port}",
        ("fastpysgi",),
    ),
    "uvicorn": OtherServer(
        "-m uvicorn --host 127.0.0.1 --port {port} --http httptools --loop uvloop"
        " --lifespan off --no-access-log --log-level warning",
        ("uvicorn", "httptools", "uvloop"),
        app="loadtest.bench.peer_app:asgi",
        remark="httptools, uvloop",
    ),
    "granian": OtherServer(
        "-m granian --host 127.0.0.1 --port {port} --interface wsgi --workers 1"
        " --no-access-log --log-level warning",
        ("granian",),
        remark="WSGI, chooses its own threads",
    ),
    "gunicorn-gthread": OtherServer(
        _GUNICORN + "gthread --threads 4", ("gunicorn",), remark="4 threads"
    ),
    "gunicorn-gevent": OtherServer(_GUNICORN + "gevent", ("gunicorn", "gevent")),
    "gunicorn-sync": OtherServer(
        _GUNICORN + "sync", ("gunicorn",), remark="closes after each request: no keep-alive"
    ),
}


class Comparison(NamedTuple):
    """A model and another server, with the target for the ratio of their CPU time per request."""

    model: str
    peer: str
    ratio_max: float


COMPARISONS = (
    Comparison("uvloop", "fastpysgi", 1.15),
    Comparison("uvloop", "uvicorn", 0.35),
    Comparison("asyncio", "uvicorn", 0.4),
    Comparison("threaded", "granian", 0.85),
    Comparison("threaded", "gunicorn-gthread", 0.1),
    Comparison("gevent", "gunicorn-gevent", 0.15),
    Comparison("forking", "gunicorn-sync", 0.1),
)


def order(models: Sequence[str]) -> list[str]:
    """Return the names in a round: each model, its peers next to it, and each once."""
    names: list[str] = []
    for model in models:
        names += [model, *(pair.peer for pair in comparisons([model]))]
    return list(dict.fromkeys(names))


def comparisons(names: Collection[str]) -> list[Comparison]:
    """Return the pairs of some models."""
    return [pair for pair in COMPARISONS if pair.model in names]


def missing_peers(names: Iterable[str]) -> dict[str, list[str]]:
    """Return the peers that cannot run, and the packages they lack."""
    return {name: PEERS[name].missing for name in names if name in PEERS and PEERS[name].missing}
