"""Sums, moments and edges of groups of rows or partials: what numpy's reduceat can do, with what it needs around it."""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa

from levada.core.groups import Flags, Floats, Ints, heads_of, sizes_of
from levada.core.vectors import NO_TIME, ranks

LATEST = np.iinfo(np.int64).max


def statistics(values: Floats, there: Flags, heads: Ints, group: Ints) -> dict[str, Any]:
    """Of n groups of values in order: rows, count, missing, sum, mean, m2, min, max.

    Args:
        there: which values are not NaN.
        heads: where each group begins; group: of each value.
    """
    sizes = sizes_of(heads, len(values))
    complete = bool(there.all())
    count = sizes if complete else np.add.reduceat(there, heads, dtype=np.int64)
    filled = values if complete else np.where(there, values, 0.0)
    total = np.add.reduceat(filled, heads)
    divisor = np.maximum(count, 1)
    mean = total / divisor
    off = values - mean[group] if complete else np.where(there, values - mean[group], 0.0)
    # a second pass over the deviations takes back what rounding lost in the mean; deviations from the mean thus
    # corrected have squares less by count times the correction's (the corrected two-pass algorithm, Chan et al. 1983)
    shift = np.add.reduceat(off, heads) / divisor
    m2 = np.maximum(np.add.reduceat(off * off, heads) - count * shift * shift, 0.0)
    return {
        "rows": sizes,
        "count": count,
        "missing": sizes - count,
        "sum": total,
        "mean": np.where(count > 0, mean + shift, np.nan),
        "m2": m2,
        "min": np.fmin.reduceat(values, heads),
        "max": np.fmax.reduceat(values, heads),
    }


def merged_moments(count: Ints, mean: Floats, m2: Floats, total: Ints, heads: Ints, group: Ints) -> dict[str, Floats]:
    """Mean and m2 of groups of partials, by the formula of Chan et al.; total: the groups' counts."""
    weight = count.astype(np.float64)
    means = np.where(count > 0, mean, 0.0)
    merged = np.add.reduceat(weight * means, heads) / total
    # the weighted mean again, of what each differs by from it: large means that hardly differ keep their digits
    off = np.where(count > 0, means - merged[group], 0.0)
    shift = np.add.reduceat(weight * off, heads) / np.maximum(total, 1)
    off = np.where(count > 0, off - shift[group], 0.0)
    return {"mean": np.where(total > 0, merged + shift, np.nan), "m2": np.add.reduceat(m2 + weight * off * off, heads)}


def edges(times: Ints, there: Flags, heads: Ints) -> tuple[Ints, Ints]:
    """(first, last) of each group: where the earliest and the latest row with a value stands, of equal times the first
    and the last in order; -1 where none has a value."""
    n = len(times)
    index = np.arange(n)
    bits = n.bit_length()
    low = int(times.min())
    if (int(times.max()) - low).bit_length() + bits < 63:
        packed = ((times - low) << bits) | index
        first = np.minimum.reduceat(np.where(there, packed, LATEST), heads)
        last = np.maximum.reduceat(np.where(there, packed, -1), heads)
        mask = (1 << bits) - 1
        return np.where(first == LATEST, -1, first & mask), np.where(last < 0, -1, last & mask)
    group = np.repeat(np.arange(len(heads)), sizes_of(heads, n))  # times that lie centuries apart
    order = np.lexsort((index, times, group))
    order = order[there[order]]
    found = np.full((2, len(heads)), -1)
    found[0, group[order[::-1]]] = order[::-1]
    found[1, group[order]] = order
    return found[0], found[1]


def pick(times: Ints, sequence: pa.ChunkedArray, row: Ints, heads: Ints, group: Ints, *, last: bool) -> Ints:
    """Which partial of each group has the earliest (or latest) time, sequence number, row; NO_TIME counts for none."""
    if last:
        best = np.maximum.reduceat(times, heads)
    else:
        times = np.where(times == NO_TIME, LATEST, times)
        best = np.minimum.reduceat(times, heads)
    tied = np.flatnonzero(times == best[group])
    if len(tied) == len(heads):
        return tied
    rank = ranks(sequence.take(pa.array(tied)))
    tied = tied[np.lexsort((row[tied], rank, group[tied]))]
    starts = heads_of(group[tied])
    return tied[(np.append(starts[1:], len(tied)) - 1) if last else starts]
