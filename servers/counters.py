"""What every model counts.

A row per open connection, written by whoever serves it and nobody else, so that no count needs a
lock; and a row of totals per protocol, into which a row is folded when its connection ends. Where
processes serve, the rows lie in memory they share: a child that dies, however it dies, leaves its
counts behind.
"""

import _thread
import mmap
import resource
from collections.abc import Callable, Sequence
from itertools import compress
from typing import NamedTuple

from servers.connection import Tally

REQUESTS, REQUEST_ERRORS, RECEIVED_BYTES, SENT_BYTES, RESETS = range(5)
"""Columns of a connection's row: requests answered, answers of 4xx and 5xx, bytes, resets."""

ACCEPTED, REFUSED, ACCEPT_ERRORS = range(5, 8)
"""Further columns of a row of totals, written by the accepting process only."""

OPEN = -1
"""The key under which ``Counters.read`` gives the open connections."""

_PROTOCOL = 7
"""Column of a connection's row: 1 + the index of its protocol; 0 in a row nobody uses."""

_FOLDED = range(5)
_ROW = 8  # columns; 64 bytes are a cache line, so that two processes never write to the same one

# Columns of the very first row.
_GENERATION, _ROWS_USED, _DEAD_USER_US, _DEAD_SYSTEM_US, _DEAD_SWITCHES = range(5)
_SHOWN_USER_US, _SHOWN_SYSTEM_US = range(5, 7)


class Dead(NamedTuple):
    """What the children have used that are dead: sums that only their parent can read."""

    user_s: float
    system_s: float
    context_switches: int


class Counters:
    """All the counts of a server.

    Args:
        protocols: Names, in the order of ``open``'s argument.
        rows_max: The most connections that can be open at once.
        shared: Whether other processes write and read here too. Lists are faster to count in.
        crowd: As many connections at once are served; who comes then is sent away. None: all are.

    Attributes:
        on_room: Called when there is room again for a connection, in whichever thread.
    """

    def __init__(
        self, protocols: Sequence[str], rows_max: int, shared: bool, crowd: int | None = None
    ) -> None:
        self.protocols = tuple(protocols)
        self.open_count = 0
        self.on_room: Callable[[], None] = lambda: None
        self._crowd = rows_max + 1 if crowd is None else crowd
        self._rows_max = rows_max
        self._table: memoryview | None = None
        if shared:
            # Anonymous memory is shared with every child; the kernel gives pages as they are used.
            size = _ROW * (1 + len(self.protocols) + rows_max)
            self._table = memoryview(mmap.mmap(-1, size * 8)).cast("Q")
        self._rows: list[Tally] = []
        self._header = self._new_row()
        self.totals = [self._new_row() for _ in self.protocols]
        self._free: list[Tally] = []
        self._lock = _thread.allocate_lock()

    @property
    def full(self) -> bool:
        """Whether as many connections are open as can be, or as were asked for at most."""
        return self.open_count >= self._rows_max

    @property
    def crowded(self) -> bool:
        """Whether whoever comes now is to be sent away."""
        return self.open_count >= self._crowd

    @property
    def dead(self) -> Dead:
        """What the children have used that have been waited for."""
        user_us, system_us = self._header[_DEAD_USER_US], self._header[_DEAD_SYSTEM_US]
        return Dead(user_us / 1e6, system_us / 1e6, self._header[_DEAD_SWITCHES])

    def bury(self) -> None:
        """Take down what the children have used that have been waited for; for their parent."""
        used = resource.getrusage(resource.RUSAGE_CHILDREN)
        self._header[_DEAD_USER_US] = round(used.ru_utime * 1e6)
        self._header[_DEAD_SYSTEM_US] = round(used.ru_stime * 1e6)
        self._header[_DEAD_SWITCHES] = used.ru_nvcsw + used.ru_nivcsw

    def never_less(self, user_s: float, system_s: float) -> tuple[float, float]:
        """Return CPU times with the same sum, neither of them less than at the last call.

        Of other processes the sum is exact and its parts are estimates, which may fall; what a
        counter shows must not.
        """
        header = self._header
        user_us, total_us = round(user_s * 1e6), round((user_s + system_s) * 1e6)
        user_us = max(min(user_us, total_us - header[_SHOWN_SYSTEM_US]), header[_SHOWN_USER_US])
        system_us = max(total_us - user_us, header[_SHOWN_SYSTEM_US])
        header[_SHOWN_USER_US], header[_SHOWN_SYSTEM_US] = user_us, system_us
        return user_us / 1e6, system_us / 1e6

    def open(self, protocol: int) -> Tally:
        """Count a connection as accepted and return its row of zeros."""
        with self._lock:
            row = self._free.pop() if self._free else self._new_row()
            row[_PROTOCOL] = protocol + 1
            self.totals[protocol][ACCEPTED] += 1
            self.open_count += 1
            return row

    def close(self, row: Tally) -> None:
        """Fold the row of a connection that has ended into the totals."""
        with self._lock:
            totals = self.totals[row[_PROTOCOL] - 1]
            self._header[_GENERATION] += 1  # odd: whoever reads meanwhile reads again
            for column in _FOLDED:
                totals[column] += row[column]
                row[column] = 0
            row[_PROTOCOL] = 0
            self._header[_GENERATION] += 1
            self._free.append(row)
            was_full = self.full
            self.open_count -= 1
        if was_full:
            self.on_room()

    def read(self) -> dict[str, dict[int, int]]:
        """Return each protocol's sums by column, and its open connections under ``OPEN``."""
        while True:
            before = self._header[_GENERATION]
            columns = self._snapshot()
            if before % 2 == 0 and before == self._header[_GENERATION]:
                break
        first = 1 + len(self.protocols)
        in_use = columns[_PROTOCOL][first:]
        sums = {}
        for index, name in enumerate(self.protocols):
            sums[name] = {column: values[1 + index] for column, values in enumerate(columns)}
            sums[name][OPEN] = in_use.count(index + 1)
            mine = [number == index + 1 for number in in_use]
            for column in _FOLDED:
                sums[name][column] += sum(compress(columns[column][first:], mine))
        return sums

    def _new_row(self) -> Tally:
        if self._table is None:
            row: Tally = [0] * _ROW
        else:
            start = self._table[_ROWS_USED] * _ROW
            row = self._table[start : start + _ROW]
            self._table[_ROWS_USED] += 1
        self._rows.append(row)
        return row

    def _snapshot(self) -> Sequence[Sequence[int]]:
        if self._table is None:
            return list(zip(*list(self._rows), strict=True))
        used = memoryview(bytes(self._table[: self._table[_ROWS_USED] * _ROW])).cast("Q")
        return [used[column::_ROW].tolist() for column in range(_ROW)]
