"""Locust's page, as far as it is ours: what is ticked at first, and what START refuses.

Locust ticks every class there is, takes each field as it comes, and answers what it cannot read
with a 500, which its page calls an unknown error. A refusal is a reply of 200 whose message the
page shows; the log has it, too.
"""

import argparse
import logging
from collections.abc import Callable, Collection, Mapping
from typing import Any, cast

from flask import Flask, before_render_template, jsonify, request
from flask.wrappers import Response
from locust import User
from locust.env import Environment
from locust.web import WebUI
from werkzeug.datastructures import ImmutableMultiDict

from loadtest.address import address_of
from loadtest.errors import NotConnectedError
from loadtest.mixture import objection
from loadtest.scenarios import Scenario

Reads = Mapping[str, Callable[[str], Any]]
"""Flag without its dashes -> what reads a text, and raises ``ArgumentTypeError`` with a reason."""

_log = logging.getLogger("loadtest")


def watch(environment: Environment, web_ui: WebUI, reads: Reads) -> None:
    """Tick what is about to run, and refuse what makes no sense before anything has started."""
    assert web_ui.app is not None

    @before_render_template.connect_via(web_ui.app)
    def _tick(_: Flask, context: dict[str, Any], **__: Any) -> None:
        if "users" in context.get("template_args", {}):  # not the page of the login
            context["template_args"]["available_user_classes"] = _names(environment)

    @web_ui.app.before_request
    def _read() -> Response | None:
        if request.endpoint != "locust.swarm":
            return None
        if web_ui.userclass_picker_is_active and "user_classes" not in request.form:
            # Locust would take all there are.
            ticked = [("user_classes", name) for name in _names(environment)]
            request.form = ImmutableMultiDict([*request.form.items(multi=True), *ticked])
        classes = _chosen(environment, picked=web_ui.userclass_picker_is_active)
        why = _wrong_flag(reads) or _wrong_host(classes) or objection(classes, _users(environment))
        if not why:
            return None
        _log.error(why)
        return jsonify({"success": False, "message": why, "host": environment.host})


def _names(environment: Environment) -> list[str]:
    return sorted(c.__name__ for c in environment.user_classes)


def _wrong_flag(reads: Reads) -> str:
    """Return what is wrong with the first of our fields that is; "" if none is."""
    for name, read in reads.items():
        text = request.form.get(name.replace("-", "_"))
        try:
            if text is not None:
                read(text)
        except argparse.ArgumentTypeError as error:  # it says what was expected and what was got
            return f"{name}: {error}"
    return ""


def _wrong_host(classes: Collection[type[User]]) -> str:
    """Return what is wrong with the host, which for other users than ours may be anything."""
    host = request.form.get("host")
    try:
        if host and any(issubclass(c, Scenario) for c in classes):
            address_of(host, 80)
    except NotConnectedError as error:  # it says what was expected and what was got
        return f"host: {error}"
    return ""


def _chosen(environment: Environment, picked: bool) -> list[type[User]]:
    """Return the classes that a test would run."""
    if not picked:
        return environment.user_classes
    names = request.form.getlist("user_classes")
    available = cast("dict[str, type[User]]", environment.available_user_classes or {})
    return [available[name] for name in names if name in available]


def _users(environment: Environment) -> int | None:
    """Return how many users are asked for; None: a shape decides, or Locust itself complains."""
    text = request.form.get("user_count", "")
    shaped = environment.shape_class or request.form.get("shape_class", "Default") != "Default"
    return int(text) if text.isascii() and text.isdigit() and not shaped else None
