"""The counts of several processes that serve, each in a table of its own, added up.

The tables lie in one file in memory. The last is the supervisor's: it inherits what those have
counted that are dead, so that nothing falls when a worker ends, however it ends.
"""

import mmap
import os
from typing import NamedTuple

from servers.counting.counters import (
    Counters,
    Sums,
    Used,
    clear,
    dead_of,
    never_less,
    sums_of,
    table_bytes,
    undisturbed,
)

PROTOCOLS = ("http", "echo")
"""All that is counted by protocol, in the order of the tables' rows."""


class Place(NamedTuple):
    """Where a process counts.

    Attributes:
        fd: A file in memory, the same for all.
        rows_max: The most connections that one of them can have open at once.
        table_count: How many tables there are, the supervisor's included.
        table: Which of them is the process's own.
    """

    fd: int
    rows_max: int
    table_count: int
    table: int


def new_place(rows_max: int, table_count: int) -> Place:
    """Return a supervisor's place, in new memory: its pages come as they are used."""
    fd = _new_file()
    os.ftruncate(fd, table_count * table_bytes(PROTOCOLS, rows_max))
    return Place(fd, rows_max, table_count, table_count - 1)


def _new_file() -> int:
    """Return a file in memory; or a nameless one on a disk, where the kernel has none in memory."""
    try:
        return os.memfd_create("counts")
    except (OSError, AttributeError):  # before Linux 3.17 or glibc 2.27, or somebody forbids it
        import tempfile  # here: hardly anybody needs it

        with tempfile.TemporaryFile() as file:
            return os.dup(file.fileno())


class Tables:
    """What ``Counters`` tells about one process, told about all of them."""

    def __init__(self, place: Place) -> None:
        size = table_bytes(PROTOCOLS, place.rows_max)
        memory = memoryview(mmap.mmap(place.fd, place.table_count * size))
        self._tables = [memory[start : start + size] for start in range(0, len(memory), size)]
        self._last = self._tables[-1].cast("Q")
        self._own = self._tables[place.table]

    def counters(self, rows_max: int, crowd: int | None = None) -> Counters:
        """Return the process's own counters, which it alone writes."""
        return Counters(PROTOCOLS, rows_max, self._own, crowd)

    def bury(self, index: int, heir: Counters) -> None:
        """Let the supervisor inherit what a worker has counted that it has waited for."""
        table = self._tables[index]
        heir.inherit(sums_of(table, PROTOCOLS), lambda: clear(table))

    @property
    def dead(self) -> Used:
        """What those have used that have been waited for, by the supervisor or by a worker."""
        user_s, system_s, switches = zip(*map(dead_of, self._tables), strict=True)
        return Used(sum(user_s), sum(system_s), sum(switches))

    def read(self) -> Sums:
        """Return each protocol's sums by column, and its open connections."""
        return undisturbed(self._last, self._read)

    def never_less(self, used: Used) -> Used:
        """Return what a counter may show that must not fall: no less than anybody has shown."""
        return never_less(self._last, used)

    def _read(self) -> Sums:
        everybody = [sums_of(table, PROTOCOLS) for table in self._tables]
        return {
            name: {column: sum(sums[name][column] for sums in everybody) for column in first}
            for name, first in everybody[0].items()
        }
