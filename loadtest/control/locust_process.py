"""One Locust process: connects Locust's events and our messages to the test and to the load.

A worker makes load, the master leads the test, and a Locust without workers does both.
"""

import functools
import logging
import time
from typing import Any

import gevent
from locust.env import Environment
from locust.rpc import Message
from locust.runners import MasterRunner, Runner, WorkerRunner

from loadtest.client.address import resolve
from loadtest.client.failing import guarded, reason, register
from loadtest.client.load_process import LoadProcess
from loadtest.client.load_spec import LoadSpec
from loadtest.control.locust_page import LogReader
from loadtest.control.messages import (
    BEGIN,
    CLOSE,
    FAILED,
    FINISHED,
    OPEN,
    READINESS,
    REPORT_KEY,
    Finished,
)
from loadtest.control.phase_controller import PhaseController
from loadtest.control.readiness import ReadinessReporter
from loadtest.control.stages import StageWriter
from loadtest.control.test_run import TestRun
from loadtest.knobs import parsed
from loadtest.measure.clock import now_s

FAILED_STATUS = 1
"""Locust's exit status where an exception has ended the test."""

BUSY_POLL_S = 0.01
"""Between two looks whether requests are still in flight after the window."""

_log = logging.getLogger("loadtest")


class LocustProcess:
    """What this process keeps for one Locust environment, from one test to the next.

    Args:
        environment: Locust's.
        runner: Its runner.
        page: Reads the log while a page is open; None without a page.
    """

    def __init__(self, environment: Environment, runner: Runner, page: LogReader | None) -> None:
        assert environment.parsed_options is not None
        self._environment, self._runner, self._page = environment, runner, page
        self._stages = StageWriter(environment.parsed_options.stage_fd)
        self._load: LoadProcess | None = None
        self._readiness: ReadinessReporter | None = None
        self._run: TestRun | None = None
        self._failed = False
        self._leads = not isinstance(runner, WorkerRunner)
        if self._leads:
            self._listen_as_leader()
        else:
            register(environment, functools.partial(runner.send_message, FAILED))
        if not isinstance(runner, MasterRunner):
            self._load = LoadProcess.of(environment)
            self._readiness = ReadinessReporter(environment, self._load)
            self._listen_as_load_process()
            gevent.spawn(self._every_second)
        events = environment.events
        events.test_start.add_listener(self._on_test_start)  # type: ignore[no-untyped-call]
        events.spawning_complete.add_listener(self._on_spawning_complete)  # type: ignore[no-untyped-call]
        events.test_stopping.add_listener(self._on_test_stopping)  # type: ignore[no-untyped-call]

    # -- of every process --------------------------------------------------------------------

    @guarded
    def _on_test_start(self, environment: Environment, **_: Any) -> None:
        """Reset: on Locust's page each test may have other settings."""
        given = environment.parsed_options
        assert given is not None
        resolve.cache_clear()  # another server may have the address by now
        if self._leads:
            self._failed, self._run = False, None
            self._run = TestRun.of(environment, self._stages)
            if self._run is not None:
                self._run.start()
        if self._load is not None and self._readiness is not None:
            self._load.reset(parsed(LoadSpec, given))
            self._readiness.start()
            if not given.rate and not given.window:
                self._load.begin({})  # flat out, with no window to wait for: each as soon as it can

    @guarded
    def _on_spawning_complete(self, **_: Any) -> None:
        """Go through the phases: all users are there."""
        if self._run is not None:
            self._run.lead()  # it drops what load processes have reported, so they report again
        if self._readiness is not None:
            self._readiness.start()

    @guarded
    def _on_test_stopping(self, environment: Environment, **_: Any) -> None:
        """Keep what was measured, while the users are still there."""
        if self._run is not None:
            self._run.stop()
        if self._page is not None:
            self._page.wait()
        if self._load is not None:
            self._load.collect()  # Locust's exit status depends on the last second, too

    # -- of the leader -----------------------------------------------------------------------

    def _listen_as_leader(self) -> None:
        register(self._environment, self.fail)
        self._runner.register_message(FAILED, self._on_failed)
        self._runner.register_message(READINESS, self._on_readiness)
        self._runner.register_message(FINISHED, self._on_finished)
        self._environment.events.worker_report.add_listener(self._on_worker_report)  # type: ignore[no-untyped-call]

    @property
    def _controller(self) -> PhaseController | None:
        """The phases of the test that runs now; None between tests."""
        return None if self._run is None or self._run.ended else self._run.controller

    def fail(self, why: str) -> None:
        """End the test for a reason, a little later: what has failed may be unable to wait."""
        if not self._failed:
            self._failed = True
            self._environment.process_exit_code = FAILED_STATUS
            self._stages.fail(why)
            gevent.spawn(self._end_failed, why)

    def _end_failed(self, why: str) -> None:
        try:
            if self._run is not None:
                self._run.fail(why)
        except Exception as error:  # nothing can be kept, as on a full disk; the test ends anyway
            _log.error("failed: %s", reason(error))
            self._stages.fail(reason(error))
        TestRun.stop_locust(self._environment)

    def _on_failed(self, msg: Message, **_: Any) -> None:
        self.fail(msg.data)

    @guarded
    def _on_readiness(self, environment: Environment, msg: Message, **_: Any) -> None:
        if (controller := self._controller) is not None:
            controller.on_readiness(msg.node_id, msg.data)

    @guarded
    def _on_finished(self, environment: Environment, msg: Message, **_: Any) -> None:
        if (controller := self._controller) is not None:
            controller.on_finished(msg.node_id, msg.data)

    @guarded
    def _on_worker_report(self, client_id: str, data: dict[str, Any], **_: Any) -> None:
        if (controller := self._controller) is not None:
            controller.add_records(client_id, data.get(REPORT_KEY, []))

    # -- of a process that makes load --------------------------------------------------------

    def _listen_as_load_process(self) -> None:
        self._runner.register_message(BEGIN, self._on_begin)
        self._runner.register_message(OPEN, self._on_open)
        self._runner.register_message(CLOSE, self._on_close)
        self._environment.events.report_to_master.add_listener(self._on_report_to_master)  # type: ignore[no-untyped-call]

    @guarded
    def _on_begin(self, environment: Environment, msg: Message, **_: Any) -> None:
        assert self._load is not None and self._readiness is not None
        self._readiness.stop()
        self._load.begin(msg.data)

    @guarded
    def _on_open(self, environment: Environment, **_: Any) -> None:
        assert self._load is not None
        self._load.open()

    @guarded
    def _on_close(self, environment: Environment, **_: Any) -> None:
        assert self._load is not None
        self._load.close()
        gevent.spawn(guarded(self._finish), self._load, environment=environment)

    def _finish(self, load: LoadProcess, environment: Environment) -> None:
        """Wait for replies until the deadline; then report the rest of what was measured."""
        give_up_s = time.monotonic() + load.spec.deadline_s
        while load.busy and time.monotonic() < give_up_s:
            gevent.sleep(BUSY_POLL_S)
        finished: Finished = {"usage": load.finish(), "records": load.take_records()}
        self._runner.send_message(FINISHED, finished)

    @guarded
    def _on_report_to_master(self, client_id: str, data: dict[str, Any], **_: Any) -> None:
        assert self._load is not None
        data[REPORT_KEY] = self._load.take_records()

    def _every_second(self) -> None:
        while True:
            gevent.sleep(1 - now_s() % 1)  # on the full second, as in every other process
            self._collect(environment=self._environment)

    @guarded
    def _collect(self, environment: Environment) -> None:
        """Collect what was measured; this greenlet goes on for the next test of Locust's page."""
        assert self._load is not None
        self._load.every_second()
        if self._leads:  # alone: no report of Locust's takes the records to a master
            records = self._load.take_records()
            if (controller := self._controller) is not None:
                controller.add_records("local", records)
