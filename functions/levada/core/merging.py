"""Merging of window partials: groups of equal series and window, each statistic by a reduction of its own."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from levada.core import bins, distinct, groups, reductions
from levada.core.bins import Bins
from levada.core.groups import Floats, Ints
from levada.core.parts import Parts, concat
from levada.core.records import SERIES
from levada.core.vectors import Coded, ranks_of

SUMMED = ("count", "missing", "sum", "late")
SETTLING = ("m2", "mean_low", "mean", "sum", "count")
"""What the order of sums is chosen by: all that is summed up."""


def merged(parts: Sequence[Parts]) -> Parts:
    """One partial per (series, window), sorted by series and window: the merge of all that are given, at least one.

    The order of the input never matters, not even for the last bit of a sum: what stands in one group is put in an
    order of its own first.
    """
    whole = concat(parts)
    if len(whole) < 2:
        return whole
    with np.errstate(over="ignore", invalid="ignore", divide="ignore"):
        return _merged(whole, len(parts[0]))


def _merged(whole: Parts, before: int) -> Parts:
    group, n = _groups(whole)
    if n == len(whole):  # nothing to merge: all are of different windows
        at = np.empty(n, np.int64)
        at[group] = np.arange(n)
        return whole.take(at)
    error, found = _bins(whole, before, group, n)
    sketches = distinct.merged(whole.sketches, group, n)
    get, texts = whole.numbers, whole.texts
    order = reductions.settled(group, n, tuple(get[name] for name in SETTLING))
    if order is not None:
        group = group[order]
        get = {name: values[order] for name, values in get.items()}
        texts = {name: text.take(order) for name, text in texts.items()}
    one = np.empty(n, np.int64)
    one[group] = np.arange(len(group))
    named = {name: texts[name].take(one) for name in SERIES}
    out: dict[str, NDArray[Any]] = {name: get[name][one] for name in ("window_start", "width_s")}
    out |= {name: reductions.sums(get[name], group, n) for name in SUMMED}
    out |= reductions.merged_moments(get, group, out["count"])
    out |= {"min": reductions.lowest(get["min"], group, n), "max": reductions.highest(get["max"], group, n)}
    for name, last in (("first", False), ("last", True)):
        sequence = texts[f"{name}_sequence"]
        at = reductions.pick(get[f"{name}_time"], sequence, get[f"{name}_row"], group, n, last=last)
        out |= {name + part: get[name + part][at] for part in ("_time", "_row", "")}
        named[f"{name}_sequence"] = sequence.take(at)
    named["opened"] = _first_opened(texts["opened"], group, one)
    return Parts(out | {"bin_error": error}, named, found, sketches)


def _groups(whole: Parts) -> tuple[Ints, int]:
    """(window of each partial, how many windows); windows are numbered by series and start."""
    code, bound = groups.codes_of_series(whole.texts, len(whole))
    seconds = whole.numbers["window_start"] // 1_000_000  # a window starts at a whole one
    lowest = int(seconds.min())
    window, count = groups.dense(seconds - lowest, int(seconds.max()) - lowest + 1)
    code, bound = groups.combine(code, bound, window, count)
    return groups.dense(code, bound)


def _first_opened(opened: Coded, group: Ints, one: Ints) -> Coded:
    """Of each group the lowest position that opened it; one: any partial of each."""
    if len(opened.dictionary) < 2:
        return opened.take(one)
    ranked = ranks_of(opened)
    best = reductions.lowest(ranked, group, len(one))
    hits = np.flatnonzero(ranked == best[group])
    at = one.copy()
    at[group[hits]] = hits
    return opened.take(at)


def _bins(whole: Parts, before: int, group: Ints, n: int) -> tuple[Floats, Bins]:
    """(error, bins) of n groups: of equal error they add up; of different ones (the domain's setting has changed) no
    quantile is known."""
    errors, count = whole.numbers["bin_error"], whole.numbers["count"]
    if (errors == errors[0]).all():
        error = np.full(n, errors[0])
    else:
        relevant = np.where(count > 0, errors, np.nan)
        least, most = reductions.lowest(relevant, group, n), reductions.highest(relevant, group, n)
        error = np.where(np.isnan(least), reductions.highest(errors, group, n), np.where(least == most, most, 0.0))
    known = (error > 0)[group]
    return error, bins.merged(whole.bins, group, n, None if known.all() else known, before=before)
