"""Quantile bins: counts of values in logarithmic bins, so that any quantile is known within a relative error.

The sketch is that of C. Masson, J. E. Rim, H. K. Lee, "DDSketch: A Fast and Fully-Mergeable Quantile Sketch with
Relative-Error Guarantees" (VLDB 2019). With relative error a and g = (1 + a) / (1 - a), bin i holds the magnitudes in
(g^(i-1), g^i] and stands for 2 g^i / (g + 1), which is within a of all of them. Counts are integers, so merging is
exact. Here a bin's *key* orders the bins of all values on one line: 0 for zero, i + offset for positive values, the
same negated for negative ones.
"""

from __future__ import annotations

import math
import sys
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from levada.core.groups import Flags, Floats, Ints, dense, heads_of, stable_order, tally
from levada.core.vectors import flat as flat_array
from levada.core.vectors import to_arrow, to_numpy

KEYS = pa.list_(pa.int32())
COUNTS = pa.list_(pa.int64())
MAX_BINS = 2048
"""Bins of one partial. With an error of 0.01 so many span 17 orders of magnitude; of a wider range the lowest values
are counted together (as DDSketch collapses them), and quantiles that lie there are unknown."""
LARGEST = sys.float_info.max
FEW = 4
"""So many times as many bins must be in order already for the rest to be inserted."""
WIDEST = 745.2
"""No float64 but zero has a natural logarithm further from 0."""


def offset_of(error: float) -> int:
    """What is added to a positive value's bin number so that its key is at least 1."""
    return math.ceil(WIDEST / _log_gamma(error)) + 1


def _log_gamma(error: float) -> float:
    return math.log1p(error) - math.log1p(-error)


def scale_of(error: float) -> tuple[float, int]:
    """(what a logarithm is multiplied by to give a bin's number, what is added to that)"""
    return 1 / _log_gamma(error), offset_of(error)


def logarithms(values: Floats) -> Floats:
    """Natural logarithms of n magnitudes; that of zero is the lowest of all."""
    numbers = np.abs(values)
    with np.errstate(divide="ignore"):
        np.log(numbers, out=numbers)
    return numbers


def keys_of(values: Floats, error: float) -> Ints:
    """Keys of the bins that n finite values lie in."""
    inverse, offset = scale_of(error)
    numbers = logarithms(values)
    numbers *= inverse
    np.ceil(numbers, out=numbers)
    numbers += offset
    np.maximum(numbers, 0, out=numbers)
    np.minimum(numbers, 2 * offset, out=numbers)
    return np.copysign(numbers, values, out=numbers).astype(np.int64)


def values_of(keys: Ints, errors: Floats) -> Floats:
    """The value that each of n bins stands for; errors: of each bin."""
    log_gamma = np.log1p(errors) - np.log1p(-errors)
    offset = np.ceil(WIDEST / log_gamma) + 1
    with np.errstate(over="ignore"):  # 2 g^i / (g + 1) = (1 - a) g^i; the last bin ends beyond the largest float
        magnitude = np.exp((np.abs(keys) - offset) * log_gamma + np.log1p(-errors))
    return np.where(keys == 0, 0.0, np.copysign(np.minimum(magnitude, LARGEST), keys))


@dataclass(frozen=True, slots=True)
class Bins:
    """Lists of bins, one below the other."""

    lengths: Ints
    """How many bins each list has."""
    keys: Ints
    """Of all lists; ascending within one."""
    counts: Ints

    @classmethod
    def empty(cls, n: int) -> Bins:
        """Nothing, n times."""
        return cls(np.zeros(n, np.int64), np.empty(0, np.int32), np.empty(0, np.int64))

    @classmethod
    def of_arrow(cls, keys: pa.ChunkedArray, counts: pa.ChunkedArray) -> Bins:
        lengths, flat = _lists(keys)
        return cls(lengths, flat, _lists(counts)[1])

    @classmethod
    def concat(cls, parts: Sequence[Bins]) -> Bins:
        joined = [np.concatenate([getattr(one, name) for one in parts]) for name in ("lengths", "keys", "counts")]
        return cls(*joined)

    def to_arrow(self) -> tuple[pa.Array, pa.Array]:
        """(KEYS, COUNTS)"""
        return _to_lists(self.lengths, self.keys, self.counts)

    def take(self, at: Ints) -> Bins:
        """The lists at these places."""
        lengths = self.lengths[at]
        ends = np.cumsum(lengths)
        shift = (np.cumsum(self.lengths) - self.lengths)[at] - (ends - lengths)
        flat = np.repeat(shift, lengths) + np.arange(int(ends[-1]) if len(ends) else 0)
        return Bins(lengths, self.keys[flat], self.counts[flat])

    def piece(self, start: int, end: int) -> Bins:
        """The lists from one place to another."""
        first = int(self.lengths[:start].sum())
        last = first + int(self.lengths[start:end].sum())
        return Bins(self.lengths[start:end], self.keys[first:last], self.counts[first:last])


