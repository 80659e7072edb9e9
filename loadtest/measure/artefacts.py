"""Times of a cell that come from one of TCP's timers, not from the server."""

from collections.abc import Mapping

from hdrh.histogram import HdrHistogram

_ARTEFACTS = {
    "delayed ACK, 40 ms": ("service_time", 38, 46),
    "retransmission, 200 ms": ("service_time", 198, 230),
    "SYN again, 1 s": ("connect", 990, 1100),
    "SYN again, 3 s": ("connect", 2990, 3200),
}
"""Timer of Linux's TCP -> the kind of time in which it shows, from and to in ms
(tcp.h: TCP_DELACK_MIN, TCP_RTO_MIN, TCP_TIMEOUT_INIT, then twice that)."""


def artefacts(histograms: Mapping[str, HdrHistogram]) -> dict[str, int]:
    """Count the times where a timer of TCP ends, if far fewer lie on either side; by its name.

    Args:
        histograms: By kind (``meter.KINDS``).
    """
    found = {}
    for name, (kind, from_ms, to_ms) in _ARTEFACTS.items():
        width_ms = to_ms - from_ms

        def between(low_ms: int, high_ms: int, histogram: HdrHistogram = histograms[kind]) -> int:
            first = histogram.get_counts_array_index(low_ms * 1000)
            return sum(histogram.counts[first : histogram.get_counts_array_index(high_ms * 1000)])

        inside = between(from_ms, to_ms)
        beside = between(from_ms - width_ms, from_ms) + between(to_ms, to_ms + width_ms)
        if inside > 2 * beside:
            found[name] = inside
    return found
