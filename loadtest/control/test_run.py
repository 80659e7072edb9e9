"""One test after the other: what a conductor needs of Locust, and what becomes of what it saw."""

import logging
from argparse import Namespace
from collections.abc import Sequence
from pathlib import Path

import gevent
from locust.env import Environment
from locust.runners import MasterRunner

from loadtest.bundle.write import summarise, write_cell
from loadtest.catalogue import SCENARIOS
from loadtest.client.address import address_of
from loadtest.client.failing import guarded, reason, watch_start
from loadtest.control.phase_controller import PhaseController
from loadtest.control.sampling import Sampler
from loadtest.control.stages import Stage, StageWriter
from loadtest.host.machine import new_folder
from loadtest.knobs import parsed
from loadtest.measure.observation import Plan
from loadtest.measure.pace import Pace
from loadtest.scenarios import Scenario

FAILED_STATUS = 1
"""What Locust exits with where an exception has ended the test."""

_log = logging.getLogger("loadtest")


class TestRun:
    """The conductor's own greenlets, one test after the other."""

    def __init__(self, environment: Environment) -> None:
        self._environment = environment
        self._conductor: PhaseController | None = None
        self._greenlet: gevent.Greenlet | None = None
        self._sampling: gevent.Greenlet | None = None
        self._failed = False
        assert environment.parsed_options is not None
        self._stages = StageWriter(environment.parsed_options.stage_fd)

    def start(self) -> None:
        """Be ready for a test that starts now."""
        environment = self._environment
        given = environment.parsed_options
        assert given is not None
        classes = [c for c in environment.user_classes if issubclass(c, Scenario)]
        self._conductor = self._greenlet = None
        self._failed = False
        if not classes:  # somebody's own users, none of ours
            return
        classes.sort(key=lambda c: c.__name__)  # Locust's own order is that of a set
        plan = _plan(environment, given, classes)
        _log.info("scenario: %s", plan.scenario)
        host = environment.host or classes[0].host
        address = None if host.startswith("tcp://") else address_of(host, 80)
        sampler = Sampler(address, given.server_pid or None)
        self._conductor = PhaseController(
            environment,
            plan,
            {c.__name__: c.share_hz for c in classes},
            frozenset(c.__name__ for c in classes if c.quiet),
            sampler,
        )
        self._stages.enter(self._conductor.stage)
        watch_start(lambda: self._greenlet is not None or self._conductor is None, environment)
        self._conductor.idle()

    def lead(self) -> None:
        """TestRun the test through its phases; all its users are there."""
        if self._conductor is not None:
            if self._greenlet is not None:
                self._conductor.change_users()
            self._end_greenlets()
            self._conductor.forget_connections()
            whose = self._environment
            self._greenlet = gevent.spawn(guarded(self._lead), self._conductor, environment=whose)
            self._sampling = gevent.spawn(guarded(self._sample), self._conductor, environment=whose)

    def _sample(self, conductor: PhaseController, environment: Environment) -> None:
        conductor.sample()

    def _lead(self, conductor: PhaseController, environment: Environment) -> None:
        given = environment.parsed_options
        assert given is not None
        if not conductor.connect():
            self._end(conductor)
        else:
            conductor.begin()
            self._stages.enter(conductor.stage)
            gevent.sleep(given.warmup)
            conductor.open()
            self._stages.enter(conductor.stage)
            if not given.window:
                return  # until it is stopped
            gevent.sleep(given.window)
            self._stages.enter(Stage.LAST_REPLIES)
            conductor.close()
            self._end(conductor)
        self._stop_locust()

    def _stop_locust(self) -> None:
        assert self._environment.runner is not None
        if self._environment.web_ui is None:
            self._environment.runner.quit()
        else:
            self._environment.runner.stop()  # the page, and the workers, stay for the next test

    def fail(self, why: str) -> None:
        """End the test for a reason, soon: whatever has failed need not be able to wait."""
        if not self._failed:
            self._failed = True
            self._environment.process_exit_code = FAILED_STATUS
            self._stages.fail(why)
            gevent.spawn(self._fail, why)

    def _fail(self, why: str) -> None:
        conductor = self._conductor
        try:
            if conductor is not None:
                conductor.trouble = conductor.trouble or why
                self._end(conductor)
        except Exception as error:  # nothing can be kept, as on a full disk; the test ends anyway
            _log.error("failed: %s", reason(error))
            self._stages.fail(reason(error))
        self._stop_locust()

    def stop(self) -> None:
        """Keep what there is: the test is being stopped, in whatever phase."""
        conductor = self._conductor
        if conductor is None:
            return
        self._end_greenlets()
        if conductor.stage is Stage.WINDOW:
            conductor.close()
        self._end(conductor)

    def _end(self, conductor: PhaseController) -> None:
        if self._conductor is None:
            return
        self._conductor = None
        self._end_greenlets()
        given = self._environment.parsed_options
        assert given is not None
        folder = Path(given.cell) if given.cell else new_folder(Path("results"), "-locust")
        folder.mkdir(parents=True, exist_ok=True)
        result = write_cell(folder, conductor.observation())
        summarise(result, folder)

    def _end_greenlets(self) -> None:
        for greenlet in (self._greenlet, self._sampling):
            if greenlet is not None and greenlet is not gevent.getcurrent():
                greenlet.kill()

    @property
    def conductor(self) -> PhaseController | None:
        """Of the present test."""
        return self._conductor


def _plan(environment: Environment, given: Namespace, classes: Sequence[type[Scenario]]) -> Plan:
    names = {c.__name__ for c in classes}
    known = (name for name, entry in SCENARIOS.items() if set(entry.users) == names)
    scenario = next(known, "+".join(sorted(names)))
    rated = [c.__name__ for c in classes if c.share_hz is None and not c.quiet]
    assert environment.runner is not None
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