def ordered(values: Floats, group: Ints, n: int, error: float) -> tuple[Ints, Bins]:
    """(order of the values by group and bin, bins of n groups).

    Args:
        group: of each value, 0 to n - 1.
        error: relative; 0 for no bins.
    """
    if error <= 0 or not len(values):
        return stable_order(group, n), Bins.empty(n)
    keys = keys_of(values, error)
    low = int(keys.min())
    keys -= low
    span = int(keys.max()) + 1
    keys += group * np.int64(span)
    order = stable_order(keys, n * span)
    keys = keys[order]
    heads = heads_of(keys)
    return order, _bins(keys[heads], np.diff(heads, append=len(keys)), n, low, span)


def merged(whole: Bins, group: Ints, n: int, known: Flags | None = None, *, before: int = 0) -> Bins:
    """Bins of n groups.

    Args:
        group: of each list, 0 to n - 1.
        known: which lists take part; None for all.
        before: so many of the lists are merged already, and the others may be few beside them.
    """
    flat, weights = whole.keys, whole.counts
    each = np.repeat(group, whole.lengths)
    if known is not None:
        kept = np.repeat(known, whole.lengths)
        each, flat, weights = each[kept], flat[kept], weights[kept]
    if not len(flat):
        return Bins.empty(n)
    first = int(whole.lengths[:before].sum())
    if known is None and first > FEW * (len(flat) - first) > 0:
        lengths = np.bincount(group[:before], weights=whole.lengths[:before], minlength=n).astype(np.int64)
        if (made := _inserted(flat, weights, each, first, lengths)) is not None:
            return made
    low = int(flat.min())
    span = int(flat.max()) - low + 1
    number, distinct = dense(flat - np.int64(low), span)  # few: values of both signs lie far apart, with none between
    codes, counts = tally(each * np.int64(distinct) + number, n * distinct, weights)
    found = _bins(codes, counts, n, 0, distinct)
    names = np.empty(distinct, np.int64)
    names[number] = flat
    return Bins(found.lengths, names[found.keys], found.counts)


