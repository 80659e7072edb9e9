"""The Universal Scalability Law, fitted to throughput against connections.

X(N) = λN / (1 + σ(N-1) + κN(N-1)), with σ for contention and κ for coherency (Gunther 1993, 2007).
Fitted to cells in which the server was the limit, and refused where the data do not support it.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

POINTS_MIN = 4
"""Numbers of connections: one more than the law has parameters; with fewer, any curve would fit."""

RESAMPLES = 200
MISFIT_MAX = 0.15
"""The largest distance from a median, as a share of it; Gunther calls 5 to 10 % a good fit."""

_SEED = 20
_Points = Sequence[tuple[int, float]]


@dataclass(frozen=True)
class Interval:
    """A fitted value with its 95 % interval from resampled repeats."""

    value: float
    low: float
    high: float


@dataclass(frozen=True)
class Fit:
    """A fitted curve.

    Attributes:
        rate_hz: λ, the throughput of one connection.
        contention: σ.
        coherency: κ.
        peak: Connections at the highest throughput; None unless its whole interval was measured.
        curve: Connections and requests a second, for drawing.
    """

    rate_hz: Interval
    contention: Interval
    coherency: Interval
    peak: Interval | None
    curve: list[tuple[float, float]]


@dataclass(frozen=True)
class Refusal:
    """Why there is no curve."""

    why: str


def throughput_hz(connections: float, rate_hz: float, contention: float, coherency: float) -> float:
    """Return the throughput that the law predicts."""
    n = connections
    return rate_hz * n / (1 + contention * (n - 1) + coherency * n * (n - 1))


def fit(rates_hz: Mapping[int, Sequence[float]]) -> Fit | Refusal:
    """Fit the law to repeats of throughput.

    Args:
        rates_hz: Connections -> requests a second of every server-bound repeat.
    """
    points = {
        n: list(values) for n, values in sorted(rates_hz.items()) if values and min(values) > 0
    }
    if len(points) < POINTS_MIN:
        return Refusal(
            f"{len(points)} numbers of connections were server-bound; the law needs {POINTS_MIN}"
        )
    medians = [(n, float(np.median(values))) for n, values in points.items()]
    law = _fitted(medians)
    if law is None:
        return Refusal("no curve of this form fits the medians")
    misfit = max(abs(throughput_hz(n, *law) / x - 1) for n, x in medians)
    if misfit > MISFIT_MAX:
        return Refusal(f"the best curve misses a median by {misfit:.0%}: another law holds here")
    if min(map(len, points.values())) < 2:
        return Refusal("one repeat has no interval; use --repeats 3")
    rng = np.random.default_rng(_SEED)
    drawn = []
    for _ in range(RESAMPLES):
        resampled = [
            (n, float(np.median(rng.choice(values, len(values))))) for n, values in points.items()
        ]
        again = _fitted(resampled, law)
        if again is not None:
            drawn.append(again)
    if len(drawn) < RESAMPLES * 0.9:
        return Refusal("a curve fits the medians, but not the resampled ones")
    rate, contention, coherency, peak = (
        Interval(value, min(low, value), max(high, value))
        for value, (low, high) in zip(
            (*law, _peak(law)),
            np.percentile([(*one, _peak(one)) for one in drawn], (2.5, 97.5), axis=0).T.tolist(),
            strict=True,
        )
    )
    first, last = medians[0][0], medians[-1][0]
    return Fit(
        rate,
        contention,
        coherency,
        peak=peak if first <= peak.low and peak.high <= last else None,
        curve=[(n, throughput_hz(n, *law)) for n in np.geomspace(first, last, 60).tolist()],
    )


def _peak(law: tuple[float, float, float]) -> float:
    """Return the number of connections at the highest throughput, always finite."""
    _, contention, coherency = law
    return math.sqrt((1 - contention) / max(coherency, 1e-15))


def _fitted(
    points: _Points, near: tuple[float, float, float] | None = None
) -> tuple[float, float, float] | None:
    """Return λ, σ and κ by least squares of relative errors; None without a solution."""
    n = np.array([connections for connections, _ in points], dtype=float)
    x = np.array([rate for _, rate in points])

    def log_law(
        at: NDArray[np.float64], log_rate: float, contention: float, coherency: float
    ) -> NDArray[np.float64]:
        result: NDArray[np.float64] = (
            log_rate + np.log(at) - np.log1p(contention * (at - 1) + coherency * at * (at - 1))
        )
        return result

    rate, contention, coherency = near or (float(x[0] / n[0]), 0.5, 1e-6)
    from scipy.optimize import curve_fit  # here: 0.35 s, and few reports have points enough to fit

    # Strictly within the bounds: the solver cannot leave a bound.
    start = (math.log(rate), min(max(contention, 1e-3), 0.999), max(coherency, 1e-9))
    try:
        (log_rate, contention, coherency), _ = curve_fit(
            log_law, n, np.log(x), p0=start,
            bounds=((-math.inf, 0.0, 0.0), (math.inf, 1.0, 1.0)), x_scale=(1.0, 0.1, 1e-6),
            max_nfev=2000,
        )  # fmt: skip
    except (RuntimeError, ValueError):  # it does not converge, or overflows
        return None
    return math.exp(log_rate), float(contention), float(coherency)
