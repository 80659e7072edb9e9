"""Time limits of the meter, each of them once.

This module does not import Locust, since the process that starts Locust uses the same limits.
"""

import math

CONNECTING_MAX = 256
"""Connections that wait for their first reply at the same time. It is far below any backlog: a SYN
that meets a full queue is repeated only after a second."""

CONNECT_LIMIT_S = 30.0
CONNECT_LIMIT_PER_CONNECTION_S = 0.02
"""For all connections to get a first reply: 10,000 forks take 90 s. Each batch that connects at the
same time also has the request's deadline."""

SILENCE_MAX_S = 30.0
"""Longest silence of a server within a request, unless the deadline is longer. A server that has to
fork 1,000 times first needs a few seconds."""

REPORT_LIMIT_S = 10.0
"""For a load process to report; Locust's own heartbeat gives up after 3 s."""

SCRAPE_LIMIT_S = 10.0
"""For a scrape of a server's metrics; after it there is no sample."""

WORKERS_LIMIT_S = 30
"""For all load processes to connect to their master."""

IMPORT_LIMIT_S = 60.0
"""For Locust to be imported, on a busy machine."""

_SCRAPES = 6
"""In a row: a probe for /metrics, idle (twice), open, close, loaded."""

_MARGIN_S = 30.0
"""For starting users, computing and writing, on a busy machine."""


def silence_max_s(deadline_s: float) -> float:
    """Return how long a server may be silent within a request."""
    return max(SILENCE_MAX_S, deadline_s)


def connect_limit_s(connections: int, deadline_s: float) -> float:
    """Return how long connections may take until each has had a first reply.

    Args:
        connections: Of all processes.
        deadline_s: For each reply.
    """
    batches_s = math.ceil(connections / CONNECTING_MAX) * deadline_s
    return CONNECT_LIMIT_S + connections * CONNECT_LIMIT_PER_CONNECTION_S + batches_s


def cell_limit_s(connections: int, load_s: float, deadline_s: float) -> float:
    """Return how long a cell may take: the sum of the limits of its parts.

    A part that exceeds its own limit ends the cell with a better reason. For all other causes the
    parent ends the cell after this time.

    Args:
        connections: Of all processes.
        load_s: Warm-up and window.
        deadline_s: For each reply, after the window as well.
    """
    begin_s = IMPORT_LIMIT_S + WORKERS_LIMIT_S + connect_limit_s(connections, deadline_s)
    end_s = deadline_s + REPORT_LIMIT_S + _SCRAPES * SCRAPE_LIMIT_S + _MARGIN_S
    return begin_s + load_s + end_s
