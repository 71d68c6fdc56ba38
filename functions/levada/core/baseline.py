"""What is usual for each of many series: exponentially weighted mean and variance, and control limits from the start.

The mean is S. W. Roberts, "Control Chart Tests Based on Geometric Moving Averages" (Technometrics 1, 1959; NIST/
SEMATECH e-Handbook 6.3.2.4), the variance goes with it by D. H. D. West, "Updating Mean and Variance Estimates"
(Communications of the ACM 22, 1979). Until 1/n falls to the weight, all windows so far weigh the same, which is
B. P. Welford's method (Technometrics 4, 1962). A value that stands out moves both no farther than one at the threshold
would (S. Gelper, R. Fried, C. Croux, "Robust forecasting with exponential and Holt-Winters smoothing", Journal of
Forecasting 29, 2010): a spike does not hide the next one, and a level that has changed becomes the usual one.

Control limits are estimated from the first windows of a series as for a chart of individuals: mean ± 3 · mean moving
range / 1.128 (NIST/SEMATECH e-Handbook 6.3.2.2).

Windows of one series are taken one by one, all series at a time: so the result is the same to the last bit however the
windows are spread over batches.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from levada.core.western_electric import D2, Lines

Ints = NDArray[np.int64]
Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]


@dataclass(slots=True)
class Baselines:
    """One entry per series."""

    n: Ints
    """Windows so far."""
    mean: Floats
    variance: Floats
    last: Floats
    """The window before."""
    total: Floats
    """Sum over the windows that limits are estimated from."""
    ranges: Floats
    """Sum of their moving ranges."""

    @classmethod
    def empty(cls, series: int) -> Baselines:
        return cls(np.zeros(series, np.int64), *(np.zeros(series) for _ in range(5)))


@dataclass(frozen=True, slots=True)
class Settings:
    """How each series is watched: arrays with one entry per series."""

    zscore: Floats
    weight: Floats
    warmup: Ints
    estimate: Ints


@dataclass(frozen=True, slots=True)
class Judged:
    """Each of n points against what was known before it; NaN where that was too little."""

    z: Floats
    """Standard deviations from the weighted mean."""
    mean: Floats
    deviation: Floats
    estimated: Lines


def follow(values: Floats, series: Ints, index: Ints, restart: Bools, state: Baselines, settings: Settings) -> Judged:
    """Judge n points and take them into the state, each series' in order.

    Args:
        values: finite.
        series: which entry of the state each point belongs to.
        index: 0, 1, 2 … within each series, in order of time.
        restart: points before which everything known of their series is forgotten.
    """
    n = len(values)
    z, mean, deviation, lower, center, upper = (np.full(n, np.nan) for _ in range(6))
    order = np.argsort(index, kind="stable")
    ends = np.cumsum(np.bincount(index)) if n else np.empty(0, np.int64)
    start = 0
    with np.errstate(over="ignore", invalid="ignore", divide="ignore"):
        for end in ends:
            rows = order[start:end]
            start = end
            at = series[rows]
            if restart[rows].any():
                _forget(state, at[restart[rows]])
            lower[rows], center[rows], upper[rows] = _limits(state, settings.estimate, at)
            mean[rows], deviation[rows], z[rows] = _step(values[rows], at, state, settings)
    return Judged(z, mean, deviation, Lines(lower, center, upper))


def _forget(state: Baselines, at: Ints) -> None:
    for part in (state.n, state.mean, state.variance, state.last, state.total, state.ranges):
        part[at] = 0


def _limits(state: Baselines, estimate: Ints, at: Ints) -> tuple[Floats, Floats, Floats]:
    of = estimate[at]
    known = (of > 0) & (state.n[at] >= of)
    if not known.any():
        nothing = np.full(len(at), np.nan)
        return nothing, nothing, nothing
    center = np.where(known, state.total[at] / of, np.nan)
    reach = 3 * state.ranges[at] / (of - 1) / D2
    return center - reach, center, center + reach


def _step(x: Floats, at: Ints, state: Baselines, settings: Settings) -> tuple[Floats, Floats, Floats]:
    n, mean, variance = state.n[at], state.mean[at], state.variance[at]
    limit = settings.zscore[at]
    away, deviation = x - mean, np.sqrt(variance)
    # what rounding alone can leave of a constant series is no scale to measure with
    judged = (n >= settings.warmup[at]) & (deviation > 1e-12 * np.abs(mean))
    z = np.where(judged, away / deviation, np.nan)
    bound = np.where(judged & (limit > 0), limit * deviation, np.inf)
    away = np.clip(away, -bound, bound)
    counted = n + 1
    weight = np.maximum(1 / counted, settings.weight[at])
    state.n[at] = counted
    moved, new = mean + weight * away, (1 - weight) * (variance + weight * away * away)
    state.mean[at] = np.where(np.isfinite(moved), moved, x)
    state.variance[at] = np.where(np.isfinite(new), new, 0.0)  # a square beyond any float: the scale is lost
    _estimate(x, n, at, state, settings.estimate[at])
    return np.where(judged, mean, np.nan), np.where(judged, deviation, np.nan), z


def _estimate(x: Floats, n: Ints, at: Ints, state: Baselines, estimate: Ints) -> None:
    early = n < estimate
    if early.any():
        mine = at[early]
        state.total[mine] += x[early]
        state.ranges[mine] += np.where(n[early] > 0, np.abs(x[early] - state.last[mine]), 0.0)
    state.last[at] = x
