"""Our part of Locust's page: which classes are ticked at first, and what START refuses.

Locust ticks every class, does not check fields, and answers one that it cannot parse with a 500,
which its page calls an unknown error. A refusal of ours is a 200 whose message the page shows; the
log has it, too.
"""

import argparse
import logging
import math
import time
from collections.abc import Collection, Sequence
from dataclasses import replace
from typing import Any, cast

from flask import Flask, before_render_template, jsonify, request
from flask.wrappers import Response
from gevent.event import Event
from locust import User
from locust.env import Environment
from locust.web import WebUI
from werkzeug.datastructures import ImmutableMultiDict

from loadtest.catalogue import SCENARIOS
from loadtest.client.load_spec import LoadSpec
from loadtest.client.request import target_of
from loadtest.control.checks import mixture_problem, request_problem
from loadtest.knobs import Knob, parsed

_ORDER = [name for entry in SCENARIOS.values() for name in entry.users]

_STYLE = b"<style>thead:has(input[type=checkbox]) { display: none }</style>"
"""Hides the box that ticks all classes: all at once make no sense, and Locust shows those that are
ticked at first as if they were all."""

LOGS_EVERY_S = 5.0
"""How often an open page reads the log while a test runs; it never does afterwards."""

_log = logging.getLogger("loadtest")


class LogReader:
    """An open page, which reads the log."""

    def __init__(self) -> None:
        self._read, self._read_s = Event(), -math.inf

    def on_read(self) -> None:
        """Note that the page has read the log."""
        self._read_s = time.monotonic()
        self._read.set()

    def wait(self) -> None:
        """Let a test with a verdict go on until an open page has read the log once more.

        A page reads it while a test runs, and never again after: the verdict would be missing.
        """
        if time.monotonic() - self._read_s < 2 * LOGS_EVERY_S:
            self._read.clear()
            self._read.wait(2 * LOGS_EVERY_S)


def watch(environment: Environment, web_ui: WebUI, knobs: Sequence[Knob]) -> LogReader:
    """Tick the classes that are about to run; refuse a test that makes no sense before it starts.

    Returns:
        What the page does with the log.
    """
    assert web_ui.app is not None

    web_ui.app.jinja_env.policies["json.dumps_kwargs"] = {"sort_keys": False}  # in our order

    @before_render_template.connect_via(web_ui.app)
    def _tick(_: Flask, context: dict[str, Any], **__: Any) -> None:
        arguments = context.get("template_args", {})
        if users := arguments.get("users"):  # the login page has none
            ticked = _names(environment)
            arguments["available_user_classes"] = ticked  # these are ticked at first
            order = [*ticked, *(name for name in _ORDER if name in users), *users]
            shown = {"users": {name: users[name] for name in dict.fromkeys(order)}}
            context["template_args"] = dict(sorted((arguments | shown).items()))

    @web_ui.app.after_request
    def _hide(response: Response) -> Response:
        if request.endpoint == "locust.index" and response.mimetype == "text/html":
            response.set_data(response.get_data().replace(b"</head>", _STYLE + b"</head>", 1))
        return response

    reader = LogReader()

    @web_ui.app.before_request
    def _read() -> Response | None:
        if request.endpoint == "locust.logs":
            reader.on_read()
        if request.endpoint != "locust.swarm":
            return None
        if web_ui.userclass_picker_is_active and "user_classes" not in request.form:
            # Locust would run all classes.
            ticked = [("user_classes", name) for name in _names(environment)]
            request.form = ImmutableMultiDict([*request.form.items(multi=True), *ticked])
        classes = _chosen(environment, picked=web_ui.userclass_picker_is_active)
        why = (
            _wrong_flag(knobs)
            or _wrong_host(environment, classes)
            or mixture_problem(classes, _users(environment))
        )
        if not why:
            return None
        _log.error(why)
        return jsonify({"success": False, "message": why, "host": environment.host})

    return reader


def _names(environment: Environment) -> list[str]:
    return sorted(c.__name__ for c in environment.user_classes)


def _wrong_flag(knobs: Sequence[Knob]) -> str:
    """Return what is wrong with the first wrong field of ours; "" if all are right."""
    for each in knobs:
        text = request.form.get(each.dest)
        try:
            if text is not None:
                each.read(text)
        except argparse.ArgumentTypeError as error:  # its text says what was expected
            return f"{each.flag}: {error}"
    return ""


def _wrong_host(environment: Environment, classes: Collection[type[User]]) -> str:
    """Return why users of ours could not make their requests of the host; "" if they can."""
    given = environment.parsed_options
    assert given is not None
    path = request.form.get("path", given.path)
    spec = replace(parsed(LoadSpec, given), path=path and target_of(path))
    return request_problem(classes, request.form.get("host") or environment.host or "", spec)


def _chosen(environment: Environment, picked: bool) -> list[type[User]]:
    """Return the classes of the test that the form describes."""
    if not picked:
        return environment.user_classes
    names = request.form.getlist("user_classes")
    available = cast("dict[str, type[User]]", environment.available_user_classes or {})
    return [available[name] for name in names if name in available]


def _users(environment: Environment) -> int | None:
    """Return the number of users in the form; None: a shape decides, or Locust refuses it."""
    text = request.form.get("user_count", "")
    shaped = environment.shape_class or request.form.get("shape_class", "Default") != "Default"
    return int(text) if text.isascii() and text.isdigit() and not shaped else None
