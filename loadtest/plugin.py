"""Locust's hooks: what makes ``locust -f`` measure with care. Scenarios are of no use without it.

A worker, or the only process there is, drives connections (``crew``); the master, or the only
process, leads and collects (``conductor``). They talk by Locust's own messages and reports.
"""

import functools
import logging
import signal
import sys
import time
from typing import Any

import gevent
import locust.stats
from locust import events
from locust.argument_parser import LocustArgumentParser
from locust.env import Environment
from locust.rpc import Message
from locust.runners import MasterRunner, WorkerRunner

from loadtest.client.address import resolve
from loadtest.client.failing import FAILED, guarded, register
from loadtest.client.load_process import LoadProcess
from loadtest.client.load_spec import LoadSpec
from loadtest.control.asked import request_problem
from loadtest.control.cell_spec import CellSpec
from loadtest.control.checks import mixture_problem, select_default_scenario
from loadtest.control.locust_page import be_read, watch
from loadtest.control.phase_controller import BEGIN, CLOSE, ESTABLISHED, FINISHED, OPEN
from loadtest.control.readiness import TICK_S, ReadinessReporter
from loadtest.control.test_run import TestRun
from loadtest.host.descriptors import raise_descriptor_limit
from loadtest.host.safe_output import install
from loadtest.knobs import knobs_of, parsed
from loadtest.measure.clock import now_s
from loadtest.measure.locust_stats import rounded_ms
from loadtest.running.target import process_is_there

_REPORT = "loadtest"  # our part of a worker's report
_leads: dict[int, TestRun] = {}
_tellers: dict[int, "ReadinessReporter"] = {}
_log = logging.getLogger("loadtest")

# Of users that are not ours.
locust.stats.bucket_response_time = rounded_ms  # type: ignore[assignment]  # whole by annotation


@events.init_command_line_parser.add_listener  # type: ignore[untyped-decorator]  # Locust's hooks have no types
def add_arguments(parser: LocustArgumentParser) -> None:
    """Add what Locust has no flags for: on the command line, and as fields on its page."""
    for spec in (LoadSpec, CellSpec):
        for each in knobs_of(spec):
            parser.add_argument(
                f"--{each.flag}",
                dest=each.dest,
                metavar=each.metavar,
                type=each.read,
                default=list(each.default) if each.repeats else each.default,
                action="append" if each.repeats else "store",
                help=each.help,
                include_in_web_ui=spec is LoadSpec and not each.repeats,
            )


@events.init.add_listener  # type: ignore[untyped-decorator]
def on_init(environment: Environment, **_: Any) -> None:
    """Listen to the other processes."""
    runner = environment.runner
    if runner is None:  # asked for nothing but help
        return
    install()
    raise_descriptor_limit()  # Locust has done so, but to 10,000 at the most
    # Python would raise it wherever the code is just then, and in a finalizer or in compiled code
    # it is swallowed: one Ctrl-C of 100 was, in the moment in which a test ends.
    gevent.signal_handler(signal.SIGINT, _interrupt)
    # Imports take seconds on a busy machine: --run-time would count from before them.
    gevent.get_hub().loop.update_now()
    crew = LoadProcess.of(environment)
    if not isinstance(runner, WorkerRunner):
        select_default_scenario(environment)
        _refuse_or_watch(environment)
        lead = _leads[id(environment)] = TestRun(environment)
        register(environment, lead.fail)
        runner.register_message(FAILED, lambda msg, **_: lead.fail(msg.data))
        runner.register_message(ESTABLISHED, _on_established)
        runner.register_message(FINISHED, _on_finished)
    else:
        register(environment, functools.partial(runner.send_message, FAILED))
    if not isinstance(runner, MasterRunner):
        runner.register_message(BEGIN, _on_begin)
        runner.register_message(OPEN, _on_open)
        runner.register_message(CLOSE, _on_close)
        _tellers[id(environment)] = ReadinessReporter(environment)
        gevent.spawn(_every_second, environment, crew)


def _refuse_or_watch(environment: Environment) -> None:
    """Refuse a test that makes no sense: now if it starts by itself, else when it is asked for."""
    given, web_ui = environment.parsed_options, environment.web_ui
    assert given is not None
    if web_ui is not None:
        watch(environment, web_ui, [*knobs_of(LoadSpec), *knobs_of(CellSpec)])
    if web_ui is None or given.autostart:
        users = None if environment.shape_class else given.num_users or 1
        why = mixture_problem(environment.user_classes, users) or request_problem(
            environment.user_classes, environment.host or "", parsed(LoadSpec, given)
        )
        if why:
            _log.error(why)
            sys.exit(2)
    if given.server_pid and not process_is_there(given.server_pid):
        _log.error(
            "expected the --server-pid of a process that runs here, got %d", given.server_pid
        )
        sys.exit(2)


