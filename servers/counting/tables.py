"""The tables of several serving processes, one each, and their sums.

All tables lie in one memory file. The last one is the supervisor's: it absorbs the counts of each
worker that has ended, so that no sum falls when a worker ends, however it ends.
"""

import mmap
import os
from typing import NamedTuple

from servers.counting import shared_table
from servers.counting.counters import Counters
from servers.counting.shared_table import CPUUsage, Sums, sums_of, table_bytes

PROTOCOLS = ("http", "echo")
"""All protocols, in the order of the tables' rows of totals."""


class Place(NamedTuple):
    """Where a process counts.

    Attributes:
        fd: The memory file, the same for all processes.
        rows_max: The most connections that one process can have open at once.
        table_count: The number of tables, the supervisor's included.
        table: The index of the process's own table.
    """

    fd: int
    rows_max: int
    table_count: int
    table: int


def new_place(rows_max: int, table_count: int) -> Place:
    """Return a supervisor's place, in new memory, which the kernel allocates page by page."""
    fd = _new_file()
    os.ftruncate(fd, table_count * table_bytes(PROTOCOLS, rows_max))
    return Place(fd, rows_max, table_count, table_count - 1)


def _new_file() -> int:
    """Return a file in memory; or a nameless one on a disk, where the kernel has none in memory."""
    try:
        return os.memfd_create("counts")
    except (OSError, AttributeError):  # before Linux 3.17 or glibc 2.27, or a sandbox forbids it
        import tempfile  # here, since it is rarely needed

        with tempfile.TemporaryFile() as file:
            return os.dup(file.fileno())


class Tables:
    """The counts of all processes, read as ``Counters`` reads those of one."""

    def __init__(self, place: Place) -> None:
        size = table_bytes(PROTOCOLS, place.rows_max)
        memory = memoryview(mmap.mmap(place.fd, place.table_count * size))
        self._tables = [memory[start : start + size] for start in range(0, len(memory), size)]
        self._supervisors = self._tables[-1].cast("Q")
        self._own = self._tables[place.table]

    def counters(self, rows_max: int, concurrency_limit: int | None = None) -> Counters:
        """Return the process's own counters, which only this process writes."""
        return Counters(PROTOCOLS, rows_max, self._own, concurrency_limit)

    def absorb(self, index: int, counters: Counters) -> None:
        """Move the counts of a worker that has been reaped to the supervisor's counters."""
        table = self._tables[index]
        counters.absorb(sums_of(table, PROTOCOLS), lambda: shared_table.clear(table))

    @property
    def children_usage(self) -> CPUUsage:
        """The usage of all processes that the supervisor or a worker has reaped."""
        usages = [shared_table.children_usage(table.cast("Q")) for table in self._tables]
        user_s, system_s, switches = zip(*usages, strict=True)
        return CPUUsage(sum(user_s), sum(system_s), sum(switches))

    def read(self) -> Sums:
        """Return each protocol's sums by column, and its open connections."""
        return shared_table.read_consistent(self._supervisors, self._read)

    def monotonic_usage(self, usage: CPUUsage) -> CPUUsage:
        """Return a usage that is nowhere below the last one that any process returned."""
        return shared_table.monotonic_usage(self._supervisors, usage)

    def _read(self) -> Sums:
        sums_by_table = [sums_of(table, PROTOCOLS) for table in self._tables]
        return {
            name: {column: sum(sums[name][column] for sums in sums_by_table) for column in first}
            for name, first in sums_by_table[0].items()
        }
