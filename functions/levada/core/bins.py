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

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from levada.core.groups import Flags, Floats, Ints, heads_of, tally
from levada.core.vectors import flat as flat_array
from levada.core.vectors import to_arrow, to_numpy

KEYS = pa.list_(pa.int32())
COUNTS = pa.list_(pa.int64())
NARROW = ((pa.uint8(), 255), (pa.int16(), 32_767), (pa.int32(), 2_147_483_647))
MAX_BINS = 2048
"""Bins of one partial. With an error of 0.01 so many span 17 orders of magnitude; of a wider range the lowest values
are counted together (as DDSketch collapses them), and quantiles that lie there are unknown."""
LARGEST = sys.float_info.max
WIDEST = 745.2
"""No float64 but zero has a natural logarithm further from 0."""


def offset_of(error: float) -> int:
    """What is added to a positive value's bin number so that its key is at least 1."""
    return math.ceil(WIDEST / _log_gamma(error)) + 1


def _log_gamma(error: float) -> float:
    return math.log1p(error) - math.log1p(-error)


def keys_of(values: Floats, error: float) -> Ints:
    """Keys of the bins that n finite values lie in."""
    offset = offset_of(error)
    with np.errstate(divide="ignore"):  # zero: its logarithm is the lowest of all, its key 0
        numbers = np.ceil(np.log(np.abs(values)) * (1 / _log_gamma(error)))
    keys: Ints = np.copysign(np.clip(numbers, -offset, offset) + offset, values).astype(np.int64)
    return keys


def values_of(keys: Ints, errors: Floats) -> Floats:
    """The value that each of n bins stands for; errors: of each bin."""
    log_gamma = np.log1p(errors) - np.log1p(-errors)
    offset = np.ceil(WIDEST / log_gamma) + 1
    with np.errstate(over="ignore"):  # 2 g^i / (g + 1) = (1 - a) g^i; the last bin ends beyond the largest float
        magnitude = np.exp((np.abs(keys) - offset) * log_gamma + np.log1p(-errors))
    return np.where(keys == 0, 0.0, np.copysign(np.minimum(magnitude, LARGEST), keys))


def of_values(values: Floats, group: NDArray[np.integer], n: int, error: float) -> tuple[pa.Array, pa.Array]:
    """(KEYS, COUNTS) of n groups; group: of each value, 0 to n - 1."""
    if error <= 0 or not len(values):
        return empty(n)
    keys = keys_of(values, error)
    return _gather(keys, group, n, None)


def merged(
    keys: Sequence[pa.Array], counts: Sequence[pa.Array], group: Ints, n: int, known: Flags | None = None
) -> tuple[pa.Array, pa.Array]:
    """(KEYS, COUNTS) of n groups.

    Args:
        keys, counts: lists of bins, in one or more arrays.
        group: of each list, 0 to n - 1.
        known: which lists take part; None for all.
    """
    found = [(*_lists(some), _lists(number)[1]) for some, number in zip(keys, counts, strict=True)]
    lengths, flat, weights = (np.concatenate(parts) for parts in zip(*found, strict=True))
    each = np.repeat(group, lengths)
    if known is not None:
        kept = np.repeat(known, lengths)
        each, flat, weights = each[kept], flat[kept], weights[kept]
    return _gather(flat, each, n, weights) if len(flat) else empty(n)


def empty(n: int) -> tuple[pa.Array, pa.Array]:
    """Nothing, n times."""
    return _to_lists(np.zeros(n, np.int64), np.empty(0, np.int32), np.empty(0, np.int64))


def narrow(counts: pa.ChunkedArray) -> pa.Array:
    """The same COUNTS in as few bytes as they need, for a state that is written at every batch."""
    lengths, flat = _lists(counts)
    highest = int(flat.max(initial=0))
    kind = next((kind for kind, most in NARROW if highest <= most), pa.int64())
    offsets = np.zeros(len(lengths) + 1, np.int32)
    np.cumsum(lengths, out=offsets[1:])
    values = to_arrow(flat, kind)
    return pa.Array.from_buffers(pa.list_(kind), len(lengths), [None, pa.py_buffer(offsets)], children=[values])


def wide(counts: pa.ChunkedArray) -> pa.Array:
    """The inverse of ``narrow``."""
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


def _gather(keys: Ints, group: NDArray[np.integer], n: int, weights: Ints | None) -> tuple[pa.Array, pa.Array]:
    low = int(keys.min())
    span = int(keys.max()) - low + 1
    codes, counts = tally(group * np.int64(span) + (keys - np.int64(low)), n * span, weights)
    groups, keys = np.divmod(codes, span)
    lengths = np.bincount(groups, minlength=n)
    if lengths.max() > MAX_BINS:
        keys, counts, lengths = _collapsed(keys, counts, groups, lengths)
    return _to_lists(lengths, keys + low, counts)


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
