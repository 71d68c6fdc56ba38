"""Partials of the same windows to the windows' statistics: by the compiled kernels, or by reductions."""

from __future__ import annotations

import numpy as np

from levada.core import bins, native, reductions
from levada.core.native import windows as kernels
from levada.core.parts import REAL, WHOLE
from levada.core.statistics import FIRST, LAST, OPENED, Merged, Partials

SETTLING = ("m2", "mean_low", "mean", "sum", "count")
"""What the order of sums is chosen by: all that is summed up."""
SUMMED = ("count", "missing", "late", "sum")


def merged(parts: Partials, n: int) -> Merged:
    """The order of the partials never matters, not even for the last bit of a sum."""
    if (library := native.library()) is not None:
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
