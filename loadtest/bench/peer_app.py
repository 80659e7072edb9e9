"""The application of each peer: the reply of this project's servers to ``GET /``."""

from collections.abc import Awaitable, Callable, Iterable
from typing import Any

HELLO = b"Hello, World!"

_HEADERS = [("Content-Type", "text/plain"), ("Content-Length", str(len(HELLO)))]
_ASGI_HEADERS = [(name.lower().encode(), value.encode()) for name, value in _HEADERS]


def wsgi(_environ: dict[str, Any], start_response: Callable[..., object]) -> Iterable[bytes]:
    """Answer as a WSGI application."""
    start_response("200 OK", _HEADERS)
    return [HELLO]


async def asgi(
    _scope: dict[str, Any], _receive: object, send: Callable[[dict[str, Any]], Awaitable[None]]
) -> None:
    """Answer as an ASGI application."""
    await send({"type": "http.response.start", "status": 200, "headers": _ASGI_HEADERS})
    await send({"type": "http.response.body", "body": HELLO})
