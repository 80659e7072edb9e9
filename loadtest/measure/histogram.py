"""Histograms of times: plain arrays while requests run, HDR histograms afterwards.

``record_value`` of the HDR library takes 1.5 µs, ``Counts.add`` 0.15 µs. Both have the same layout,
so that a second's counts become a histogram by copying memory.
"""

import ctypes
from array import array
from bisect import bisect_left
from collections.abc import Iterable
from itertools import accumulate

from hdrh.histogram import HdrHistogram

HIGHEST_US = 3_600_000_000
"""One hour. Precedent: wrk2."""

DIGITS = 3
"""Significant digits: a value is off by 0.1 % at most."""

_SUB_BUCKETS = 2048  # the power of two that tells 2 x 10**3 values apart
_SUB_BUCKET_BITS = 11


def new_histogram() -> HdrHistogram:
    """Return an empty histogram of whole microseconds, from 1 to an hour, to 3 digits."""
    return HdrHistogram(1, HIGHEST_US, DIGITS)


_LENGTH = new_histogram().counts_len

_BLOCK_BYTES = 8 * _SUB_BUCKETS // 2  # one factor of 2 of values
_EMPTY = bytes(_BLOCK_BYTES)

VALUES_S = [
    (index - (shift << (_SUB_BUCKET_BITS - 1)) + 0.5 - 0.5 / (1 << shift)) * (1 << shift) / 1e6
    for index in range(_LENGTH)
    for shift in [max((index >> (_SUB_BUCKET_BITS - 1)) - 1, 0)]
]
"""Index -> time in seconds: the middle of the whole microseconds that are counted there."""


class Counts:
    """How often each time occurred.

    Attributes:
        counts: By index of the HDR layout.
    """

    __slots__ = ("counts",)

    def __init__(self) -> None:
        self.counts = array("Q", bytes(8 * _LENGTH))

    def add(self, time_s: float) -> None:
        """Count a time, rounded down to a microsecond; below one counts as 0."""
        value_us = int(time_s * 1e6)
        if value_us < _SUB_BUCKETS:
            # The clock does not go back, but two readings of it may be rounded against each other.
            self.counts[max(0, value_us)] += 1
        else:
            if value_us > HIGHEST_US:
                value_us = HIGHEST_US
            shift = value_us.bit_length() - _SUB_BUCKET_BITS
            self.counts[(shift << (_SUB_BUCKET_BITS - 1)) + (value_us >> shift)] += 1

    def take(self) -> HdrHistogram | None:
        """Return what has been counted, and reset the counts; None if nothing has."""
        raw = self.counts.tobytes()
        blocks = [
            at for at in range(0, len(raw), _BLOCK_BYTES) if raw[at : at + _BLOCK_BYTES] != _EMPTY
        ]
        if not blocks:
            return None
        block = _BLOCK_BYTES // 8
        head, tail = blocks[0] // 8, blocks[-1] // 8
        first = head + next(i for i, n in enumerate(self.counts[head : head + block]) if n)
        last = tail + max(i for i, n in enumerate(self.counts[tail : tail + block]) if n)
        histogram = new_histogram()
        ctypes.memmove(histogram.counts, raw, len(raw))
        # Sic: "tacking" is the library's spelling.
        histogram.set_internal_tacking_values(first, last, sum(self.counts[first : last + 1]))
        self.counts = array("Q", bytes(8 * _LENGTH))
        return histogram


def recorded(histogram: HdrHistogram) -> list[tuple[int, int]]:
    """Return the index of each time that occurred, and how often; ``VALUES_S`` has the times."""
    first = histogram.get_counts_array_index(histogram.get_min_value())
    end = histogram.get_counts_array_index(histogram.max_value) + 1
    return [(index, n) for index, n in enumerate(histogram.counts[first:end], first) if n]


def merged(encoded: Iterable[str]) -> HdrHistogram:
    """Return the sum of histograms, each as ``HdrHistogram.encode`` gives it."""
    histogram = new_histogram()
    for text in encoded:
        histogram.decode_and_add(text)
    return histogram


def quantile_s(histogram: HdrHistogram, q: float) -> float | None:
    """Return the time in seconds that a share ``q`` of all does not exceed; None without times."""
    if not histogram.total_count:
        return None
    # As the library's get_value_at_percentile, which calls a function for each of 23,552 indices.
    wanted = int(histogram.get_target_count_at_percentile(100 * q))
    indices, counts = zip(*recorded(histogram), strict=True)
    index = indices[bisect_left(list(accumulate(counts)), wanted)]
    value_us = histogram.get_value_from_index(index)
    return float(histogram.get_highest_equivalent_value(value_us) if q else value_us) / 1e6


def mean_s(histogram: HdrHistogram) -> float | None:
    """Return the mean in seconds; None without times."""
    if not histogram.total_count:
        return None
    total_s: float = sum(VALUES_S[index] * count for index, count in recorded(histogram))
    return total_s / int(histogram.total_count)
