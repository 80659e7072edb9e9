"""What a process that makes load tells the one that leads before the load begins."""

from typing import Any

import gevent
from locust.env import Environment

from loadtest.client.failing import guarded
from loadtest.client.load_process import LoadProcess
from loadtest.control.phase_controller import ESTABLISHED

TICK_S = 0.1
"""How often a process looks how many connections it has."""


class ReadinessReporter:
    """Tells how many connections a process has, whenever that changes, until it is stopped.

    Args:
        environment: Of that process.
    """

    def __init__(self, environment: Environment) -> None:
        self._environment = environment
        self._greenlet: gevent.Greenlet | None = None

    def start(self) -> None:
        """Begin to tell, from the start."""
        self.stop()
        self._greenlet = gevent.spawn(guarded(self._tell), environment=self._environment)

    def stop(self) -> None:
        """Tell no more."""
        if self._greenlet is not None:
            self._greenlet.kill(block=False)

    def _tell(self, environment: Environment) -> None:
        runner, crew = environment.runner, LoadProcess.of(environment)
        assert runner is not None
        told: dict[str, Any] | None = None
        while True:
            if (now := {"established": crew.established, "instead": crew.instead}) != told:
                told = now
                runner.send_message(ESTABLISHED, told)
            gevent.sleep(TICK_S)
