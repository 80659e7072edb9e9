"""The search for the highest rate at which a promise holds, against servers that are known."""

from dataclasses import dataclass
from typing import cast

import pytest

from loadtest.capacity import PRECISION, Promise, Step, search
from loadtest.cell import Load
from loadtest.result import Result
from loadtest.run import step_name


@dataclass(frozen=True)
class UpTo(Promise):
    """A promise that holds up to a rate."""

    capacity_hz: float = 0.0

    def holds(self, result: Result) -> bool:
        return cast("float", result) <= self.capacity_hz


@pytest.mark.parametrize("capacity_hz", [1.7, 29.9, 30.2, 47.3, 100.0, 399.0, 12_345.0])
def test_a_capacity_is_found_and_each_step_has_a_folder_of_its_own(capacity_hz: float) -> None:
    steps: list[Step] = []
    promise = UpTo("p99_ms", 50.0, capacity_hz)
    search(promise, lambda hz: Step(hz, cast("Result", hz)), steps.append, ceiling_hz=50_000.0)
    found_hz = max(step.rate_hz for step in steps if promise.holds(step.result))
    assert capacity_hz * (1 - 2 * PRECISION) <= found_hz <= capacity_hz
    load = Load("wait", ("Wait",), 2, 0.0)
    names = [step_name(load, step.rate_hz) for step in steps]
    assert len(set(names)) == len(names)
