"""One test of Locust's, from its start to the folder with its results."""

import logging
from collections.abc import Sequence
from pathlib import Path
from typing import Self

import gevent
from locust.env import Environment
from locust.runners import MasterRunner

from loadtest.bundle.write import summarise, write_cell
from loadtest.catalogue import SCENARIOS
from loadtest.client.address import address_of
from loadtest.client.failing import guarded, watch_start
from loadtest.control.phase_controller import PhaseController
from loadtest.control.sampling import Sampler
from loadtest.control.stages import Stage, StageWriter
from loadtest.host.machine import new_folder
from loadtest.knobs import parsed
from loadtest.measure.observation import Plan
from loadtest.measure.pace import Pace
from loadtest.scenarios import Scenario

_log = logging.getLogger("loadtest")


class TestRun:
    """Leads one test through its phases, in the process that leads.

    Args:
        environment: Locust's.
        controller: Of the phases.
        stages: Reports each stage.

    Attributes:
        ended: Whether its results have been written, or could not be.
    """

    def __init__(
        self, environment: Environment, controller: PhaseController, stages: StageWriter
    ) -> None:
        self._environment, self.controller, self._stages = environment, controller, stages
        self._phases: gevent.Greenlet | None = None
        self._sampling: gevent.Greenlet | None = None
        self.ended = False

    @classmethod
    def of(cls, environment: Environment, stages: StageWriter) -> Self | None:
        """Return the test that Locust starts now; None if none of its users is a ``Scenario``."""
        given = environment.parsed_options
        assert given is not None
        classes = [c for c in environment.user_classes if issubclass(c, Scenario)]
        if not classes:
            return None
        classes.sort(key=lambda c: c.__name__)  # Locust's own order is that of a set
        plan = _plan(environment, classes)
        _log.info("scenario: %s", plan.scenario)
        host = environment.host or classes[0].host
        address = None if host.startswith("tcp://") else address_of(host, 80)
        controller = PhaseController(
            environment,
            plan,
            {c.__name__: c.share_hz for c in classes},
            frozenset(c.__name__ for c in classes if c.quiet),
            Sampler(address, given.server_pid or None),
        )
        return cls(environment, controller, stages)

    def start(self) -> None:
        """Begin to connect: Locust starts the users next."""
        self._stages.enter(self.controller.stage)
        watch_start(lambda: self._phases is not None or self.ended, self._environment)
        self.controller.idle()

    def lead(self) -> None:
        """Go through the phases: all users are there. Begin again if their number has changed."""
        if self.ended:
            return
        if self._phases is not None:
            self.controller.change_users()
        self._end_greenlets()
        self.controller.forget_connections()
        whose = self._environment
        self._phases = gevent.spawn(guarded(self._go_through_phases), environment=whose)
        self._sampling = gevent.spawn(guarded(self._sample), environment=whose)

    def _sample(self, environment: Environment) -> None:
        self.controller.sample()

    def _go_through_phases(self, environment: Environment) -> None:
        controller, stages, given = self.controller, self._stages, environment.parsed_options
        assert given is not None
        if controller.connect():
            controller.begin()
            stages.enter(controller.stage)
            gevent.sleep(given.warmup)
            controller.open()
            stages.enter(controller.stage)
            if not given.window:
                return  # the window stays open until the test is stopped
            gevent.sleep(given.window)
            stages.enter(Stage.LAST_REPLIES)
            controller.close()
        self._end()
        self.stop_locust(environment)

    @staticmethod
    def stop_locust(environment: Environment) -> None:
        """Let Locust end; with a page it stays, as do its workers, for the next test."""
        assert environment.runner is not None
        if environment.web_ui is None:
            environment.runner.quit()
        else:
            environment.runner.stop()

    def stop(self) -> None:
        """Keep what was measured: Locust stops the test, in whatever phase it is."""
        if self.ended:
            return
        self._end_greenlets()
        if self.controller.stage is Stage.WINDOW:
            self.controller.close()
        self._end()

    def fail(self, why: str) -> None:
        """Keep what was measured before a failure, and the reason with it."""
        self.controller.trouble = self.controller.trouble or why
        self._end()

    def _end(self) -> None:
        if self.ended:
            return
        self.ended = True
        self._end_greenlets()
        given = self._environment.parsed_options
        assert given is not None
        folder = Path(given.cell) if given.cell else new_folder(Path("results"), "-locust")
        folder.mkdir(parents=True, exist_ok=True)
        result = write_cell(folder, self.controller.observation())
        summarise(result, folder)

    def _end_greenlets(self) -> None:
        for greenlet in (self._phases, self._sampling):
            if greenlet is not None and greenlet is not gevent.getcurrent():
                greenlet.kill()


def _plan(environment: Environment, classes: Sequence[type[Scenario]]) -> Plan:
    given = environment.parsed_options
    assert given is not None and environment.runner is not None
    names = {c.__name__ for c in classes}
    known = (name for name, entry in SCENARIOS.items() if set(entry.users) == names)
    scenario = next(known, "+".join(sorted(names)))
    rated = [c.__name__ for c in classes if c.share_hz is None and not c.quiet]
    return Plan(
        target=given.target_name or environment.host or classes[0].host,
        scenario=scenario,
        result_class=(rated or sorted(names))[0],
        connections=environment.runner.target_user_count,
        server_cores=given.server_cores,
        workers=given.expect_workers or environment.runner.worker_count
        if isinstance(environment.runner, MasterRunner)
        else 1,
        rated=rated,
        **vars(parsed(Pace, given)),
    )
