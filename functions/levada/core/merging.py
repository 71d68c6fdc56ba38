"""Merging of window partials: groups of equal series and window, one partial of each."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from levada.core import distinct, groups, partstats, reductions, rowstats
from levada.core.groups import Floats, Ints
from levada.core.parts import REAL, Parts, concat
from levada.core.records import SERIES
from levada.core.statistics import Partials
from levada.core.vectors import ranks_of, taken

POSITIONS = ("first_sequence", "last_sequence", "opened")
"""In the order of ``statistics.FIRST``, LAST, OPENED."""
EXACT = 1 << 53
"""Up to here a float64 holds every whole number, and the kernel of windows reckons with these."""


def merged(parts: Sequence[Parts]) -> Parts:
    """One partial per (series, window), sorted by series and window: the merge of all that are given, at least one.

    The order of the input never matters, not even for the last bit of a sum: what stands in one group is put in an
    order of its own first.
    """
    whole = concat(parts)
    if len(whole) < 2:
        return whole
    return _merged(whole, len(parts[0]))


def _merged(whole: Parts, before: int) -> Parts:
    group, n = _groups(whole)
    if n == len(whole):  # nothing to merge: all are of different windows
        at = np.empty(n, np.int64)
        at[group] = np.arange(n)
        return whole.take(at)
    texts = whole.texts
    error = _error(whole, group, n)
    known = None if (error > 0).all() else (error > 0)[group]
    ranks = np.empty((len(POSITIONS), len(whole)), np.int32)
    for row, name in zip(ranks, POSITIONS, strict=True):
        row[:] = ranks_of(texts[name])
    found = partstats.merged(Partials(group, whole.whole, whole.real, ranks, whole.bins, known, before), n)
    found.real[REAL.index("bin_error")] = error
    named = taken({name: texts[name] for name in SERIES}, found.one, n)
    picked = zip(POSITIONS, (found.first, found.last, found.opener), strict=True)
    named |= {name: texts[name].take(at) for name, at in picked}
    return Parts(found.whole, found.real, named, found.bins, distinct.merged(whole.sketches, group, n))


def _groups(whole: Parts) -> tuple[Ints, int]:
    """(window of each partial, how many windows); windows are numbered by series and start."""
    code, bound = groups.codes_of_series(whole.texts, len(whole))
    nothing = np.zeros(len(whole), np.int64)
    window, count = rowstats.windows(whole["window_start"], 1_000_000, nothing, 1)  # a window starts at a whole second
    if bound > EXACT:
        return groups.dense(*groups.combine(code, bound, window, count))
    return rowstats.windows(code, 1, window, count)  # which numbers by the first and then the second


def _error(whole: Parts, group: Ints, n: int) -> Floats:
    """Relative error of n windows' quantiles: of equal ones bins add up; of different ones (the domain's setting has
    changed) no quantile is known, 0."""
    errors, count = whole["bin_error"], whole["count"]
    if (errors == errors[0]).all():
        return np.full(n, errors[0])
    relevant = np.where(count > 0, errors, np.nan)
    least, most = reductions.lowest(relevant, group, n), reductions.highest(relevant, group, n)
    return np.where(np.isnan(least), reductions.highest(errors, group, n), np.where(least == most, most, 0.0))
