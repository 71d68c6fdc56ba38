"""Canonical rows to window partials: one sort of the rows by window and quantile bin, then reductions of runs."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from levada.core import bins, distinct, groups, reductions
from levada.core.bins import Bins
from levada.core.groups import Floats, Ints
from levada.core.parts import Parts
from levada.core.records import SERIES
from levada.core.vectors import NO_TIME, Coded, coded, ranks_of, to_numpy

ABSENT = {"min": np.nan, "max": np.nan, "mean": np.nan, "first": np.nan, "last": np.nan}
ABSENT |= {"first_time": NO_TIME, "last_time": NO_TIME, "first_row": -1, "last_row": -1}
"""What stands in a window without a value where that is not 0."""


@dataclass(frozen=True, slots=True)
class _Rows:
    """Rows that stand in n windows."""

    times: Ints
    offset: Ints
    """Time in the window."""
    values: Floats
    sequence: Coded
    row: NDArray[Any]
    group: Ints
    """Window of each, 0 to n - 1."""

    def take(self, at: Ints) -> _Rows:
        some = (self.times[at], self.offset[at], self.values[at], self.sequence.take(at), self.row[at], self.group[at])
        return _Rows(*some)


def of_rows(
    table: pa.Table,
    *,
    width_s: int,
    opened: str | pa.DictionaryArray,
    watermark_us: int | None,
    quantile_error: float,
) -> Parts:
    """As ``partials.from_rows``, in numpy, of at least one row."""
    with np.errstate(over="ignore", invalid="ignore", divide="ignore"):  # a sum may be larger than any float: inf
        return _of_rows(table, width_s, opened, watermark_us, quantile_error)


def _of_rows(
    table: pa.Table, width_s: int, opened: str | pa.DictionaryArray, watermark_us: int | None, error: float
) -> Parts:
    times, width_us = to_numpy(table["time"]), width_s * 1_000_000
    windows = times // width_us
    lowest = int(windows.min())
    texts = groups.text_columns([table], (*SERIES, "sequence"))
    series, bound = groups.codes_of_series(texts, len(times))
    code, bound = groups.combine(windows - lowest, int(windows.max()) - lowest + 1, series, bound)
    group, n = groups.dense(code, bound)
    values = to_numpy(table["value"]) + 0.0  # no negative zeros: of two equal values it would matter which
    row = to_numpy(table["row"])
    rows = _Rows(times, times - windows * width_us, values, texts["sequence"], row, group)
    numbers, named, found = _valued(rows, n, float(error))
    one = np.empty(n, np.int64)  # any row of each window, for what all of them share
    one[group] = np.arange(len(group))
    starts = windows[one] * width_us
    size = np.bincount(group, minlength=n)
    late = np.zeros(n, np.int64) if watermark_us is None else np.where(starts + width_us <= watermark_us, size, 0)
    numbers |= {"window_start": starts, "width_s": np.full(n, width_s), "late": late}
    numbers |= {"missing": size - numbers["count"], "bin_error": np.full(n, float(error))}
    named |= {name: texts[name].take(one) for name in SERIES}
    named["opened"] = _opened(opened, group, n)
    asked = "distinct" in table.schema.names
    sketches = distinct.of_texts(table["distinct"], group, n) if asked else pa.nulls(n, pa.binary())
    return Parts(numbers, named, found, sketches)


def _valued(rows: _Rows, n: int, error: float) -> tuple[dict[str, NDArray[Any]], dict[str, Coded], Bins]:
    """What only rows with a value have a part in: (numbers, texts, bins) of n windows."""
    missing = np.isnan(rows.values)
    if missing.any():
        rows = rows.take(np.flatnonzero(~missing))
    size = np.bincount(rows.group, minlength=n)
    order, found = bins.ordered(rows.values, rows.group, n, error)
    there = np.flatnonzero(size)
    runs = reductions.Runs.of(order, size if len(there) == n else size[there])
    numbers: dict[str, NDArray[Any]] = runs.statistics(rows.values)
    first, last = runs.edges(rows.offset, ranks_of(rows.sequence), rows.row)
    named = {}
    for name, at in (("first", first), ("last", last)):
        numbers |= {f"{name}_time": rows.times[at], f"{name}_row": rows.row[at], name: rows.values[at]}
        named[f"{name}_sequence"] = rows.sequence.codes[at]
    if len(there) < n:
        numbers = {name: _spread(some, there, n, ABSENT.get(name, 0)) for name, some in numbers.items()}
        named = {name: _spread(some, there, n, -1) for name, some in named.items()}
    numbers["count"] = size
    return numbers, {name: Coded(codes, rows.sequence.dictionary) for name, codes in named.items()}, found


def _spread(values: NDArray[Any], at: Ints, n: int, fill: float) -> NDArray[Any]:
    """n values: these at their places, the other ones where there is none."""
    out = np.full(n, fill, values.dtype)
    out[at] = values
    return out


def _opened(opened: str | pa.DictionaryArray, group: Ints, n: int) -> Coded:
    if isinstance(opened, str):
        return Coded(np.zeros(n, np.int32), pa.array([opened], pa.string()))
    texts = coded([opened])
    if len(texts.dictionary) == 1:
        return Coded(np.zeros(n, np.int32), texts.dictionary)
    return Coded(reductions.lowest(texts.codes, group, n), texts.dictionary)
