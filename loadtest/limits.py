"""How long the meter waits for what, and no longer; each limit stands once, here.

Nothing here imports Locust: the process that starts it waits by the same limits.
"""

CONNECT_LIMIT_S = 30.0
CONNECT_LIMIT_PER_CONNECTION_S = 0.02
"""For all connections to have a first reply: forking 10,000 times takes 90 s."""

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


def connect_limit_s(connections: int) -> float:
    """Return how long so many connections may take until each has had a first reply."""
    return CONNECT_LIMIT_S + connections * CONNECT_LIMIT_PER_CONNECTION_S


def cell_limit_s(connections: int, load_s: float, deadline_s: float) -> float:
    """Return how long a cell may take: as long as all its parts may, one after the other.

    Its parts have limits of their own, and end it with a better reason. This one is for what
    none of them sees: the parent ends the cell then.

    Args:
        connections: Of all processes.
        load_s: Warm-up and window.
        deadline_s: What is later is given up, after the window as well.
    """
    begin_s = IMPORT_LIMIT_S + WORKERS_LIMIT_S + connect_limit_s(connections)
    end_s = deadline_s + REPORT_LIMIT_S + _SCRAPES * SCRAPE_LIMIT_S + _MARGIN_S
    return begin_s + load_s + end_s
