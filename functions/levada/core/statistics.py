"""What statistics of windows are made from, and what they are made to: rows and partials, in numpy's arrays."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from levada.core.bins import Bins
from levada.core.groups import Flags, Floats, Ints


@dataclass(frozen=True, slots=True)
class Rows:
    """Rows that stand in n windows."""

    group: Ints
    """Window of each, 0 to n - 1; none is empty."""
    values: Floats
    """NaN for none."""
    times: Ints
    """Microseconds since 1970."""
    rank: NDArray[np.int32]
    """Place of the sequence number among all."""
    row: NDArray[np.int32]
    opened: NDArray[np.int32] | None
    """A code of each, of which a window keeps the lowest."""


@dataclass(frozen=True, slots=True)
class Asked:
    """What is wanted of the windows."""

    width_us: int
    """Of the windows, which are aligned to the epoch."""
    error: float
    """Relative, of the quantiles; 0 for no bins."""
    watermark_us: int | None
    """Rows of windows that end at or before it are late."""


@dataclass(frozen=True, slots=True)
class Statistics:
    """Of n windows."""

    whole: Ints
    """Columns of ``parts.WHOLE``."""
    real: Floats
    """Columns of ``parts.REAL``."""
    one: Ints
    """Any row of each."""
    first: Ints
    """Row of the first value by time, sequence number and row; -1 where there is none."""
    last: Ints
    opened: Ints | None
    bins: Bins


FIRST, LAST, OPENED = range(3)
"""Rows of ``Partials.ranks``."""


@dataclass(frozen=True, slots=True)
class Partials:
    """m partials of n windows."""

    group: Ints
    """Window of each, 0 to n - 1; none is empty."""
    whole: Ints
    """Columns of ``parts.WHOLE``."""
    real: Floats
    """Columns of ``parts.REAL``."""
    ranks: NDArray[np.int32]
    """[3, m]: places of the first value's, the last one's and the opener's sequence number among all."""
    bins: Bins
    known: Flags | None = None
    """Whose bins are known, all or none of a window; None for all."""
    before: int = 0
    """So many are merged already, and the others may be few beside them."""


@dataclass(frozen=True, slots=True)
class Merged:
    """Of n windows."""

    whole: Ints
    """Columns of ``parts.WHOLE``."""
    real: Floats
    """Columns of ``parts.REAL``; but the bins' error is the caller's."""
    one: Ints
    """Any partial of each."""
    first: Ints
    """Partial that has the first value of each."""
    last: Ints
    opener: Ints
    """Partial of the lowest position that opened it."""
    bins: Bins
