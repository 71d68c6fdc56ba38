"""Window partials: what is known of one window of one series, so that any two merge into one.

A window's value is the merge of its partials; merging is associative and commutative. Mean and M2 (the sum of
squared deviations from the mean) merge by the pairwise formula of T. F. Chan, G. H. Golub, R. J. LeVeque, "Updating
Formulae and a Pairwise Algorithm for Computing Sample Variances" (1979): they keep their digits where sums of squares
lose them.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from levada.core import columns
from levada.core.records import SERIES, TEXT, TIME
from levada.core.vectors import NO_TIME, ranks, to_arrow, to_numpy

PARTIAL = pa.schema(
    [
        *(pa.field(name, TEXT) for name in SERIES),
        pa.field("window_start", TIME),
        pa.field("width_s", pa.int32()),
        pa.field("count", pa.int64()),  # rows with a value
        pa.field("missing", pa.int64()),  # rows without
        pa.field("sum", pa.float64()),
        pa.field("min", pa.float64()),
        pa.field("max", pa.float64()),
        pa.field("mean", pa.float64()),
        pa.field("m2", pa.float64()),
        pa.field("first_time", TIME),
        pa.field("first_sequence", pa.string()),  # of the raw stream, padded: breaks ties of equal times
        pa.field("first_row", pa.int32()),
        pa.field("first", pa.float64()),
        pa.field("last_time", TIME),
        pa.field("last_sequence", pa.string()),
        pa.field("last_row", pa.int32()),
        pa.field("last", pa.float64()),
        pa.field("late", pa.int64()),  # rows that came after the window had closed
        pa.field("opened", pa.string()),  # clean stream's sequence number that opened it, padded
    ]
)
"""One row per window of a series. Half-open ``[window_start, window_start + width_s)``, aligned to the epoch.
Without a value (count 0), min, max, mean, first, last are null and sum, m2 are 0."""

Ints = NDArray[np.int64]
Floats = NDArray[np.float64]


def from_rows(rows: pa.Table, *, width_s: int, opened: str, watermark_us: int | None) -> pa.Table:
    """Partials of n canonical rows that have a time.

    Args:
        width_s: base window, seconds.
        opened: padded sequence number of the clean stream record that the rows came in.
        watermark_us: rows of windows that end at or before it are counted as late; None for no watermark.
    """
    if not rows.num_rows:
        return columns.empty(PARTIAL)
    with np.errstate(over="ignore", invalid="ignore", divide="ignore"):  # a sum may be larger than any float: inf
        return _from_rows(rows, width_s, opened, watermark_us)


def _from_rows(rows: pa.Table, width_s: int, opened: str, watermark_us: int | None) -> pa.Table:
    times, values, width_us = to_numpy(rows["time"]), to_numpy(rows["value"]), width_s * 1_000_000
    starts = times - times % width_us
    series = _series_codes(rows)
    order = np.lexsort((to_numpy(rows["row"]), ranks(rows["sequence"]), times, starts, series))
    heads = _heads(series[order], starts[order])
    values, times, starts = values[order], times[order], starts[order]
    there = ~np.isnan(values)
    late = np.zeros(len(heads), np.int64)
    if watermark_us is not None:
        late = _sums((starts + width_us <= watermark_us).astype(np.int64), heads)
    first, last = _edges(there, heads)
    table: dict[str, Any] = _statistics(values, there, heads)
    for name, at in (("first", first), ("last", last)):
        found = at >= 0
        picked = np.where(found, at, 0)
        table[f"{name}_time"] = np.where(found, times[picked], NO_TIME)
        table[f"{name}_sequence"] = _texts(rows["sequence"], order[picked], found)
        table[f"{name}_row"] = np.where(found, to_numpy(rows["row"])[order[picked]], -1)
        table[name] = np.where(found, values[picked], np.nan)
    table |= {"window_start": starts[heads], "width_s": np.full(len(heads), width_s), "late": late}
    table["opened"] = pa.repeat(pa.scalar(opened), len(heads))
    return _build(table, rows, order[heads])


def merge(partials: pa.Table | Sequence[pa.Table]) -> pa.Table:
    """One partial per (series, window), sorted by series and window: the merge of all that are given.

    Columns beyond PARTIAL (shard, generation) are dropped. Order of the input never matters.
    """
    tables = [partials] if isinstance(partials, pa.Table) else list(partials)
    table = pa.concat_tables([t.select(PARTIAL.names).cast(PARTIAL) for t in tables] or [columns.empty(PARTIAL)])
    if table.num_rows < 2:
        return table
    with np.errstate(over="ignore", invalid="ignore", divide="ignore"):
        return _merge(table)


def _merge(table: pa.Table) -> pa.Table:
    table = table.unify_dictionaries().combine_chunks()
    starts, series = to_numpy(table["window_start"]), _series_codes(table)
    order = np.lexsort((starts, series))
    heads = _heads(series[order], starts[order])
    if len(heads) == table.num_rows:
        return table.take(pa.array(order))
    get = {
        name: to_numpy(table[name])[order] for name in ("count", "missing", "sum", "mean", "m2", "min", "max", "late")
    }
    count = _sums(get["count"], heads)
    group = np.repeat(np.arange(len(heads)), np.diff(np.append(heads, len(order))))
    weight = get["count"].astype(np.float64)
    means = np.nan_to_num(get["mean"])
    mean = np.where(count > 0, _sums(weight * means, heads) / count, np.nan)
    shift = np.where(weight > 0, means - np.nan_to_num(mean)[group], 0.0)
    out: dict[str, Any] = {name: _sums(get[name], heads) for name in ("count", "missing", "sum", "late")}
    out |= {"mean": mean, "m2": _sums(get["m2"] + weight * shift * shift, heads)}
    out |= {"min": np.fmin.reduceat(get["min"], heads), "max": np.fmax.reduceat(get["max"], heads)}
    _merge_edges(out, table, series, starts, heads)
    opened = np.lexsort((ranks(table["opened"]), starts, series))[heads]
    out |= {"window_start": starts[order][heads], "width_s": to_numpy(table["width_s"])[order][heads]}
    out["opened"] = table["opened"].combine_chunks().take(pa.array(opened))
    return _build(out, table, order[heads])


def _merge_edges(out: dict[str, Any], table: pa.Table, series: Ints, starts: Ints, heads: Ints) -> None:
    tails = np.append(heads[1:], len(starts)) - 1
    for name, at in (("first", heads), ("last", tails)):
        times = to_numpy(table[f"{name}_time"])
        if name == "first":  # partials without a value sort behind all others here, before them for last
            times = np.where(times == NO_TIME, np.iinfo(np.int64).max, times)
        keys = (to_numpy(table[f"{name}_row"]), ranks(table[f"{name}_sequence"]), times, starts, series)
        picked = np.lexsort(keys)[at]
        for part in ("_time", "_row", ""):
            out[name + part] = to_numpy(table[name + part])[picked]
        out[f"{name}_sequence"] = table[f"{name}_sequence"].combine_chunks().take(pa.array(picked))


def _series_codes(table: pa.Table) -> Ints:
    """n codes, equal for equal series, in the order of their names."""
    code = np.zeros(table.num_rows, np.int64)
    for name in SERIES:
        rank = ranks(table[name])
        code = code * (int(rank.max()) + 1) + rank
    return code


def _heads(series: Ints, starts: Ints) -> Ints:
    """Where in sorted rows a new (series, window) begins."""
    new = np.ones(len(series), bool)
    new[1:] = (series[1:] != series[:-1]) | (starts[1:] != starts[:-1])
    return np.flatnonzero(new)


def _sums(values: NDArray[Any], heads: Ints) -> NDArray[Any]:
    return np.add.reduceat(values, heads)


def _statistics(values: Floats, there: NDArray[np.bool_], heads: Ints) -> dict[str, Any]:
    count = _sums(there.astype(np.int64), heads)
    sizes = np.diff(np.append(heads, len(values)))
    total = _sums(np.where(there, values, 0.0), heads)
    mean = np.where(count > 0, total / np.maximum(count, 1), np.nan)
    off = np.where(there, values - np.repeat(mean, sizes), 0.0)
    # a second pass over the deviations takes back what rounding lost in the mean
    mean = mean + np.where(count > 0, _sums(off, heads) / np.maximum(count, 1), 0.0)
    off = np.where(there, values - np.repeat(mean, sizes), 0.0)
    return {
        "count": count,
        "missing": sizes - count,
        "sum": total,
        "mean": mean,
        "m2": _sums(off * off, heads),
        "min": np.fmin.reduceat(values, heads),
        "max": np.fmax.reduceat(values, heads),
    }


def _edges(there: NDArray[np.bool_], heads: Ints) -> tuple[Ints, Ints]:
    """Index of the first and the last row with a value in each group; -1 where none has one."""
    n = len(there)
    index = np.arange(n)
    first = np.minimum.reduceat(np.where(there, index, n), heads)
    last = np.maximum.reduceat(np.where(there, index, -1), heads)
    return np.where(first == n, -1, first), last


def _texts(column: pa.ChunkedArray, index: Ints, found: NDArray[np.bool_]) -> pa.Array:
    taken = column.take(pa.array(index)).cast(pa.string()).combine_chunks()
    return pc.if_else(pa.array(found), taken, pa.scalar(None, pa.string()))


def _build(values: dict[str, Any], keys: pa.Table, at: Ints) -> pa.Table:
    """A PARTIAL table from numpy columns and the key columns of these rows."""
    index = pa.array(at)
    arrays = []
    for spec in PARTIAL:
        if spec.name in SERIES:
            arrays.append(keys[spec.name].take(index).cast(spec.type))
        else:
            value = values[spec.name]
            arrays.append(value if isinstance(value, pa.Array | pa.ChunkedArray) else to_arrow(value, spec.type))
    return pa.table(arrays, schema=PARTIAL)
