"""The times of a cell, read from its HdrHistogram logs: all together, or second by second."""

import binascii
import struct
import zlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from hdrh.codec import HdrCookieException, HdrHistogramSettingsException, HdrLengthException
from hdrh.histogram import HdrHistogram
from hdrh.log import HistogramLogReader

from loadtest.bundle.read import BundleError, shortened
from loadtest.measure.histogram import new_histogram

_BROKEN = (
    OSError, ValueError, IndexError, TypeError, AttributeError, binascii.Error, struct.error,
    zlib.error, HdrCookieException, HdrHistogramSettingsException, HdrLengthException,
)  # fmt: skip
"""Exceptions that the reader raises for a log that is truncated or not its own."""

_RARITIES = [10 ** (step / 10) for step in range(61)]
"""Ten per decade, up to one in a million."""


@dataclass(frozen=True)
class Interval:
    """One line of a log: the times of one process in one second."""

    from_s: float
    to_s: float
    histogram: HdrHistogram


def intervals(log: Path, class_: str) -> Iterator[Interval]:
    """Yield the lines of a user class in a log, in order; seconds since the epoch.

    Raises:
        BundleError: The log cannot be read.
    """
    reader = None
    try:
        reader = HistogramLogReader(str(log), new_histogram())
        while (histogram := reader.get_next_interval_histogram()) is not None:
            if str(histogram.get_tag() or "").partition("@")[0] == class_:
                yield Interval(
                    histogram.get_start_time_stamp() / 1000,
                    histogram.get_end_time_stamp() / 1000,
                    histogram,
                )
    except _BROKEN as error:
        raise BundleError(f"expected an HdrHistogram log, got {log}: {_text(error)}") from error
    finally:
        if reader is not None:
            reader.close()


def merged_times(logs: Iterable[Path], class_: str) -> HdrHistogram:
    """Return all times of a user class in some logs, as one histogram.

    Raises:
        BundleError: One of them cannot be read.
    """
    total = new_histogram()
    for log in logs:
        for interval in intervals(log, class_):
            total.add(interval.histogram)
    return total


def spectrum(histogram: HdrHistogram) -> list[tuple[float, float]]:
    """Return pairs of 1 / (1 - quantile) and time in ms, as far as there are requests."""
    count = histogram.total_count
    if not count:
        return []
    rarities = [rarity for rarity in _RARITIES if rarity < count]
    percentiles = {100 * (1 - 1 / rarity): rarity for rarity in rarities} | {100.0: float(count)}
    values_us = histogram.get_percentile_to_value_dict([*percentiles])  # in one pass
    return [(rarity, values_us[at] / 1000) for at, rarity in percentiles.items()]


def _text(error: BaseException) -> str:
    return shortened(f"{type(error).__name__}: {error}")