def _inserted(flat: Ints, weights: Ints, each: Ints, first: int, lengths: Ints) -> Bins | None:
    """What few bins add to the many before them that stand in order already: a search instead of a sort of all.

    None where they do not, or where a group would have too many.

    Args:
        flat, weights, each: key, count and group of each bin; the first ``first`` are the many.
        lengths: how many of the first each group has.
    """
    low = int(flat.min())
    span = int(flat.max()) - low + 1
    codes = each * np.int64(span) + (flat - np.int64(low))
    known = codes[:first]
    if (known[1:] <= known[:-1]).any():
        return None
    more, added = tally(codes[first:], len(lengths) * span, weights[first:])
    at = np.searchsorted(known, more)
    there = known[np.minimum(at, first - 1)] == more
    counts = weights[:first].copy()
    counts[at[there]] += added[there]
    more, added, at = more[~there], added[~there], at[~there]
    lengths = lengths + np.bincount(more // span, minlength=len(lengths))
    if lengths.max() > MAX_BINS:
        return None
    return Bins(lengths, np.insert(flat[:first], at, more % span + low), np.insert(counts, at, added))


def wide(counts: pa.ChunkedArray) -> pa.Array:
    """COUNTS of lists of smaller integers, as an earlier version kept them in its state."""
    lengths, flat = _lists(counts)
    return _to_lists(lengths, flat, flat)[1]


def quantiles(keys: pa.Array, counts: pa.Array, errors: Floats, wanted: Sequence[float]) -> list[Floats]:
    """For each wanted q in [0, 1] the q-quantile of each of n lists of bins; NaN where it is not known.

    Between two neighbouring values it is interpolated, as by DuckDB's ``quantile_cont`` and numpy's default, so that
    it is within the relative error of theirs where both neighbours have the same sign.
    """
    lengths, flat = _lists(keys)
    ends = np.cumsum(lengths)
    starts = ends - lengths
    reached = np.cumsum(_lists(counts)[1])
    before = np.concatenate([np.zeros(1, np.int64), reached])[starts]
    total = np.concatenate([np.zeros(1, np.int64), reached])[ends] - before
    known = (total > 0) & (errors > 0)
    out = []
    for q in wanted:
        rank = q * np.maximum(total - 1, 0)
        low = np.floor(rank)
        pair = [
            _at(np.minimum(low + step, np.maximum(total - 1, 0)), before, reached, flat, errors, starts, lengths, known)
            for step in (0, 1)
        ]
        part = rank - low
        out.append(np.where(part > 0, pair[0] * (1 - part) + pair[1] * part, pair[0]))
    return out


def _at(
    rank: Floats, before: Ints, reached: Ints, flat: Ints, errors: Floats, starts: Ints, lengths: Ints, known: Ints
) -> Floats:
    """The value of this rank, 0 for the smallest; NaN where nothing is known, or where bins were counted together."""
    found = np.full(len(rank), np.nan)
    if not known.any():
        return found
    at = np.searchsorted(reached, before[known] + rank[known].astype(np.int64), side="right")
    value = values_of(flat[at], errors[known])
    value[(lengths[known] >= MAX_BINS) & (at == starts[known])] = np.nan
    found[known] = value
    return found


def _bins(codes: Ints, counts: Ints, n: int, low: int, span: int) -> Bins:
    """Bins of n groups; codes: group * span + key - low, distinct and ascending."""
    groups = codes // span
    keys = codes - groups * span
    lengths = np.bincount(groups, minlength=n)
    if lengths.max() > MAX_BINS:
        keys, counts, lengths = _collapsed(keys, counts, groups, lengths)
    return Bins(lengths, keys + low, counts)


def _collapsed(keys: Ints, counts: Ints, groups: Ints, lengths: Ints) -> tuple[Ints, Ints, Ints]:
    """At most MAX_BINS per group, the lowest keys counted in the lowest that stays. The same in whatever order merged:
    the highest MAX_BINS keys of a union are among the highest of its parts."""
    keys = keys[np.maximum(np.arange(len(keys)), (np.cumsum(lengths) - MAX_BINS)[groups])]
    span = int(keys.max()) + 1
    heads = heads_of(groups * span + keys)
    return keys[heads], np.add.reduceat(counts, heads), np.bincount(groups[heads], minlength=len(lengths))


def _lists(column: pa.Array) -> tuple[Ints, Ints]:
    """(length of each list, all of their values)."""
    column = flat_array(column)
    if not len(column):
        return np.empty(0, np.int64), np.empty(0, np.int64)
    offsets = np.frombuffer(column.buffers()[1], np.int32, len(column) + 1, column.offset * 4).astype(np.int64)
    return np.diff(offsets), to_numpy(column.values)[offsets[0] : offsets[-1]]


def _to_lists(lengths: Ints, keys: Ints, counts: Ints) -> tuple[pa.Array, pa.Array]:
    offsets = np.zeros(len(lengths) + 1, np.int32)
    np.cumsum(lengths, out=offsets[1:])
    at = pa.py_buffer(offsets)
    flat = to_arrow(keys, pa.int32()), to_arrow(counts, pa.int64())
    kinds = (KEYS, COUNTS)
    made = [
        pa.Array.from_buffers(kind, len(lengths), [None, at], children=[values])
        for kind, values in zip(kinds, flat, strict=True)
    ]
    return made[0], made[1]
