"""Loaded by a command under test: it calibrates the generator in a fraction of its 6 s.

A calibration runs the generator flat out on all cores. A test of something else needs the two
figures to be there, not to be exact.
"""

import importlib.util
import sys
from collections.abc import Sequence
from importlib.machinery import ModuleSpec
from types import ModuleType

_NAME = "loadtest.running.calibration"


class _Brief:
    """Shortens the calibration once its module is imported."""

    def find_spec(
        self, name: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        if name != _NAME:
            return None
        sys.meta_path.remove(self)
        spec = importlib.util.find_spec(name)
        assert spec is not None and spec.loader is not None
        execute = spec.loader.exec_module

        def execute_and_shorten(module: ModuleType) -> None:
            execute(module)
            module.WARMUP_S, module.WINDOW_S = 0.1, 0.2  # type: ignore[attr-defined]

        spec.loader.exec_module = execute_and_shorten  # type: ignore[method-assign]
        return spec


sys.meta_path.insert(0, _Brief())
