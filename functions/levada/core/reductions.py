"""Sums, moments and edges of groups of rows or partials, in numpy: no sort, no loop over rows or groups."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from levada.core.groups import Floats, Ints, heads_of
from levada.core.vectors import NO_TIME, Coded, ranks_of

LATEST = np.iinfo(np.int64).max
PACKED_BITS = 62
MOMENTS = ("count", "mean", "mean_low", "m2")


def sums(values: NDArray[Any], group: Ints, n: int) -> NDArray[Any]:
    """Of n groups; integers stay exact."""
    if values.dtype.kind == "f":
        return np.bincount(group, weights=values, minlength=n)
    found = np.zeros(n, np.int64)
    np.add.at(found, group, values)
    return found


def lowest(values: NDArray[Any], group: Ints, n: int) -> NDArray[Any]:
    """The smallest value of each of n groups; NaN counts for none, and stands where a group has nothing else."""
    return _extreme(np.fmin, values, group, n)


def highest(values: NDArray[Any], group: Ints, n: int) -> NDArray[Any]:
    return _extreme(np.fmax, values, group, n)


def _extreme(choose: np.ufunc, values: NDArray[Any], group: Ints, n: int) -> NDArray[Any]:
    if values.dtype.kind == "f":
        found = np.full(n, np.nan)
    else:
        limits = np.iinfo(values.dtype)
        found = np.full(n, limits.max if choose is np.fmin else limits.min, values.dtype)
    choose.at(found, group, values)
    return found


def statistics(values: Floats, group: Ints, n: int) -> dict[str, Any]:
    """Of n groups: count, sum, mean, mean_low, m2, min, max; values has no NaN."""
    count = np.bincount(group, minlength=n)
    total = np.bincount(group, weights=values, minlength=n)
    divisor = np.maximum(count, 1)
    mean = total / divisor
    off = values - mean[group]
    # a second pass over the deviations takes back what rounding lost in the mean; the squares of those from the better
    # mean are less by count times the correction's (the corrected two-pass algorithm, Chan, Golub, LeVeque 1983)
    shift = np.bincount(group, weights=off, minlength=n) / divisor
    m2 = np.bincount(group, weights=off * off, minlength=n) - count * shift * shift
    return {
        "count": count,
        "sum": total,
        **_mean(mean, shift, count),
        "m2": np.maximum(m2, 0.0),
        "min": lowest(values, group, n),
        "max": highest(values, group, n),
    }


def merged_moments(parts: Mapping[str, NDArray[Any]], group: Ints, total: Ints) -> dict[str, Floats]:
    """Mean, its rest and m2 of groups of partials, by the formula of Chan et al.

    Args:
        parts: ``count``, ``mean``, ``mean_low`` and ``m2`` of each.
        total: the groups' counts.

    Means are looked at as what they differ by from the lowest of their group, so that large ones that hardly differ
    keep their digits; what the merged mean has beyond a float64 goes to ``mean_low``, for it is missing in m2 else.
    """
    n = len(total)
    count, mean, mean_low, m2 = (parts[name] for name in MOMENTS)
    weight = count.astype(np.float64)
    base = lowest(mean, group, n)
    above = np.where(count > 0, (mean - base[group]) + mean_low, 0.0)
    shift = np.bincount(group, weights=weight * above, minlength=n) / np.maximum(total, 1)
    off = np.where(count > 0, above - shift[group], 0.0)
    merged = sums(m2 + weight * off * off, group, n)
    return {**_mean(base, shift, total), "m2": merged}


def _mean(base: Floats, shift: Floats, count: Ints) -> dict[str, Floats]:
    """base + shift as the nearest float64 and the rest (finite ones); NaN and 0 where count is 0."""
    there = count > 0
    mean = np.where(there, base + shift, np.nan)
    low = np.where(there, shift - (mean - base), 0.0)
    return {"mean": mean, "mean_low": np.where(np.isfinite(low), low, 0.0)}


def edges(offset: Ints, sequence: Coded, row: NDArray[Any], group: Ints, n: int) -> tuple[Ints, Ints]:
    """(first, last) row of each of n groups, by time, sequence number and row; of equals the first, or the last, as
    they stand. -1 where a group has none.

    Args:
        offset: time of each row in its window, at least 0.
    """
    position = ranks_of(sequence).astype(np.int64) * (int(row.max(initial=0)) + 1) + row
    bits = int(position.max(initial=0)).bit_length()
    if int(offset.max(initial=0)).bit_length() + bits > PACKED_BITS:
        return _sorted_edges(offset, position, group, n)
    packed = (offset << bits) | position
    best = np.full(n, LATEST)
    np.minimum.at(best, group, packed)
    hits = np.flatnonzero(packed == best[group])[::-1]
    first, last = np.full(n, -1), np.full(n, -1)
    first[group[hits]] = hits
    best = np.full(n, -1)
    np.maximum.at(best, group, packed)
    hits = np.flatnonzero(packed == best[group])
    last[group[hits]] = hits
    return first, last


def _sorted_edges(offset: Ints, position: Ints, group: Ints, n: int) -> tuple[Ints, Ints]:
    order = np.lexsort((position, offset, group))
    first, last = np.full(n, -1), np.full(n, -1)
    first[group[order[::-1]]] = order[::-1]
    last[group[order]] = order
    return first, last


def pick(times: Ints, sequence: Coded, row: Ints, group: Ints, n: int, *, last: bool) -> Ints:
    """Which partial of each group has the earliest (or latest) time, sequence number, row; NO_TIME counts for none."""
    if last:
        best = np.full(n, NO_TIME)
        np.maximum.at(best, group, times)
    else:
        times = np.where(times == NO_TIME, LATEST, times)
        best = np.full(n, LATEST)
        np.minimum.at(best, group, times)
    tied = np.flatnonzero(times == best[group])
    found = np.empty(n, np.int64)
    if len(tied) > n:
        rank = ranks_of(Coded(sequence.codes[tied], sequence.dictionary))
        tied = tied[np.lexsort((row[tied], rank, group[tied]))]
        starts = heads_of(group[tied])
        tied = tied[(np.append(starts[1:], len(tied)) - 1) if last else starts]
    found[group[tied]] = tied
    return found


def settled(group: Ints, n: int, keys: tuple[NDArray[Any], ...]) -> Ints | None:
    """An order of partials in which sums do not depend on how they came; None where any does.

    Two numbers add up to the same either way round; of three and more the order shows in the last bit.

    Args:
        keys: what is summed up, as for numpy's lexsort: partials that agree in all of it may stand in any order.
    """
    crowded = np.bincount(group, minlength=n) > 2
    if not crowded.any():
        return None
    some = np.flatnonzero(crowded[group])
    order = np.arange(len(group))
    order[some] = some[np.lexsort((*(key[some] for key in keys), group[some]))]
    return order
