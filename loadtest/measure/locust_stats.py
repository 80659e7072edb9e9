"""Locust's own statistics, fed once a second and in microseconds.

Locust rounds times to whole milliseconds and takes 15 µs to count one request; its page, files and
exit codes all come from these statistics. A master adds the reports of its workers with
``StatsEntry.extend``; ``feed`` adds a second's requests the same way.
"""

from collections import defaultdict

from locust.stats import RequestStats, StatsEntry

from loadtest.measure.histogram import VALUES_S, recorded
from loadtest.measure.meter import Taken


def rounded_ms(time_ms: float) -> float:
    """Round a time to two significant digits, and to whole microseconds.

    Locust's own function rounds to whole milliseconds. There are some 500 different values at most:
    Locust copies all of them every second, and sends them to its master.
    """
    for limit_ms, digits in ((0.1, 3), (1, 2), (10, 1), (100, 0), (1000, -1)):
        if time_ms < limit_ms:
            return round(time_ms, digits)
    return round(time_ms, -2)


_ROUNDED_MS = [rounded_ms(value_s * 1000) for value_s in VALUES_S]


def feed(stats: RequestStats, method: str, name: str, taken: Taken, now_s: float) -> None:
    """Add a second's counts to an entry and to the total; Locust itself counts failures.

    The times are latencies or, without a fixed rate, service times.
    """
    histogram = taken.histograms.get("latency") or taken.histograms.get("service_time")
    if histogram is None:
        return
    times: dict[float, int] = defaultdict(int)
    total_s = 0.0
    for index, count in recorded(histogram):
        times[_ROUNDED_MS[index]] += count
        total_s += VALUES_S[index] * count
    part = StatsEntry(stats, name, method)
    part.start_time = now_s
    part.last_request_timestamp = now_s
    part.num_requests = taken.requests
    part.total_response_time = total_s * 1000  # type: ignore[assignment]
    part.min_response_time, part.max_response_time = min(times), max(times)  # type: ignore[assignment]
    part.total_content_length = taken.reply_bytes
    part.response_times = times  # type: ignore[assignment]  # whole numbers by its annotation only
    part.num_reqs_per_sec = {int(now_s): taken.requests}
    for entry in (stats.total, stats.get(name, method)):
        entry.extend(part)
