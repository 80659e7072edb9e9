"""Loaded by a command under test: it gives constants of some modules another value.

``CONSTANTS`` holds JSON, such as ``{"loadtest.running.calibration": {"WINDOW_S": 0.2}}``. A module
gets its values right after it has been imported.
"""

import importlib.util
import json
import os
import sys
from collections.abc import Sequence
from importlib.machinery import ModuleSpec
from types import ModuleType

_CONSTANTS: dict[str, dict[str, float]] = json.loads(os.environ.get("CONSTANTS", "{}"))


class _Changer:
    """Finds each module of ``CONSTANTS`` once, as Python would, and changes it."""

    def find_spec(
        self, name: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        values = _CONSTANTS.pop(name, None)
        if values is None:
            return None
        spec = importlib.util.find_spec(name)
        assert spec is not None and spec.loader is not None
        execute = spec.loader.exec_module

        def execute_and_change(module: ModuleType) -> None:
            execute(module)
            for constant, value in values.items():
                assert hasattr(module, constant), f"{name} has no {constant}"
                setattr(module, constant, value)

        spec.loader.exec_module = execute_and_change  # type: ignore[method-assign]
        return spec


sys.meta_path.insert(0, _Changer())
