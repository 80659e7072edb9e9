"""A table of counts: its layout, and how any process reads it.

Rows of eight words: a header, then a row of totals per protocol, then a row per connection. A table
lies in lists, or in memory that several processes share. Only the process that owns a table adds
rows and folds them; every other one may read.
"""

import resource
import time
from collections.abc import Callable, Sequence
from itertools import compress
from typing import NamedTuple, TypeVar

from servers import limits
from servers.protocol.connection import Tally

ACCEPTED, REFUSED, ACCEPT_ERRORS = range(5, 8)
"""Further columns of a row of totals; only the accepting process writes them."""

PROTOCOL = 7
"""Column of a connection's row: 1 + the index of its protocol; 0 in a free row."""

CONNECTION_COLUMNS = range(5)
"""The columns that are folded into the totals (``servers.protocol.connection`` names them)."""

OPEN = -1
"""The key of the open connections in ``Sums``."""

ROW = 8  # words; 64 bytes are a cache line, so that two processes never write to the same one

# Columns of the header.
GENERATION, ROWS_USED, _CHILDREN_USER_US, _CHILDREN_SYSTEM_US, _CHILDREN_SWITCHES = range(5)
_REPORTED_USER_US, _REPORTED_SYSTEM_US, _REPORTED_SWITCHES = range(5, 8)

_READ_S_MAX = 0.1  # a writer that takes longer has been stopped or killed

Sums = dict[str, dict[int, int]]
"""Protocol -> column -> the sum over all its connections, ended ones included."""

Columns = Sequence[Sequence[int]]
"""A table's columns, each with a value per row."""

T = TypeVar("T")


class CPUUsage(NamedTuple):
    """CPU time and context switches, summed over processes."""

    user_s: float
    system_s: float
    context_switches: int


def table_bytes(protocols: Sequence[str], rows_max: int) -> int:
    """Return the size of a table for ``rows_max`` connections, in bytes.

    Plus room for a full accept queue, which a shutdown empties even at --max-connections.
    """
    return 8 * ROW * (1 + len(protocols) + rows_max + limits.QUEUED_MAX)


def columns_of(words: memoryview) -> Columns:
    """Return the columns of a table in shared memory, copied."""
    used = memoryview(bytes(words[: words[ROWS_USED] * ROW])).cast("Q")
    return [used[column::ROW].tolist() for column in range(ROW)]


def read_sums(protocols: Sequence[str], header: Tally, columns: Callable[[], Columns]) -> Sums:
    """Return each protocol's sums by column, and its open connections under ``OPEN``.

    Args:
        protocols: Names, in the order of the rows of totals.
        header: The table's first row.
        columns: Copies the table's columns; called again if a row was folded meanwhile.
    """
    by_column = read_consistent(header, columns)
    first = 1 + len(protocols)
    in_use = by_column[PROTOCOL][first:]
    sums = {}
    for index, name in enumerate(protocols):
        sums[name] = {column: values[1 + index] for column, values in enumerate(by_column)}
        sums[name][OPEN] = in_use.count(index + 1)
        mine = [number == index + 1 for number in in_use]
        for column in CONNECTION_COLUMNS:
            sums[name][column] += sum(compress(by_column[column][first:], mine))
    return sums


def sums_of(table: memoryview, protocols: Sequence[str]) -> Sums:
    """Return the sums of another process's table; zeros if that process has not begun it."""
    words = table.cast("Q")
    if words[ROWS_USED] <= len(protocols):
        return {name: dict.fromkeys((OPEN, *range(ROW)), 0) for name in protocols}
    return read_sums(protocols, words, lambda: columns_of(words))


def read_consistent(header: Tally, read: Callable[[], T]) -> T:
    """Return what ``read`` returns when no row is folded during the call."""
    give_up_s = time.monotonic() + _READ_S_MAX
    while True:
        before = header[GENERATION]
        result = read()
        if before % 2 == 0 and before == header[GENERATION]:
            return result
        if time.monotonic() >= give_up_s:  # off by one connection at most
            return result


def clear(table: memoryview) -> None:
    """Set all used rows of a table to zeros."""
    used = table.cast("Q")[ROWS_USED] * ROW * 8
    table[:used] = bytes(used)


def record_children_usage(header: Tally) -> None:
    """Store the usage of all children that this process has reaped, for other processes to read."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    header[_CHILDREN_USER_US] = round(used.ru_utime * 1e6)
    header[_CHILDREN_SYSTEM_US] = round(used.ru_stime * 1e6)
    header[_CHILDREN_SWITCHES] = used.ru_nvcsw + used.ru_nivcsw


def children_usage(header: Tally) -> CPUUsage:
    """Return the usage that ``record_children_usage`` stored last."""
    user_us, system_us = header[_CHILDREN_USER_US], header[_CHILDREN_SYSTEM_US]
    return CPUUsage(user_us / 1e6, system_us / 1e6, header[_CHILDREN_SWITCHES])


def monotonic_usage(header: Tally, usage: CPUUsage) -> CPUUsage:
    """Return a usage that is nowhere below the last one returned, and store it in the header.

    A counter must not fall. But other processes' user and system parts are estimates of an exact
    sum; and a process that ends just now may count neither as alive nor as reaped.
    """
    user_us, total_us = round(usage.user_s * 1e6), round((usage.user_s + usage.system_s) * 1e6)
    user_us = max(min(user_us, total_us - header[_REPORTED_SYSTEM_US]), header[_REPORTED_USER_US])
    system_us = max(total_us - user_us, header[_REPORTED_SYSTEM_US])
    switches = max(usage.context_switches, header[_REPORTED_SWITCHES])
    header[_REPORTED_USER_US], header[_REPORTED_SYSTEM_US] = user_us, system_us
    header[_REPORTED_SWITCHES] = switches
    return CPUUsage(user_us / 1e6, system_us / 1e6, switches)
