"""Reports to the leader how many connections of this process are ready."""

import gevent
from locust.env import Environment

from loadtest.client.failing import guarded
from loadtest.client.load_process import LoadProcess
from loadtest.control.messages import READINESS, Readiness

INTERVAL_S = 0.1
"""Between two looks at the connections."""


class ReadinessReporter:
    """Sends ``READINESS`` whenever it has changed, until the load begins.

    Args:
        environment: Of this process.
        load: Its connections.
    """

    def __init__(self, environment: Environment, load: LoadProcess) -> None:
        self._environment, self._load = environment, load
        self._greenlet: gevent.Greenlet | None = None

    def start(self) -> None:
        """Start again, with a report of everything."""
        self.stop()
        self._greenlet = gevent.spawn(guarded(self._report), environment=self._environment)

    def stop(self) -> None:
        """Stop reporting."""
        if self._greenlet is not None:
            self._greenlet.kill(block=False)

    def _report(self, environment: Environment) -> None:
        assert environment.runner is not None
        reported: Readiness | None = None
        while True:
            ready: Readiness = {
                "established": self._load.established,
                "failures": [[*failure] for failure in self._load.first_failures],
            }
            if ready != reported:
                environment.runner.send_message(READINESS, ready)
                reported = ready
            gevent.sleep(INTERVAL_S)
