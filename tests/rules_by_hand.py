"""The rules for anomalies in plain Python, window by window: what the vectorised code must find."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import pairwise

from levada.domains.declaration import Watch


def by_hand(values: Sequence[tuple[int, float]], watch: Watch, *, forget: float = math.inf) -> list[tuple[int, str]]:
    """(time, rule) of what stands out in one series.

    Args:
        values: (time, mean) of its windows, in order.
        forget: after a longer pause the series begins anew; in the unit of the times.
    """
    found, begin = [], 0
    for end in range(1, len(values) + 1):
        if end == len(values) or values[end][0] - values[end - 1][0] > forget:
            found += _of_one(values[begin:end], watch)
            begin = end
    return found


def _of_one(values: Sequence[tuple[int, float]], watch: Watch) -> list[tuple[int, str]]:
    found = []
    mean, variance, early, marks = 0.0, 0.0, list[float](), list[float]()
    for n, (at, x) in enumerate(values):
        scale, away = math.sqrt(variance), x - mean
        judged = n >= watch.warmup and scale > 1e-12 * abs(mean)
        if judged and abs(away / scale) > watch.zscore:
            found.append((at, "zscore"))
        marks.append(units(x, early) if early and len(early) == watch.estimate else 0.0)
        found += [(at, rule) for rule in patterns(marks)]
        if judged:
            away = max(-watch.zscore * scale, min(watch.zscore * scale, away))
        weight = max(1 / (n + 1), watch.weight)
        mean, variance = mean + weight * away, (1 - weight) * (variance + weight * away * away)
        if len(early) < watch.estimate:
            early.append(x)
    return found


def units(x: float, early: list[float]) -> float:
    """Distance from the centre of the early values in sigma of their moving ranges."""
    center = sum(early) / len(early)
    sigma = sum(abs(b - a) for a, b in pairwise(early)) / (len(early) - 1) / 1.128
    if sigma:
        return (x - center) / sigma
    return math.copysign(math.inf, x - center) if x != center else 0.0


def patterns(marks: list[float]) -> list[str]:
    """The rules that the last of these marks completes, for each side on which it does."""
    return [
        rule
        for rule, need, of, beyond in (("we1", 1, 1, 3), ("we2", 2, 3, 2), ("we3", 4, 5, 1), ("we4", 8, 8, 0))
        for side in (1, -1)
        if marks[-1] * side > beyond and sum(m * side > beyond for m in marks[-of:]) >= need
    ]
