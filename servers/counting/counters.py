"""What every model counts.

A row per open connection, written by whoever serves it and nobody else, so that no count needs a
lock; and a row of totals per protocol, into which a row is folded when its connection ends. Where
processes serve, the rows lie in memory they share: a child that dies, however it dies, leaves its
counts behind.
"""

import _thread
import math
import resource
import time
from collections.abc import Callable, Sequence
from itertools import compress
from typing import NamedTuple, TypeVar

from servers import limits
from servers.protocol.connection import Tally

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
_SHOWN_USER_US, _SHOWN_SYSTEM_US, _SHOWN_SWITCHES = range(5, 8)

_READING_S_MAX = 0.1  # a writer that takes longer than this has been stopped, or killed

Sums = dict[str, dict[int, int]]
"""Protocol -> column -> the sum over all its connections, those that have ended included."""

_Columns = Sequence[Sequence[int]]
T = TypeVar("T")


class Used(NamedTuple):
    """Sums over processes."""

    user_s: float
    system_s: float
    context_switches: int


def table_bytes(protocols: Sequence[str], rows_max: int) -> int:
    """Return how much memory it takes to count so many connections for several processes.

    And those who are taken off the queue at the end, though there was no room: a queue's length.
    """
    return 8 * _ROW * (1 + len(protocols) + rows_max + limits.QUEUED_MAX)


class Counters:
    """All the counts of a server.

    Args:
        protocols: Names, in the order of ``open``'s argument.
        rows_max: The most connections that can be open at once.
        table: Zeros, ``table_bytes`` of them, where other processes write and read here too; None:
            lists, which are faster to count in.
        crowd: As many connections at once are served; who comes then is sent away. None: all are.

    Attributes:
        on_room: Called when there is room again for a connection, or for one more that is served,
            in whichever thread.
    """

    def __init__(
        self,
        protocols: Sequence[str],
        rows_max: int,
        table: memoryview | None = None,
        crowd: int | None = None,
    ) -> None:
        self.protocols = tuple(protocols)
        self.open_count = 0
        self.on_room: Callable[[], None] = lambda: None
        self._crowd = math.inf if crowd is None else crowd
        self._rows_max = rows_max
        self._table = None if table is None else table.cast("Q")
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
    def overfull(self) -> bool:
        """Whether not even one who is taken off the queue at the end can be counted."""
        return self.open_count >= self._rows_max + limits.QUEUED_MAX

    @property
    def crowded(self) -> bool:
        """Whether whoever comes now is to be sent away."""
        return self.open_count >= self._crowd

    @property
    def dead(self) -> Used:
        """What the children have used that have been waited for: only their parent can ask."""
        return _dead(self._header)

    def bury(self) -> None:
        """Take down what the children have used that have been waited for; for their parent."""
        used = resource.getrusage(resource.RUSAGE_CHILDREN)
        self._header[_DEAD_USER_US] = round(used.ru_utime * 1e6)
        self._header[_DEAD_SYSTEM_US] = round(used.ru_stime * 1e6)
        self._header[_DEAD_SWITCHES] = used.ru_nvcsw + used.ru_nivcsw

    def never_less(self, used: Used) -> Used:
        """Return what a counter may show that must not fall: no less than at the last call."""
        return never_less(self._header, used)

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
            had_room = not (self.full or self.crowded)
            self.open_count -= 1
        if not had_room:
            self.on_room()

    def read(self) -> Sums:
        """Return each protocol's sums by column, and its open connections under ``OPEN``."""
        columns = undisturbed(self._header, self._snapshot)
        return _sums(self.protocols, columns)

    def inherit(self, sums: Sums, clear: Callable[[], None]) -> None:
        """Add to the totals what a worker has counted that is dead, and clear its table."""
        self._header[_GENERATION] += 1
        for totals, name in zip(self.totals, self.protocols, strict=True):
            for column in (*_FOLDED, ACCEPTED, REFUSED, ACCEPT_ERRORS):
                totals[column] += sums[name][column]
        clear()
        self.bury()
        self._header[_GENERATION] += 1

    def _new_row(self) -> Tally:
        if self._table is None:
            row: Tally = [0] * _ROW
        else:
            start = self._table[_ROWS_USED] * _ROW
            row = self._table[start : start + _ROW]
            self._table[_ROWS_USED] += 1
        self._rows.append(row)
        return row

    def _snapshot(self) -> _Columns:
        if self._table is None:
            return list(zip(*list(self._rows), strict=True))
        return _columns_of(self._table)


def undisturbed(header: Tally, look: Callable[[], T]) -> T:
    """Return what ``look`` sees of a table while nobody folds rows in it."""
    give_up_s = time.monotonic() + _READING_S_MAX
    while True:
        before = header[_GENERATION]
        seen = look()
        if before % 2 == 0 and before == header[_GENERATION]:
            return seen
        if time.monotonic() >= give_up_s:  # off by one connection at the most
            return seen


def sums_of(table: memoryview, protocols: Sequence[str]) -> Sums:
    """Return what ``Counters.read`` does, of another process's table; zeros of one not begun."""
    words = table.cast("Q")
    if words[_ROWS_USED] <= len(protocols):
        return {name: dict.fromkeys((OPEN, *range(_ROW)), 0) for name in protocols}
    return _sums(protocols, undisturbed(words, lambda: _columns_of(words)))


def dead_of(table: memoryview) -> Used:
    """Return what ``Counters.dead`` does, of another process's table."""
    return _dead(table.cast("Q"))


def clear(table: memoryview) -> None:
    """Make zeros of all that has been written to a table."""
    used = table.cast("Q")[_ROWS_USED] * _ROW * 8
    table[:used] = bytes(used)


def never_less(header: Tally, used: Used) -> Used:
    """Return what ``Counters.never_less`` does, and take it down in a table's header.

    Of other processes the CPU time is exact and its parts are estimates; and one that ends just now
    may be seen neither among the living nor the dead.
    """
    user_us, total_us = round(used.user_s * 1e6), round((used.user_s + used.system_s) * 1e6)
    user_us = max(min(user_us, total_us - header[_SHOWN_SYSTEM_US]), header[_SHOWN_USER_US])
    system_us = max(total_us - user_us, header[_SHOWN_SYSTEM_US])
    switches = max(used.context_switches, header[_SHOWN_SWITCHES])
    header[_SHOWN_USER_US], header[_SHOWN_SYSTEM_US] = user_us, system_us
    header[_SHOWN_SWITCHES] = switches
    return Used(user_us / 1e6, system_us / 1e6, switches)


def _dead(header: Tally) -> Used:
    user_us, system_us = header[_DEAD_USER_US], header[_DEAD_SYSTEM_US]
    return Used(user_us / 1e6, system_us / 1e6, header[_DEAD_SWITCHES])


def _columns_of(words: memoryview) -> _Columns:
    used = memoryview(bytes(words[: words[_ROWS_USED] * _ROW])).cast("Q")
    return [used[column::_ROW].tolist() for column in range(_ROW)]


def _sums(protocols: Sequence[str], columns: _Columns) -> Sums:
    first = 1 + len(protocols)
    in_use = columns[_PROTOCOL][first:]
    sums = {}
    for index, name in enumerate(protocols):
        sums[name] = {column: values[1 + index] for column, values in enumerate(columns)}
        sums[name][OPEN] = in_use.count(index + 1)
        mine = [number == index + 1 for number in in_use]
        for column in _FOLDED:
            sums[name][column] += sum(compress(columns[column][first:], mine))
    return sums
