"""What every model counts, in memory that all its processes share.

A row per open connection, written by whoever serves it and nobody else, so no count needs a
lock; and a row of totals per protocol, into which a row is folded when its connection ends. A
child process that dies, however it dies, leaves its counts behind in its row.
"""

import mmap
import threading
from collections.abc import Sequence

from servers.connection import Tally

REQUESTS, REQUEST_ERRORS, RECEIVED_BYTES, SENT_BYTES, RESETS = range(5)
"""Columns of a connection's row: requests answered, answers of 4xx and 5xx, bytes, resets."""

_PROTOCOL = 7
"""Column of a connection's row: 1 + the index of its protocol; 0 in a row nobody uses."""

ACCEPTED, REFUSED, ACCEPT_ERRORS = range(8, 11)
"""Further columns of a row of totals, written by the accepting process only."""

OPEN = -1
"""The key under which ``Counters.read`` gives the connections that are open now."""

_ROW = 8
_TOTALS = 16
_GENERATION, _ROWS_USED, _DEAD_CONTEXT_SWITCHES = range(3)
_HEADER = 8


class Counters:
    """The shared table.

    Args:
        protocols: Names, in the order of ``open``'s argument.
        rows_max: The most connections that can be open at once.
    """

    def __init__(self, protocols: Sequence[str], rows_max: int) -> None:
        self.protocols = tuple(protocols)
        self._rows_start = _HEADER + _TOTALS * len(self.protocols)
        size = self._rows_start + _ROW * rows_max
        # Anonymous memory is shared with every child; the kernel gives pages as they are used.
        self._table = memoryview(mmap.mmap(-1, size * 8)).cast("Q")
        self.totals = [
            self._table[start : start + _TOTALS]
            for start in range(_HEADER, self._rows_start, _TOTALS)
        ]
        self._free: list[memoryview] = []
        self._rows_max = rows_max
        self._lock = threading.Lock()
        self.open_count = 0

    @property
    def full(self) -> bool:
        """Whether as many connections are open as the machine has descriptors for."""
        return self.open_count >= self._rows_max

    @property
    def dead_context_switches(self) -> int:
        """Context switches of the children that are dead: a sum only their parent can read."""
        return self._table[_DEAD_CONTEXT_SWITCHES]

    @dead_context_switches.setter
    def dead_context_switches(self, count: int) -> None:
        self._table[_DEAD_CONTEXT_SWITCHES] = count

    def open(self, protocol: int) -> Tally:
        """Count a connection as accepted and return its row of zeros."""
        with self._lock:
            self.open_count += 1
            self.totals[protocol][ACCEPTED] += 1
            if self._free:
                row = self._free.pop()
            else:
                start = self._rows_start + self._table[_ROWS_USED] * _ROW
                row = self._table[start : start + _ROW]
                self._table[_ROWS_USED] += 1
            row[_PROTOCOL] = protocol + 1
            return row

    def close(self, row: Tally) -> None:
        """Fold the row of a connection that has ended into the totals."""
        assert isinstance(row, memoryview)
        with self._lock:
            totals = self.totals[row[_PROTOCOL] - 1]
            self._table[_GENERATION] += 1  # odd: a reader in another process waits
            for column in range(5):
                totals[column] += row[column]
                row[column] = 0
            row[_PROTOCOL] = 0
            self._table[_GENERATION] += 1
            self._free.append(row)
            self.open_count -= 1

    def read(self) -> dict[str, dict[int, int]]:
        """Return each protocol's sums by column, and its open connections."""
        while True:
            before = self._table[_GENERATION]
            used = self._rows_start + self._table[_ROWS_USED] * _ROW
            table = memoryview(bytes(self._table[:used])).cast("Q")
            if before % 2 == 0 and before == self._table[_GENERATION]:
                break
        sums = {}
        markers = table[self._rows_start + _PROTOCOL :: _ROW].tolist() if used else []
        for index, name in enumerate(self.protocols):
            start = _HEADER + index * _TOTALS
            totals = dict(enumerate(table[start : start + _TOTALS]))
            sums[name] = totals | {OPEN: markers.count(index + 1)}
        for column in range(5):
            values = table[self._rows_start + column :: _ROW].tolist()
            for marker, value in zip(markers, values, strict=True):
                if marker:
                    sums[self.protocols[marker - 1]][column] += value
        return sums
