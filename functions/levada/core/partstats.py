"""Partials of the same windows to the windows' statistics: by the compiled kernels, or by reductions."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from levada.core import bins, native, reductions
from levada.core.bins import Bins
from levada.core.groups import Flags, Floats, Ints
from levada.core.parts import REAL, WHOLE

SETTLING = ("m2", "mean_low", "mean", "sum", "count")
"""What the order of sums is chosen by: all that is summed up."""
SUMMED = ("count", "missing", "late", "sum")
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


def merged(parts: Partials, n: int) -> Merged:
    """The order of the partials never matters, not even for the last bit of a sum."""
    if (library := native.library()) is not None:
        from levada.core.native import windows as kernels  # which reads the types of this module

        return kernels.merged(library, parts, n)
    return in_numpy(parts, n)


@np.errstate(over="ignore", invalid="ignore", divide="ignore")  # a sum may be larger than any float: inf
def in_numpy(parts: Partials, n: int) -> Merged:
    """As ``merged``."""
    group = parts.group
    given = dict(zip((*WHOLE, *REAL), (*parts.whole, *parts.real), strict=True))
    lists = bins.merged(parts.bins, group, n, parts.known, before=parts.before)
    picks = {}
    for name, place in (("first", FIRST), ("last", LAST)):
        edges = (given[f"{name}_time"], parts.ranks[place], given[f"{name}_row"])
        picks[name] = reductions.pick(*edges, group, n, last=name == "last")
    opener = reductions.lowest_at(parts.ranks[OPENED], group, n)
    out = {name + part: given[name + part][at] for name, at in picks.items() for part in ("_time", "_row", "")}
    out |= {name: given[name][opener] for name in ("window_start", "width_s", "bin_error")}
    order = reductions.settled(group, n, tuple(given[name] for name in SETTLING))
    if order is not None:
        group = group[order]
        given = {name: values[order] for name, values in given.items()}
    out |= {name: reductions.sums(given[name], group, n) for name in SUMMED}
    out |= reductions.merged_moments(given, group, out["count"])
    out |= {"min": reductions.lowest(given["min"], group, n), "max": reductions.highest(given["max"], group, n)}
    whole, real = (np.stack([out[name] for name in names]) for names in (WHOLE, REAL))
    return Merged(whole, real, opener, picks["first"], picks["last"], opener, lists)
