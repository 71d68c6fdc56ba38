"""Sums, moments and edges of groups of rows or partials, in numpy: no sort, no loop over rows or groups."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from levada.core.groups import Floats, Ints, heads_of, stable_order
from levada.core.vectors import NO_TIME

LATEST = np.iinfo(np.int64).max
PACKED_BITS = 62
MIXER = np.uint64(0x9E3779B97F4A7C15)
"""Odd, and its bits look random (2^64 over the golden ratio): the top bits of a product depend on all bits below."""
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


@dataclass(frozen=True, slots=True)
class Runs:
    """Values of groups, put in an order in which those of each group stand together."""

    order: Ints
    starts: Ints
    """Where each group begins in that order; no group is empty."""
    sizes: Ints

    @classmethod
    def of(cls, order: Ints, sizes: Ints) -> Runs:
        return cls(order, np.cumsum(sizes) - sizes, sizes)

    def statistics(self, values: Floats) -> dict[str, Floats]:
        """Of the groups: sum, mean, mean_low, m2, min, max; values has no NaN."""
        if not len(values):
            return dict.fromkeys(("sum", "mean", "mean_low", "m2", "min", "max"), np.empty(0))
        values, starts, sizes = values[self.order], self.starts, self.sizes
        total = np.add.reduceat(values, starts)
        mean = total / sizes
        off = values - np.repeat(mean, sizes)
        # a second pass over the deviations takes back what rounding lost in the mean; the squares of those from the
        # better mean are less by count times the correction's (the corrected two-pass algorithm, Chan, Golub, LeVeque
        # 1983)
        shift = np.add.reduceat(off, starts) / sizes
        off *= off
        m2 = np.maximum(np.add.reduceat(off, starts) - sizes * shift * shift, 0.0)
        low, high = np.minimum.reduceat(values, starts), np.maximum.reduceat(values, starts)
        return {"sum": total, **_mean(mean, shift, sizes), "m2": m2, "min": low, "max": high}

    def edges(self, offset: Ints, rank: NDArray[Any], row: NDArray[Any]) -> tuple[Ints, Ints]:
        """(first, last) of each group, by time, sequence number and row; of equals the first, or the last, as they
        stand.

        Args:
            offset: time in the window, at least 0.
            rank: of the sequence number, at least 0.
        """
        n = len(offset)
        if not n:
            return np.empty(0, np.int64), np.empty(0, np.int64)
        position = rank.astype(np.int64) * (int(row.max()) + 1) + row
        place = max(1, (n - 1).bit_length())
        bits = int(position.max()).bit_length() + place
        if int(offset.max()).bit_length() + bits > PACKED_BITS:
            order = np.lexsort((position, offset, self._group(n)))
            return order[self.starts], order[self.starts + self.sizes - 1]
        packed = (offset << bits) | (position << place)
        packed |= np.arange(n)
        packed = packed[self.order]
        mask = (1 << place) - 1
        return np.minimum.reduceat(packed, self.starts) & mask, np.maximum.reduceat(packed, self.starts) & mask

    def _group(self, n: int) -> Ints:
        group = np.empty(n, np.int64)
        group[self.order] = np.repeat(np.arange(len(self.sizes)), self.sizes)
        return group


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


def pick(times: Ints, rank: NDArray[Any], row: Ints, group: Ints, n: int, *, last: bool) -> Ints:
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
        tied = tied[np.lexsort((row[tied], rank[tied], group[tied]))]
        starts = heads_of(group[tied])
        tied = tied[(np.append(starts[1:], len(tied)) - 1) if last else starts]
    found[group[tied]] = tied
    return found


def lowest_at(values: NDArray[Any], group: Ints, n: int) -> Ints:
    """Where the smallest of each of n groups stands."""
    hits = np.flatnonzero(values == lowest(values, group, n)[group])
    at = np.empty(n, np.int64)
    at[group[hits]] = hits
    return at


def settled(group: Ints, n: int, keys: tuple[NDArray[Any], ...]) -> Ints | None:
    """An order of partials in which sums do not depend on how they came; None where any does.

    Two numbers add up to the same either way round; of three and more the order shows in the last bit. Which order it
    is does not matter, only that it follows from the partials: that of a few bits of what they sum up, which a radix
    sort puts in order, and of all of it in groups where those agree.

    Args:
        keys: what is summed up, as for numpy's lexsort: partials that agree in all of it may stand in any order.
    """
    crowded = np.bincount(group, minlength=n) > 2
    if not crowded.any():
        return None
    mixed = keys[-1].astype(np.int64).view(np.uint64) if keys[-1].dtype.kind != "f" else keys[-1].view(np.uint64)
    for key in keys[:-1]:
        mixed = mixed * MIXER ^ key.view(np.uint64)
    marks = ((mixed * MIXER) >> np.uint64(48)).astype(np.int64)
    order = stable_order(group << 16 | marks, n << 16)
    ordered, marks = group[order], marks[order]
    tied = (ordered[1:] == ordered[:-1]) & (marks[1:] == marks[:-1])
    if tied.any():
        unclear = np.zeros(n, bool)
        unclear[ordered[1:][tied]] = True
        at = np.flatnonzero(unclear[ordered])  # the places that these groups have in the order stay theirs
        some = order[at]
        order[at] = some[np.lexsort((*(key[some] for key in keys), group[some]))]
    return order
