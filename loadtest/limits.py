"""How long the meter waits for what, and no longer; each limit stands once, here.

Nothing here imports Locust: the process that starts it waits by the same limits.
"""

import math

CONNECTING_MAX = 256
"""Connections on their way to a first reply at the same time. Far fewer than any backlog: a SYN
that finds the queue full comes again after a second."""

CONNECT_LIMIT_S = 30.0
CONNECT_LIMIT_PER_CONNECTION_S = 0.02
"""For all connections to have a first reply: forking 10,000 times takes 90 s. Each batch of those
that connect at the same time has the deadline, besides."""

SILENCE_MAX_S = 30.0
"""Longest silence of a server in the middle of a request, unless the deadline is longer. A server
that forks 1,000 times first needs a few seconds."""

REPORT_LIMIT_S = 10.0
"""For a process to answer; Locust's own heartbeat gives one up after 3 s."""

SCRAPE_LIMIT_S = 10.0
"""For a server to say what it has used; without an answer there is no sample."""

WORKERS_LIMIT_S = 30
"""For the processes that make the load to report to the one that leads them."""

IMPORT_LIMIT_S = 60.0
"""To import Locust, on a machine that has other things to do."""

_SCRAPES = 6
"""One after the other: is there a /metrics, idle (twice), open, close, loaded."""

_MARGIN_S = 30.0
"""To start the users, to compute and to write, on such a machine."""


def silence_max_s(deadline_s: float) -> float:
    """Return how long a server may be silent in the middle of a request."""
    return max(SILENCE_MAX_S, deadline_s)


def connect_limit_s(connections: int, deadline_s: float) -> float:
    """Return how long so many connections may take until each has had a first reply.

    Args:
        connections: Of all processes.
        deadline_s: For each reply.
    """
    batches_s = math.ceil(connections / CONNECTING_MAX) * deadline_s
    return CONNECT_LIMIT_S + connections * CONNECT_LIMIT_PER_CONNECTION_S + batches_s


def cell_limit_s(connections: int, load_s: float, deadline_s: float) -> float:
    """Return how long a cell may take: as long as all its parts may, one after the other.

    Its parts have limits of their own, and end it with a better reason. This one is for what
    none of them sees: the parent ends the cell then.

    Args:
        connections: Of all processes.
        load_s: Warm-up and window.
        deadline_s: What is later is given up, after the window as well.
    """
    begin_s = IMPORT_LIMIT_S + WORKERS_LIMIT_S + connect_limit_s(connections, deadline_s)
    end_s = deadline_s + REPORT_LIMIT_S + _SCRAPES * SCRAPE_LIMIT_S + _MARGIN_S
    return begin_s + load_s + end_s
