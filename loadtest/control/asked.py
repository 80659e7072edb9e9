"""Whether users can ask what Locust's flags and fields say: found out before anything starts."""

import argparse
from collections.abc import Collection
from dataclasses import fields

from locust import User

from loadtest.client.crew import Options
from loadtest.measure.errors import NotConnectedError
from loadtest.scenarios import Scenario


def options_of(given: argparse.Namespace) -> Options:
    """Return what Locust's flags say, as our users read it."""
    flags = {
        field.name: field.name.removesuffix("_hz").removesuffix("_s") for field in fields(Options)
    }
    options = {name: getattr(given, flag) for name, flag in flags.items()}
    return Options(**options | {"headers": tuple(options["headers"])})


def unaskable(classes: Collection[type[User]], host: str, options: Options) -> str:
    """Return why users of some classes could not ask, or would ask for something else; "" if not.

    Args:
        classes: That are to run; other users than ours are none of our business.
        host: Of the test; "": each class has its own.
        options: Of the test.
    """
    for c in classes:
        try:
            if issubclass(c, Scenario):
                c.check(host or c.host, options)
        except NotConnectedError as error:  # it says what was expected and what was got
            return f"host: {error}"
        except ValueError as error:  # it does, too
            return f"{c.__name__}: {error}"
    return ""
