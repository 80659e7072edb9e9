"""Checks before a test starts: Locust takes any set of classes, any host, any number of users."""

import logging
from collections.abc import Collection

from locust import User
from locust.env import Environment

from loadtest.catalogue import SCENARIOS
from loadtest.client.load_spec import LoadSpec
from loadtest.measure.errors import NotConnectedError
from loadtest.scenarios import Scenario

_PAIRS = {name: entry.users for name, entry in SCENARIOS.items() if len(entry.users) > 1}
_FIRST = next(iter(SCENARIOS.values())).users
_log = logging.getLogger("loadtest")


def mixture_problem(classes: Collection[type[User]], users: int | None) -> str:
    """Return why a test of these classes would be misleading; "" if it would not.

    Two scenarios are a pair of classes: the effect of one on the other is the result. Half a pair
    has no such effect, and a third class changes it. All others go together, as long as each class
    has a connection.

    Args:
        classes: The test's user classes; those that are no ``Scenario`` are not checked.
        users: How many users there will be; None: not known yet.
    """
    if not classes:
        return f"expected a scenario, such as {_FIRST[0]}, got none"
    if not any(issubclass(c, Scenario) for c in classes):
        return ""
    names = {c.__name__ for c in classes}
    for scenario, pair in _PAIRS.items():
        if names & set(pair) and names != set(pair):
            return (
                f"{' and '.join(pair)} are one scenario, {scenario}: expected both and no other"
                f" class, or neither; got {', '.join(sorted(names))}"
            )
    least = sum(c.fixed_count or 1 for c in classes)
    if users is not None and users < least:
        return (
            f"expected {least} user{'s' * (least > 1)} or more, so that each class has a connection"
            f" ({', '.join(sorted(names))}), got {users}"
        )
    return ""


def request_problem(classes: Collection[type[User]], host: str, spec: LoadSpec) -> str:
    """Return why users could not make the requests of their classes; "" if they can.

    Args:
        classes: The test's user classes; those that are no ``Scenario`` are not checked.
        host: Of the test; "": each class has its own.
        spec: Of the test.
    """
    for c in classes:
        try:
            if issubclass(c, Scenario):
                c.check(host or c.host, spec)
        except NotConnectedError as error:  # its text says what was expected
            return f"host: {error}"
        except ValueError as error:  # so does this
            return f"{c.__name__}: {error}"
    return ""


def select_default_scenario(environment: Environment) -> None:
    """Select the first scenario if none is named and all of them make no sense together."""
    given, classes = environment.parsed_options, environment.user_classes
    assert given is not None
    first = [c for c in classes if c.__name__ in _FIRST]
    if first and not given.user_classes and mixture_problem(classes, None):
        environment.user_classes = first
        _log.info("scenario: %s, since none is named", first[0].__name__)
