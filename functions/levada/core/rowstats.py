"""Rows that stand in windows to the windows' statistics: by the compiled kernels, or by one sort and reductions."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from levada.core import bins, groups, native, reductions
from levada.core.groups import Ints
from levada.core.native import windows as kernels
from levada.core.parts import REAL, WHOLE
from levada.core.statistics import Asked, Rows, Statistics
from levada.core.vectors import NO_TIME

ABSENT = {"min": np.nan, "max": np.nan, "mean": np.nan, "first": np.nan, "last": np.nan}
ABSENT |= {"first_time": NO_TIME, "last_time": NO_TIME, "first_row": -1, "last_row": -1}
"""What stands in a window without a value where that is not 0."""


def windows(times: Ints, width_us: int, series: Ints, bound: int) -> tuple[Ints, int]:
    """(window of each row, how many windows) of at least one row; windows are numbered by time and then series.

    Args:
        series: code of each row's series, in [0, bound).
    """
    library = native.library()
    if library is not None and (found := kernels.windows(library, times, width_us, series, bound)) is not None:
        return found
    return windows_in_numpy(times, width_us, series, bound)


def windows_in_numpy(times: Ints, width_us: int, series: Ints, bound: int) -> tuple[Ints, int]:
    """As ``windows``."""
    number = times // width_us
    lowest = int(number.min())
    code, bound = groups.combine(number - lowest, int(number.max()) - lowest + 1, series, bound)
    return groups.dense(code, bound)


def statistics(rows: Rows, n: int, asked: Asked) -> Statistics:
    """Of at least one row."""
    if (library := native.library()) is not None:
        return kernels.statistics(library, rows, n, asked)
    return in_numpy(rows, n, asked)


@np.errstate(over="ignore", invalid="ignore", divide="ignore")  # a sum may be larger than any float: inf
def in_numpy(rows: Rows, n: int, asked: Asked) -> Statistics:
    """As ``statistics``."""
    there = ~np.isnan(rows.values)
    kept = None if there.all() else np.flatnonzero(there)
    plain = rows.values + 0.0  # no negative zeros: of two equal values it would matter which
    some: tuple[NDArray[Any], ...] = (rows.group, plain, rows.times, rows.rank, rows.row)
    group, values, times, rank, row = some if kept is None else (column[kept] for column in some)
    count = np.bincount(group, minlength=n)
    order, lists = bins.ordered(values, group, n, asked.error)
    filled = np.flatnonzero(count)
    runs = reductions.Runs.of(order, count[filled])
    found: dict[str, NDArray[Any]] = runs.statistics(values)
    edges = runs.edges(times % asked.width_us, rank, row)
    for name, at in zip(("first", "last"), edges, strict=True):
        found |= {f"{name}_time": times[at], f"{name}_row": row[at], name: values[at]}
    if len(filled) < n:
        found = {name: _spread(column, filled, n, ABSENT.get(name, 0)) for name, column in found.items()}
    first, last = (_spread(at if kept is None else kept[at], filled, n, -1) for at in edges)
    one = np.empty(n, np.int64)
    one[rows.group] = np.arange(len(rows.group))
    starts, size = rows.times[one] // asked.width_us * asked.width_us, np.bincount(rows.group, minlength=n)
    past = asked.watermark_us is not None and starts + asked.width_us <= asked.watermark_us
    found |= {"count": count, "missing": size - count, "late": np.where(past, size, 0), "window_start": starts}
    found |= {"width_s": np.full(n, asked.width_us // 1_000_000), "bin_error": np.full(n, asked.error)}
    opened = None if rows.opened is None else reductions.lowest(rows.opened, rows.group, n)
    whole, real = (np.stack([found[name] for name in names]) for names in (WHOLE, REAL))
    return Statistics(whole, real, one, first, last, opened, lists)


def _spread(values: NDArray[Any], at: Ints, n: int, fill: float) -> NDArray[Any]:
    """n values: these at their places, the other ones where there is none."""
    out = np.full(n, fill, values.dtype)
    out[at] = values
    return out
