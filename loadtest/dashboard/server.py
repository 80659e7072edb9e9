"""The dashboard: a list of runs and their pages, also while they run.

GET /                    the list
GET /runs?run=A&run=B    their page; &anyway=1 if their conditions differ
GET /part?run=A&part=X   charts of it, as JSON
GET /events?run=A        an event whenever a run progresses (server-sent events)
"""

import asyncio
import socket
import sys
from collections.abc import Awaitable, Callable
from ipaddress import ip_address
from pathlib import Path

from aiohttp import web
from plotly.offline import get_plotlyjs

from loadtest.analysis.likeness import DifferentConditionsError
from loadtest.bundle.read import BundleError
from loadtest.bundle.record import COMPARE
from loadtest.dashboard.store import Store
from loadtest.report.record_page import record_html
from loadtest.report.templates import asset, render

POLL_INTERVAL_S = 1.0
"""Two small files of each run are checked this often for progress."""

RUNS_MAX = 20
"""Runs on one page."""

_HEADERS = {
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self'"
    " 'unsafe-inline'; img-src 'self' data: blob:; connect-src 'self'; base-uri 'none';"
    " form-action 'self'; frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
}
"""Plotly sets inline styles; nothing is loaded from elsewhere."""

_STORE = web.AppKey("store", Store)
_LOCK = web.AppKey("lock", asyncio.Lock)
_Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]
_routes = web.RouteTableDef()


@_routes.get("/")
async def _list(request: web.Request) -> web.Response:
    entries = await asyncio.to_thread(request.app[_STORE].entries)
    return _html(render("list.html", entries=entries))


@_routes.get("/runs")
async def _runs(request: web.Request) -> web.Response:
    names, allow_different = _query(request)
    store = request.app[_STORE]
    try:
        await asyncio.to_thread(store.refuse_unknown, names)
        if any(store.kind(name) not in (COMPARE, "") for name in names):
            records, problems = await asyncio.to_thread(store.records, names)
            return _html(await asyncio.to_thread(record_html, records, problems, None))
        async with request.app[_LOCK]:  # one reader at a time: two would repeat each other's work
            page = await asyncio.to_thread(store.page, names, allow_different)
            text = await asyncio.to_thread(lambda: page.served)
    except DifferentConditionsError as error:  # the reader may insist
        again = f"/runs?{request.query_string}&anyway=1"
        return _html(render("problem.html", problem=str(error), again=again), status=409)
    except BundleError as error:  # missing, or unreadable
        return _html(render("problem.html", problem=str(error), again=""), status=404)
    return _html(text)


@_routes.get("/part")
async def _part(request: web.Request) -> web.Response:
    names, allow_different = _query(request)
    store = request.app[_STORE]
    try:
        async with request.app[_LOCK]:
            page = await asyncio.to_thread(store.page, names, allow_different)
            body = await asyncio.to_thread(page.part, request.query.get("part", ""))
    except (BundleError, KeyError) as error:  # it does not exist, or no longer
        raise web.HTTPNotFound(text=f"expected the name of a part, got {error}") from error
    return web.Response(body=body, content_type="application/json")


@_routes.get("/events")
async def _events(request: web.Request) -> web.StreamResponse:
    names, _ = _query(request)
    store = request.app[_STORE]
    try:
        await asyncio.to_thread(store.refuse_unknown, names)
    except BundleError as error:  # it does not exist, or no longer
        raise web.HTTPNotFound(text=str(error)) from error
    response = web.StreamResponse(
        headers={"Content-Type": "text/event-stream", "Cache-Control": "no-store"}
    )
    await response.prepare(request)
    last_stamps: list[int] = []
    while True:
        stamps = [store.stamp(name) for name in names]
        if stamps != last_stamps:
            last_stamps = stamps
            try:
                await response.write(b"data: more\n\n")
            except ConnectionResetError:  # the browser has gone
                return response
            if not store.running(names):
                return response
        await asyncio.sleep(POLL_INTERVAL_S)


@_routes.get("/static/{name}")
async def _static(request: web.Request) -> web.Response:
    kinds = {"page.css": "text/css", "page.js": "text/javascript"}
    name = request.match_info["name"]
    if name == "plotly.min.js":
        text, kind = await asyncio.to_thread(get_plotlyjs), "text/javascript"
    elif name in kinds:
        text, kind = asset(name), kinds[name]
    else:
        raise web.HTTPNotFound
    return web.Response(text=text, content_type=kind)


def _query(request: web.Request) -> tuple[list[str], bool]:
    names = [*dict.fromkeys(request.query.getall("run", []))][:RUNS_MAX]
    return names, "anyway" in request.query


def _html(text: str, status: int = 200) -> web.Response:
    body = text.encode("utf-8", "backslashreplace")  # a problem may quote a path that is no UTF-8
    return web.Response(body=body, content_type="text/html", charset="utf-8", status=status)


@web.middleware
async def _guarded(request: web.Request, handler: _Handler) -> web.StreamResponse:
    """Refuse foreign host names: they would let other sites read results (DNS rebinding)."""
    host = request.host.rsplit(":", 1)[0].strip("[]")
    if host != "localhost" and not _is_address(host) and host != socket.gethostname():
        raise web.HTTPMisdirectedRequest(text=f"expected this machine's name, got {host[:100]!r}")
    return await handler(request)


async def _with_headers(_: web.Request, response: web.StreamResponse) -> None:
    response.headers.update(_HEADERS)


def _is_address(host: str) -> bool:
    try:
        ip_address(host)
    except ValueError:  # a name
        return False
    return True


def app_of(folder: Path) -> web.Application:
    """Return the application for a folder of bundles."""
    app = web.Application(middlewares=[_guarded])
    app[_STORE] = Store(folder)
    app[_LOCK] = asyncio.Lock()
    app.add_routes(_routes)
    app.on_response_prepare.append(_with_headers)
    return app


def serve(folder: Path, bind: str, port: int) -> int:
    """Serve until Ctrl-C; return the exit status: 0, or 3 if it cannot listen."""
    try:
        family = socket.AF_INET6 if ":" in bind else socket.AF_INET
        sock = socket.create_server((bind, port), family=family)
    except OSError as error:  # in use, or no address of this machine
        print(
            f"expected to listen on {bind}:{port}, got: {error.strerror or error}; choose another"
            " --port, or 0 for a free one",
            file=sys.stderr,
        )
        return 3
    host = f"[{bind}]" if ":" in bind else bind
    line = f"dashboard: http://{host}:{sock.getsockname()[1]}/"
    web.run_app(  # it prints once it serves and handles signals
        app_of(folder), sock=sock, print=lambda _: print(line, flush=True), shutdown_timeout=1.0
    )
    return 0
