"""Columns of whole numbers to few bytes and back, each number as its distance from the column's lowest: by the compiled
kernels, or by numpy."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from levada.core import native
from levada.core.native import columns as kernels
from levada.core.packed import SIZES, UNSIGNED, WIDE, Column, Widened


def narrowed(columns: Sequence[NDArray[Any]]) -> list[Column]:
    """Columns of int64 or int32, each of as many as it has."""
    if (library := native.library()) is not None:
        return kernels.narrowed(library, columns)
    return in_numpy(columns)


def widened(columns: Sequence[Column], lengths: Sequence[int], wide: int) -> Widened:
    """What ``narrowed`` was given, one column behind the other: the first ``wide`` ones, and the others.

    Raises ValueError for one that does not hold as many numbers as it should (``lengths``).
    """
    if (library := native.library()) is not None:
        return kernels.widened(library, columns, lengths, wide)
    return widened_in_numpy(columns, lengths, wide)


def closed(keys: NDArray[np.int64]) -> tuple[NDArray[np.int64], int, int]:
    """(numbers without the gap around 0 that none of them lies in; what ``shifted`` opens it by again)"""
    if (library := native.library()) is not None:
        above, below = kernels.gap(library, keys)
    else:
        above, below = gap_in_numpy(keys)
    return shifted(keys, -above, -below), above, below


def shifted(keys: NDArray[np.int64], above: int, below: int) -> NDArray[np.int64]:
    """With so much added to the numbers above 0, and to those below."""
    if not above and not below:
        return keys
    if (library := native.library()) is not None:
        return kernels.shifted(library, keys, above, below)
    return shifted_in_numpy(keys, above, below)


def gap_in_numpy(keys: NDArray[np.int64]) -> tuple[int, int]:
    """How far the numbers above 0 lie from it but for one, and those below; 0 and 0 where all have one sign."""
    positive, negative = keys[keys > 0], keys[keys < 0]
    if not len(positive) or not len(negative):
        return 0, 0
    return int(positive.min()) - 1, int(negative.max()) + 1


def shifted_in_numpy(keys: NDArray[np.int64], above: int, below: int) -> NDArray[np.int64]:
    """As ``shifted``."""
    return np.where(keys > 0, keys + above, np.where(keys < 0, keys + below, keys))


def in_numpy(columns: Sequence[NDArray[Any]]) -> list[Column]:
    """As ``narrowed``."""
    return [
        _narrow(values, int(values.min()), int(values.max())) if len(values) else ("", 0, b"") for values in columns
    ]


def _narrow(values: NDArray[Any], low: int, high: int) -> Column:
    if low == high:
        return ("", low, b"")
    for most, kind in UNSIGNED:
        if high - low <= most:
            return (kind, low, np.subtract(values, low, dtype=np.int64).astype(kind).data)
    return (WIDE, 0, np.ascontiguousarray(values, WIDE).data)


def widened_in_numpy(columns: Sequence[Column], lengths: Sequence[int], wide: int) -> Widened:
    """As ``widened``."""
    found = np.empty(sum(lengths[:wide]), np.int64), np.empty(sum(lengths[wide:]), np.int32)
    for out, first, last in ((found[0], 0, wide), (found[1], wide, len(columns))):
        at = 0
        for (kind, low, body), n in zip(columns[first:last], lengths[first:last], strict=True):
            if len(body) != n * SIZES[kind]:
                raise ValueError(f"column {kind!r}: {len(body)} bytes are not {n} numbers")
            if kind:
                np.add(np.frombuffer(body, kind), low, out=out[at : at + n], dtype=out.dtype)
            else:
                out[at : at + n] = low
            at += n
    return found
