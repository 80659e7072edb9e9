"""The descriptor limit of a process that makes load: one per connection, and a few more."""

import resource
from contextlib import suppress
from pathlib import Path

RESERVED = 100
"""For everything that is not a connection of the load; the servers reserve as many."""

_KERNELS_MAX = Path("/proc/sys/fs/nr_open")
_UNLIMITED_MAX = 1 << 20  # the Linux default of nr_open


def raise_descriptor_limit() -> int:
    """Raise the soft limit to the hard one, and return the number of descriptors.

    Shells and containers start programs with a soft limit of 1,024, for select(2). Locust raises it
    to 10,000 and no further. Children inherit it.
    """
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = hard if hard != resource.RLIM_INFINITY else _kernels_max()
    if soft not in (hard, resource.RLIM_INFINITY):
        with suppress(OSError, ValueError):  # a sandbox forbids it; the soft limit stays
            resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return _kernels_max() if soft == resource.RLIM_INFINITY else soft


def connections_max(processes: int = 1) -> int:
    """Return how many connections a number of processes can hold, with raised limits."""
    return max(0, processes * (raise_descriptor_limit() - RESERVED))


def _kernels_max() -> int:
    try:
        return int(_KERNELS_MAX.read_text(encoding="ascii"))
    except OSError:  # /proc/sys is hidden
        return _UNLIMITED_MAX
