"""The pace of a load: how fast requests are due, and for how long."""

from dataclasses import dataclass

from loadtest.knobs import knob, number, one_of

ARRIVALS = ("constant", "poisson")
"""How requests arrive: each connection at its own steady beat, or as from many independent clients,
bursts included."""


@dataclass(frozen=True, kw_only=True)
class Pace:
    """How fast requests are due, and for how long.

    Attributes:
        rate_hz: Requests a second of all connections together; 0: flat out.
        arrivals: One of ``ARRIVALS``.
        deadline_s: A request that is later than this is dropped and counted, not sent.
        warmup_s: Load before the window, at the full rate.
        window_s: Length of the window; 0: until the test is stopped.
    """

    rate_hz: float = knob(0.0, "rate", "N", number(0, 1e6), "requests a second in all; 0: flat out")
    arrivals: str = knob(
        "constant", "arrivals", "NAME", one_of(ARRIVALS), "of requests: constant or poisson"
    )
    deadline_s: float = knob(
        10.0, "deadline", "S", number(0.1, 600), "seconds; later requests are dropped and counted"
    )
    warmup_s: float = knob(
        2.0, "warmup", "S", number(0, 3600), "load before the window, in seconds"
    )
    window_s: float = knob(
        0.0, "window", "S", number(0, 86400), "seconds until the end; 0: until the test is stopped"
    )