def _interrupt() -> None:
    gevent.get_hub().handle_system_error(KeyboardInterrupt, KeyboardInterrupt())


@events.test_start.add_listener  # type: ignore[untyped-decorator]
@guarded
def on_test_start(environment: Environment, **_: Any) -> None:
    """Forget the last test; each may have other arguments, from Locust's page."""
    given = environment.parsed_options
    assert given is not None
    resolve.cache_clear()  # another server may have the address by now
    if not isinstance(environment.runner, WorkerRunner):
        _leads[id(environment)].start()
    if not isinstance(environment.runner, MasterRunner):
        crew = LoadProcess.of(environment)
        crew.reset(parsed(LoadSpec, given))
        _tellers[id(environment)].start()
        if not given.rate and not given.window:
            crew.begin({})  # flat out, and nobody waits for a window: each from when it is there


@events.spawning_complete.add_listener  # type: ignore[untyped-decorator]
@guarded
def on_spawning_complete(**_: Any) -> None:
    """TestRun the test: all users are there."""
    for lead in _leads.values():
        lead.lead()  # it forgets what it was told before
    for teller in _tellers.values():
        teller.start()


@events.test_stopping.add_listener  # type: ignore[untyped-decorator]
@guarded
def on_test_stopping(environment: Environment, **_: Any) -> None:
    """Keep what was measured, while the users are still there."""
    if (lead := _leads.get(id(environment))) is not None:
        lead.stop()
        be_read(environment)
    if not isinstance(environment.runner, MasterRunner):
        LoadProcess.of(environment).take()  # Locust's exit status tells of the last second, too


@events.report_to_master.add_listener  # type: ignore[untyped-decorator]
@guarded
def on_report_to_master(client_id: str, data: dict[str, Any]) -> None:
    """Add what was measured to a worker's report."""
    for crew in LoadProcess.all():
        records, crew.records = crew.records, []
        data[_REPORT] = records


@events.worker_report.add_listener  # type: ignore[untyped-decorator]
@guarded
def on_worker_report(client_id: str, data: dict[str, Any]) -> None:
    """Take in what a worker has measured."""
    for lead in _leads.values():
        if lead.conductor is not None:
            lead.conductor.take(client_id, data.get(_REPORT, []))


# -- in a process that makes load --------------------------------------------------------------


def _every_second(environment: Environment, crew: LoadProcess) -> None:
    while True:
        gevent.sleep(1 - now_s() % 1)  # on the full second, as in every other process
        _take(environment=environment, crew=crew)


@guarded
def _take(environment: Environment, crew: LoadProcess) -> None:
    """Take what was measured; in a greenlet that lives on, for the next test of Locust's page."""
    crew.every_second()
    _hand_over(environment, crew)


def _hand_over(environment: Environment, crew: LoadProcess) -> None:
    """Give what was measured to the conductor, if that is in this process."""
    lead = _leads.get(id(environment))
    if lead is not None:
        records, crew.records = crew.records, []
        if lead.conductor is not None:
            lead.conductor.take("local", records)


@guarded
def _on_begin(environment: Environment, msg: Message, **_: Any) -> None:
    _tellers[id(environment)].stop()
    LoadProcess.of(environment).begin(msg.data)


@guarded
def _on_open(environment: Environment, **_: Any) -> None:
    LoadProcess.of(environment).open()


@guarded
def _on_close(environment: Environment, **_: Any) -> None:
    LoadProcess.of(environment).close()
    gevent.spawn(_finish, environment=environment, crew=LoadProcess.of(environment))


@guarded
def _finish(environment: Environment, crew: LoadProcess) -> None:
    """Wait for what is still to come, but not beyond the deadline; then tell all there is."""
    give_up_s = time.monotonic() + crew.spec.deadline_s
    while crew.busy and time.monotonic() < give_up_s:
        gevent.sleep(TICK_S / 10)
    usage = crew.finish()
    records, crew.records = crew.records, []
    assert environment.runner is not None
    environment.runner.send_message(FINISHED, {"usage": usage, "records": records})


# -- where the conductor is --------------------------------------------------------------------


@guarded
def _on_established(environment: Environment, msg: Message, **_: Any) -> None:
    conductor = _leads[id(environment)].conductor
    if conductor is not None:
        conductor.on_established(msg.node_id, msg.data["established"], msg.data["instead"])


@guarded
def _on_finished(environment: Environment, msg: Message, **_: Any) -> None:
    conductor = _leads[id(environment)].conductor
    if conductor is not None:
        conductor.take(msg.node_id, msg.data["records"])
        conductor.on_finished(msg.node_id, msg.data["usage"])
