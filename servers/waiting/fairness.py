"""Fairness among greenlets: one that never waits would never let the others run.

A greenlet gives way only inside a call that waits. recv() and send() do not wait while a client's
bytes have arrived, or its window is open: without this file one client that sends or takes without
a pause is served alone. Threads need no help: the interpreter switches between them; nor do
processes: the kernel does.
"""

import time
from types import BuiltinFunctionType

_PATCHED = not isinstance(time.sleep, BuiltinFunctionType)


def give_way() -> None:
    """Let other greenlets run, where there are any."""
    if _PATCHED:
        time.sleep(0)
