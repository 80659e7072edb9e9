"""The one time axis of a process: the time of day when it began, and monotonic from there."""

import time

_OFFSET_S = time.time() - time.perf_counter()


def now_s() -> float:
    """Return seconds since the epoch; unlike ``time.time``, it never goes back."""
    return _OFFSET_S + time.perf_counter()
