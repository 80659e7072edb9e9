"""A knob of the load is declared once: its flag, its field on the page, its check."""

import argparse
import subprocess
import sys
from dataclasses import fields, replace
from pathlib import Path

import pytest

from loadtest.client.arrivals import GAPS
from loadtest.client.load_spec import LoadSpec
from loadtest.control.cell_spec import CellSpec
from loadtest.knobs import flags_of, knobs_of, parsed
from loadtest.measure.observation import Plan
from loadtest.measure.pace import ARRIVALS, Pace
from loadtest.running.cell import Load
from loadtest.running.target import Target
from tests.support.commands import ROOT

SPEC = LoadSpec(
    rate_hz=123456.7, arrivals="poisson", deadline_s=3.0, warmup_s=0.25, window_s=7.0,
    echo_host="127.0.0.1:7001", echo_bytes=1000, path="/a?b=c", headers=("A: b", "C: d"),
)  # fmt: skip
CELL = CellSpec(server_pid=4711, server_cores=2, cell="a folder", target_name="x=y", stage_fd=9)


def test_every_knob_differs_from_its_default_here() -> None:
    for spec, default in ((SPEC, LoadSpec()), (CELL, CellSpec())):
        assert all(getattr(spec, f.name) != getattr(default, f.name) for f in fields(spec))


def test_every_field_of_a_specification_is_a_knob() -> None:
    for spec in (LoadSpec, CellSpec):
        assert [knob.field for knob in knobs_of(spec)] == [field.name for field in fields(spec)]


@pytest.mark.parametrize("spec", [SPEC, LoadSpec(), CELL, CellSpec()])
def test_flags_printed_are_flags_parsed(spec: LoadSpec | CellSpec) -> None:
    parser = argparse.ArgumentParser()
    for knob in knobs_of(type(spec)):
        action = "append" if knob.repeats else "store"
        default = list(knob.default) if knob.repeats else knob.default
        parser.add_argument(
            f"--{knob.flag}", dest=knob.dest, type=knob.read, default=default, action=action
        )
    given = [flag for flag in flags_of(spec) if not flag.startswith("--stage-fd=-")]
    assert parsed(type(spec), parser.parse_args(given)) == spec


def test_a_load_and_the_plan_of_a_cell_have_the_pace_that_is_declared_once() -> None:
    pace = {field.name for field in fields(Pace)}
    for holder in (LoadSpec, Load, Plan):
        assert issubclass(holder, Pace)
        assert not pace & vars(holder).get("__annotations__", {}).keys(), holder


def test_locust_is_started_with_the_flags_of_the_load(tmp_path: Path) -> None:
    target = Target("x", "http://127.0.0.1:8000", echo="127.0.0.1:7000", pid=1, cores=2)
    load = Load(scenario="hello", classes=("Hello",), connections=3, **vars(SPEC))
    expected = replace(SPEC, echo_host=target.echo)
    flags = load.flags(target, tmp_path, 9)
    assert set(flags_of(expected)) < set(flags)
    assert f"--cell={tmp_path}" in flags and "--users=3" in flags and "--stage-fd=9" in flags


def test_locusts_parser_has_every_knob() -> None:
    # locust --help is printed before Locust has read a locustfile, and shows none of ours.
    code = "from loadtest import plugin; from locust.argument_parser import get_parser as p"
    argv = [sys.executable, "-c", f"{code}; p().print_help()"]
    shown = subprocess.run(argv, cwd=ROOT, capture_output=True, text=True, check=True).stdout
    for knob in (*knobs_of(LoadSpec), *knobs_of(CellSpec)):
        assert f"  --{knob.flag} {knob.metavar}" in shown, knob


def test_every_kind_of_arrivals_has_a_gap() -> None:
    assert tuple(GAPS) == ARRIVALS
