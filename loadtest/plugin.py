"""Locust's hooks: a locustfile that imports this module measures with care; scenarios need it.

A worker, or the only process, drives connections (``load_process``); the master, or the only
process, leads the test and collects (``phase_controller``). ``messages`` lists what they exchange.
"""

import logging
import signal
import sys
from typing import Any

import gevent
import locust.stats
from locust import events
from locust.argument_parser import LocustArgumentParser
from locust.env import Environment
from locust.runners import WorkerRunner

from loadtest.client.load_spec import LoadSpec
from loadtest.control.cell_spec import CellSpec
from loadtest.control.checks import mixture_problem, request_problem, select_default_scenario
from loadtest.control.locust_page import LogReader, watch
from loadtest.control.locust_process import LocustProcess
from loadtest.host.descriptors import raise_descriptor_limit
from loadtest.host.safe_output import install
from loadtest.knobs import knobs_of, parsed
from loadtest.measure.locust_stats import rounded_ms
from loadtest.running.target import process_is_there

_log = logging.getLogger("loadtest")

# For users that are not ours, too: Locust itself rounds to whole milliseconds.
locust.stats.bucket_response_time = rounded_ms  # type: ignore[assignment]  # whole by annotation


@events.init_command_line_parser.add_listener  # type: ignore[untyped-decorator]  # Locust's hooks have no types
def add_arguments(parser: LocustArgumentParser) -> None:
    """Add our flags to the command line, and those of the load to Locust's page."""
    for spec in (LoadSpec, CellSpec):
        for knob in knobs_of(spec):
            parser.add_argument(
                f"--{knob.flag}",
                dest=knob.dest,
                metavar=knob.metavar,
                type=knob.read,
                default=list(knob.default) if knob.repeats else knob.default,
                action="append" if knob.repeats else "store",
                help=knob.help,
                include_in_web_ui=spec is LoadSpec and not knob.repeats,
            )


@events.init.add_listener  # type: ignore[untyped-decorator]
def on_init(environment: Environment, **_: Any) -> None:
    """Refuse a test that makes no sense, then listen to Locust and to the other processes."""
    runner, page = environment.runner, None
    if runner is None:  # Locust only prints something, such as --list
        return
    install()
    raise_descriptor_limit()  # Locust has raised it, but to 10,000 at most
    # Python raises KeyboardInterrupt wherever the code is just then, and swallows it in a finalizer
    # or in compiled code: one Ctrl-C in 100 was lost while a test ended.
    gevent.signal_handler(signal.SIGINT, _interrupt)
    # Imports take seconds on a busy machine: --run-time would count from before them.
    gevent.get_hub().loop.update_now()
    if not isinstance(runner, WorkerRunner):
        select_default_scenario(environment)
        page = _check(environment)
    LocustProcess(environment, runner, page)


def _check(environment: Environment) -> LogReader | None:
    """Refuse a test that makes no sense: here if it starts by itself, else on Locust's page.

    Returns:
        The page's reader of the log; None without a page.
    """
    given, web_ui = environment.parsed_options, environment.web_ui
    assert given is not None
    page = None
    if web_ui is not None:
        page = watch(environment, web_ui, [*knobs_of(LoadSpec), *knobs_of(CellSpec)])
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
    return page


def _interrupt() -> None:
    gevent.get_hub().handle_system_error(KeyboardInterrupt, KeyboardInterrupt())
