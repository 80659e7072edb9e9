"""An exception in one of our hooks or greenlets ends the test, with its reason in one line.

Locust logs the exception of a listener, gevent that of a greenlet, and both go on: the test would
never end, and its parent would wait. Every hook and greenlet of ours is guarded by this module.
"""

import functools
import logging
import time
from collections.abc import Callable
from typing import Any, ParamSpec

import gevent
import locust.log
from locust.env import Environment

from loadtest.host.files import os_error_text
from loadtest.host.safe_output import one_line

REASON_CHARACTERS_MAX = 300

WATCH_INTERVAL_S = 0.5

LOG_INTERVAL_S = 1.0
"""Between two log lines with the same reason, which may come a thousand times a second."""

_P = ParamSpec("_P")
_log = logging.getLogger("loadtest")
_last_logged_s: dict[str, float] = {}
_ends: dict[Environment, Callable[[str], None]] = {}


def register(environment: Environment, end: Callable[[str], None]) -> None:
    """Register what ends the test of an environment: it takes the reason, and does not wait."""
    _ends[environment] = end


def fail(error: BaseException, environment: Environment | None = None) -> None:
    """End the test because of an exception.

    Args:
        error: The exception.
        environment: Whose test; None: every test of this process (some hooks get no environment).
    """
    why = reason(error)
    if _last_logged_s.get(why, 0.0) + LOG_INTERVAL_S < time.monotonic():
        _last_logged_s[why] = time.monotonic()
        # An error of the disk or network is no bug: a traceback would add nothing.
        traced = None if isinstance(error, OSError) else error
        _log.error("failed: %s", why, exc_info=traced)
    for whose, end in list(_ends.items()):
        if environment in (None, whose):
            end(why)


def reason(error: BaseException) -> str:
    """Return an exception as one line of bounded length."""
    text = (
        os_error_text(error) if isinstance(error, OSError) else f"{type(error).__name__}: {error}"
    )
    return one_line(text)[:REASON_CHARACTERS_MAX]


def guarded(function: Callable[_P, None]) -> Callable[_P, None]:
    """Return the same function, whose exceptions end the test.

    The test is that of the keyword argument ``environment``; without one, every test ends.
    """

    @functools.wraps(function)
    def run(*args: _P.args, **kwargs: _P.kwargs) -> None:
        try:
            function(*args, **kwargs)
        except Exception as error:  # of any kind: gevent or Locust would log it and go on
            whose: Any = kwargs.get("environment")
            fail(error, whose)

    return run


def watch_start(started: Callable[[], bool], environment: Environment) -> gevent.Greenlet:
    """End a test whose users Locust cannot start: Locust logs why, and then waits for ever."""
    before = locust.log.unhandled_greenlet_exception

    def watch() -> None:
        while not started():
            gevent.sleep(WATCH_INTERVAL_S)
            if locust.log.unhandled_greenlet_exception and not before:
                why = "Locust could not start the users; its log says why"
                fail(RuntimeError(why), environment)
                return

    return gevent.spawn(watch)
