"""The application: a handler per route. It knows neither sockets nor models.

A handler takes a Request and returns a Response. A handler that waits, as for a back end, is a
generator and yields a Wait first: the model decides who waits.
"""

import hashlib
import json
from collections.abc import Callable, Generator, Iterator

from servers import limits
from servers.protocol.connection import Wait
from servers.protocol.messages import BadParameter, Handler, Request, Response, error


class App:
    """The routes and their handlers.

    Args:
        metrics_text: Returns the Prometheus text, with proportional memory if its argument is true.
    """

    def __init__(self, metrics_text: Callable[[bool], bytes]) -> None:
        self._metrics_text = metrics_text
        get: dict[bytes, Handler] = {
            b"/": hello,
            b"/json": as_json,
            b"/wait": wait,
            b"/cpu": cpu,
            b"/hash": sha256,
            b"/bytes": stream,
            b"/healthz": healthz,
            b"/metrics": self.metrics,
        }
        self._routes: dict[bytes, dict[bytes, Handler | Response]] = {
            path: {b"GET": handler, b"HEAD": handler, b"OPTIONS": _options("GET, HEAD, OPTIONS")}
            for path, handler in get.items()
        }
        self._routes[b"/echo"] = {b"POST": echo, b"OPTIONS": _options("POST, OPTIONS")}
        self._routes[b"*"] = {b"OPTIONS": _options("GET, HEAD, POST, OPTIONS")}

    def find(self, method: bytes, path: bytes) -> Handler | Response:
        """Return the route's handler, or a reply: 204 to OPTIONS, 404, 405."""
        methods = self._routes.get(path)
        if methods is None:
            return _NOT_FOUND
        handler = methods.get(method)
        if handler is None:
            allow = ", ".join(method.decode("ascii") for method in methods)
            return error(405, "method not allowed here", allow)
        return handler

    def metrics(self, request: Request) -> Response:
        """GET /metrics[?memory=pss]: the Prometheus text."""
        text = self._metrics_text(b"memory=pss" in request.query.split(b"&"))
        return Response(200, text, "text/plain; version=0.0.4; charset=utf-8", yields_after=True)


def _options(allow: str) -> Response:
    return Response(204, allow=allow)


_NOT_FOUND = error(404, "not found")
_HELLO = Response(200, b"Hello, World!")
_HEALTHY = Response(200, b"ok\n")
_BLOCK = bytes(range(32, 96)) * (limits.STREAM_BYTES // 64)


def hello(request: Request) -> Response:
    """GET /: the smallest reply."""
    return _HELLO


def healthz(request: Request) -> Response:
    """GET /healthz: for probes."""
    return _HEALTHY


def as_json(request: Request) -> Response:
    """GET /json: an object, encoded anew for each request."""
    content = json.dumps({"message": "Hello, World!"}).encode("ascii")
    return Response(200, content, "application/json")


def echo(request: Request) -> Response:
    """POST /echo: the request's content."""
    return Response(200, request.content, "application/octet-stream")


def wait(request: Request) -> Generator[Wait, None, Response]:
    """GET /wait?ms=50: replies after a wait, as for a back end."""
    ms = _number(request, "ms", 50, limits.WAIT_MS_MAX)
    yield Wait(ms / 1000)
    return Response(200, b"waited %d ms\n" % ms)


def cpu(request: Request) -> Response:
    """GET /cpu?n=100000: n rounds of pure-Python arithmetic, which hold the GIL."""
    value = 1
    for _ in range(_number(request, "n", 100_000, limits.CPU_ROUNDS_MAX)):
        value = (value * 1_103_515_245 + 12_345) & 0x7FFFFFFF
    return Response(200, b"%d\n" % value, yields_after=True)


def sha256(request: Request) -> Response:
    """GET /hash?kib=1024: SHA-256 of kib KiB of zeros, which releases the GIL."""
    kib = _number(request, "kib", 1024, limits.HASH_KIB_MAX)
    digest = hashlib.sha256()
    zeros = bytes(1024 * min(kib, 1024))
    for _ in range(kib // 1024):
        digest.update(zeros)
    digest.update(zeros[: kib % 1024 * 1024])
    return Response(200, f"{digest.hexdigest()}\n".encode("ascii"), yields_after=True)


def stream(request: Request) -> Response:
    """GET /bytes?n=1000000: n bytes, made as they are sent."""
    count = _number(request, "n", 1_000_000, limits.STREAM_BYTES_MAX)

    def pieces() -> Iterator[bytes]:
        for _ in range(count // len(_BLOCK)):
            yield _BLOCK
        if count % len(_BLOCK):
            yield _BLOCK[: count % len(_BLOCK)]

    return Response(200, content_type="application/octet-stream", stream=pieces(), length=count)


def _number(request: Request, name: str, default: int, maximum: int) -> int:
    values = [
        value
        for key, _, value in (pair.partition(b"=") for pair in request.query.split(b"&"))
        if key == name.encode("ascii")
    ]
    if not values:
        return default
    if len(values) > 1 or not values[0].isdigit() or len(values[0]) > 20:
        raise BadParameter(400, f"{name} must be a whole number from 0 to {maximum}")
    if int(values[0]) > maximum:
        raise BadParameter(400, f"{name} must be a whole number from 0 to {maximum}")
    return int(values[0])
