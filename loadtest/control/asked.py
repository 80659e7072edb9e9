"""Whether users can ask what Locust's flags and fields say: found out before anything starts."""

from collections.abc import Collection

from locust import User

from loadtest.client.load_spec import LoadSpec
from loadtest.measure.errors import NotConnectedError
from loadtest.scenarios import Scenario


def request_problem(classes: Collection[type[User]], host: str, spec: LoadSpec) -> str:
    """Return why users of some classes could not ask, or would ask for something else; "" if not.

    Args:
        classes: That are to run; other users than ours are none of our business.
        host: Of the test; "": each class has its own.
        spec: Of the test.
    """
    for c in classes:
        try:
            if issubclass(c, Scenario):
                c.check(host or c.host, spec)
        except NotConnectedError as error:  # it says what was expected and what was got
            return f"host: {error}"
        except ValueError as error:  # it does, too
            return f"{c.__name__}: {error}"
    return ""
