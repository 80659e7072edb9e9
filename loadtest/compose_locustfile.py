"""A second locustfile, for docker compose: it aims Locust at the running variant.

Each variant is a host name of its own, so no two are ever mixed behind one name. Locust's page has
the running variant as its host; where none runs, or several do, the host is a name that says so and
does not resolve.
"""

import logging
import os
import time

import gevent.pool
import locust.runners
from flask import request
from locust import events
from locust.env import Environment
from locust.runners import STATE_INIT, STATE_STOPPED, WorkerRunner

from loadtest.client.address import address_of, resolve
from loadtest.client.clients import HTTPClient
from loadtest.control.sampling import models
from loadtest.host.cores import numbers_in
from loadtest.measure.errors import ReplyError
from servers.registry import MODELS

HTTP_PORT = 8000
"""Every variant's port inside the network."""

ANSWER_S = 2.0
"""A variant that takes longer to answer does not count as running."""

START_S = 60.0
"""For a variant to start, where Locust has no page on which the host could be corrected later."""

MASTER_LOST_S = 10
"""A worker that hears nothing from its master for so long ends, and is started again. Locust's own
60 s would leave a load without a master for a minute."""

_log = logging.getLogger("loadtest")


def running() -> list[str]:
    """Return the running variants: those that answer with their own model's metrics."""
    resolve.cache_clear()  # a variant may have another one's old address
    names = list(MODELS)
    answers = gevent.pool.Group().imap(_is_there, names)
    return [name for name, there in zip(names, answers, strict=True) if there]


def _is_there(name: str) -> bool:
    try:
        with HTTPClient(address_of(url(name), HTTP_PORT), ANSWER_S) as client:
            text = client.get("/metrics", expected=None)
    except ReplyError:  # no such container, or it does not serve yet
        return False
    return name in models(text)


def url(name: str) -> str:
    """Return the URL of a variant; its echo is on port 7000."""
    return f"http://{name}:{HTTP_PORT}"


def host_for(variants: list[str]) -> str:
    """Return the URL of the only variant, or else a name that says why there is no host."""
    return url("-or-".join(variants) or "no-variant-runs")


def aim(environment: Environment) -> None:
    """Set the host to the running variant, unless the present host still runs."""
    variants = running()
    if environment.host not in [url(name) for name in variants]:
        environment.host = host_for(variants)
        _log.info("host: %s", environment.host)


def leave_cores() -> int:
    """Keep to the cores that the variants do not use, if there are others.

    Returns:
        How many cores the variants use; 0: not known.
    """
    servers = numbers_in(os.environ.get("SERVER_CPUS", ""))
    if others := os.sched_getaffinity(0) - servers:
        os.sched_setaffinity(0, others)
    return len(servers)


@events.init.add_listener  # type: ignore[untyped-decorator]  # Locust's hooks have no types
def on_init(environment: Environment, **_: object) -> None:
    """Choose the cores; aim now, or each time the page is opened."""
    options, runner, web_ui = environment.parsed_options, environment.runner, environment.web_ui
    assert options is not None
    servers_cores = leave_cores()
    locust.runners.MASTER_HEARTBEAT_TIMEOUT = MASTER_LOST_S
    if runner is None or isinstance(runner, WorkerRunner) or options.host:
        return
    options.server_cores = servers_cores
    if web_ui is None:
        give_up_s = time.monotonic() + START_S
        while not (variants := running()) and time.monotonic() < give_up_s:
            gevent.sleep(1)
        environment.host = host_for(variants)
        return
    assert web_ui.app is not None

    @web_ui.app.before_request
    def _before_request() -> None:
        if request.path == "/" and runner.state in (STATE_INIT, STATE_STOPPED):
            aim(environment)
