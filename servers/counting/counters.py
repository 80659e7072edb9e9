"""What every model counts.

A row per open connection, written only by the unit that serves the connection, so that counting
needs no lock; and a row of totals per protocol, into which a row is folded when its connection
ends. Where processes serve, the rows lie in shared memory: a child that dies leaves its counts.
"""

import _thread
import math
from collections.abc import Callable, Sequence

from servers import limits
from servers.counting import shared_table
from servers.counting.shared_table import (
    ACCEPT_ERRORS,
    ACCEPTED,
    CONNECTION_COLUMNS,
    GENERATION,
    PROTOCOL,
    REFUSED,
    ROW,
    ROWS_USED,
    Columns,
    CPUUsage,
    Sums,
)
from servers.protocol.connection import Tally


class Counters:
    """All the counts of one serving process.

    Args:
        protocols: Names, in the order of ``open``'s argument.
        rows_max: The most connections that can be open at once.
        table: ``shared_table.table_bytes`` zeros, where other processes write and read too; None:
            lists, which are faster to count in.
        concurrency_limit: The most connections to serve at once; None: as many as are accepted.

    Attributes:
        on_room: Called, in any thread, when a connection's end makes room for another one to be
            accepted or served.
    """

    def __init__(
        self,
        protocols: Sequence[str],
        rows_max: int,
        table: memoryview | None = None,
        concurrency_limit: int | None = None,
    ) -> None:
        self.protocols = tuple(protocols)
        self.open_count = 0
        self.on_room: Callable[[], None] = lambda: None
        self._concurrency_limit = math.inf if concurrency_limit is None else concurrency_limit
        self._rows_max = rows_max
        self._table = None if table is None else table.cast("Q")
        self._rows: list[Tally] = []
        self._header = self._new_row()
        self.totals = [self._new_row() for _ in self.protocols]
        self._free: list[Tally] = []
        self._lock = _thread.allocate_lock()

    @property
    def at_max_connections(self) -> bool:
        """Whether no further connection may be accepted: --max-connections, or all there can be."""
        return self.open_count >= self._rows_max

    @property
    def at_drain_maximum(self) -> bool:
        """Whether not even a shutdown, which empties the accept queue, can count another one."""
        return self.open_count >= self._rows_max + limits.QUEUED_MAX

    @property
    def at_concurrency_limit(self) -> bool:
        """Whether the next client is to be refused."""
        return self.open_count >= self._concurrency_limit

    @property
    def children_usage(self) -> CPUUsage:
        """The usage of all reaped children, at the last ``record_children_usage``."""
        return shared_table.children_usage(self._header)

    def record_children_usage(self) -> None:
        """Store the usage of all children that this process has reaped."""
        shared_table.record_children_usage(self._header)

    def monotonic_usage(self, usage: CPUUsage) -> CPUUsage:
        """Return a usage that is nowhere below the last one returned."""
        return shared_table.monotonic_usage(self._header, usage)

    def open(self, protocol: int) -> Tally:
        """Count a connection as accepted and return its row of zeros."""
        with self._lock:
            row = self._free.pop() if self._free else self._new_row()
            row[PROTOCOL] = protocol + 1
            self.totals[protocol][ACCEPTED] += 1
            self.open_count += 1
            return row

    def close(self, row: Tally) -> None:
        """Fold the row of a connection that has ended into the totals; only once."""
        with self._lock:
            if not row[PROTOCOL]:  # closed already: it waits for the next connection
                return
            totals = self.totals[row[PROTOCOL] - 1]
            self._header[GENERATION] += 1  # odd: a reader reads again
            for column in CONNECTION_COLUMNS:
                totals[column] += row[column]
                row[column] = 0
            row[PROTOCOL] = 0
            self._header[GENERATION] += 1
            self._free.append(row)
            had_room = not (self.at_max_connections or self.at_concurrency_limit)
            self.open_count -= 1
        if not had_room:
            self.on_room()

    def read(self) -> Sums:
        """Return each protocol's sums by column, and its open connections under ``OPEN``."""
        return shared_table.read_sums(self.protocols, self._header, self._columns)

    def absorb(self, sums: Sums, clear: Callable[[], None]) -> None:
        """Add the counts of a worker that has been reaped to the totals, and clear its table."""
        self._header[GENERATION] += 1
        for totals, name in zip(self.totals, self.protocols, strict=True):
            for column in (*CONNECTION_COLUMNS, ACCEPTED, REFUSED, ACCEPT_ERRORS):
                totals[column] += sums[name][column]
        clear()
        self.record_children_usage()
        self._header[GENERATION] += 1

    def _new_row(self) -> Tally:
        if self._table is None:
            row: Tally = [0] * ROW
        else:
            start = self._table[ROWS_USED] * ROW
            row = self._table[start : start + ROW]
            self._table[ROWS_USED] += 1
        self._rows.append(row)
        return row

    def _columns(self) -> Columns:
        if self._table is None:
            return list(zip(*list(self._rows), strict=True))
        return shared_table.columns_of(self._table)
