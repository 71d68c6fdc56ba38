"""Window partials: what is known of one window of one series, so that any two merge into one.

A window's value is the merge of its partials; merging is associative and commutative. Mean and M2 (the sum of
squared deviations from the mean) merge by the pairwise formula of T. F. Chan, G. H. Golub, R. J. LeVeque, "Updating
Formulae and a Pairwise Algorithm for Computing Sample Variances" (1979): they keep their digits where sums of squares
lose them. Quantiles and distinct counts are sketches that merge exactly (``core/bins.py``, ``core/distinct.py``).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pyarrow as pa

from levada.core import bins, columns, distinct, groups, reductions
from levada.core.groups import Floats, Ints
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
        pa.field("first_sequence", TEXT),  # of the raw stream, padded: breaks ties of equal times
        pa.field("first_row", pa.int32()),
        pa.field("first", pa.float64()),
        pa.field("last_time", TIME),
        pa.field("last_sequence", TEXT),
        pa.field("last_row", pa.int32()),
        pa.field("last", pa.float64()),
        pa.field("late", pa.int64()),  # rows that came after the window had closed
        pa.field("opened", TEXT),  # clean stream's sequence number that opened it, padded
        pa.field("bin_error", pa.float64()),  # relative error of the quantiles; 0 where they are not known
        pa.field("bin_keys", bins.KEYS),  # ascending: which bins hold values
        pa.field("bin_counts", bins.COUNTS),  # how many each of them holds
        pa.field("distinct_sketch", pa.binary()),  # HyperLogLog of a rollup's distinct column; null where none
    ]
)
"""One row per window of a series. Half-open ``[window_start, window_start + width_s)``, aligned to the epoch.
Without a value (count 0), min, max, mean, first, last are null and sum, m2 are 0."""

SUMMED = ("count", "missing", "sum", "late")


def conform(table: pa.Table) -> pa.Table:
    """PARTIAL rows of a table that may have further columns (dropped), or lack those that an older version had not."""
    n = table.num_rows
    absent: dict[str, Any] = {
        "bin_error": columns.zeros(n, pa.float64()),
        **dict(zip(("bin_keys", "bin_counts"), bins.empty(n), strict=True)),
        "distinct_sketch": pa.nulls(n, pa.binary()),
    }
    there = set(table.schema.names)
    arrays = [table[f.name] if f.name in there or f.name not in absent else absent[f.name] for f in PARTIAL]
    return pa.table(arrays, names=PARTIAL.names).cast(PARTIAL)


def from_rows(
    rows: pa.Table,
    *,
    width_s: int,
    opened: str | pa.DictionaryArray,
    watermark_us: int | None,
    quantile_error: float = 0.01,
) -> pa.Table:
    """Partials of n canonical rows that have a time, sorted by series and window.

    Args:
        rows: MEASUREMENT; a further column ``distinct`` (text) is counted by its distinct values.
        width_s: base window, seconds.
        opened: padded sequence number of the clean stream record that the rows came in, one or n of them, ascending.
        watermark_us: rows of windows that end at or before it are counted as late; None for no watermark.
        quantile_error: relative error of quantiles; 0 for none.
    """
    if not rows.num_rows:
        return columns.empty(PARTIAL)
    rows = rows.unify_dictionaries().combine_chunks()
    with np.errstate(over="ignore", invalid="ignore", divide="ignore"):  # a sum may be larger than any float: inf
        return _from_rows(rows, width_s, opened, watermark_us, quantile_error)


def _from_rows(
    rows: pa.Table, width_s: int, opened: str | pa.DictionaryArray, watermark_us: int | None, error: float
) -> pa.Table:
    times, width_us = to_numpy(rows["time"]), width_s * 1_000_000
    windows = times // width_us
    lowest = int(windows.min())
    code, bound = groups.series_codes(rows)
    code, bound = groups.combine(code, bound, windows - lowest, int(windows.max()) - lowest + 1)
    order = _in_stream_order(rows, code, bound)
    heads = groups.heads_of(code[order])
    n = len(heads)
    group = np.repeat(np.arange(n), groups.sizes_of(heads, len(order)))
    values = to_numpy(rows["value"])[order] + 0.0  # no negative zeros: of two equal values it would matter which
    there = ~np.isnan(values)
    starts = windows[order[heads]] * width_us
    table = reductions.statistics(values, there, heads, group)
    for name, at in zip(("first", "last"), reductions.edges(times[order], there, heads), strict=True):
        table |= _edge(name, rows, np.where(at < 0, -1, order[at]))
    late = starts + width_us <= (np.iinfo(np.int64).min if watermark_us is None else watermark_us)
    table |= {"window_start": starts, "width_s": np.full(n, width_s), "late": np.where(late, table["rows"], 0)}
    table["opened"] = columns.constant(opened, n) if isinstance(opened, str) else _least(opened, order, heads)
    table["bin_error"] = np.full(n, float(error))
    kept = slice(None) if there.all() else there
    table["bin_keys"], table["bin_counts"] = bins.of_values(values[kept], group[kept], n, error)
    with_distinct = "distinct" in rows.schema.names
    sketches = distinct.of_texts(rows["distinct"].take(pa.array(order)), group, n) if with_distinct else None
    table["distinct_sketch"] = pa.nulls(n, pa.binary()) if sketches is None else sketches
    return _build(table, rows, order[heads])


def _in_stream_order(rows: pa.Table, code: Ints, bound: int) -> Ints:
    """Order by code, then position; a batch's rows stand in the order of their positions already."""
    order = groups.stable_order(code, bound)
    sequence, row = ranks(rows["sequence"]).astype(np.int64), to_numpy(rows["row"])
    position = sequence * (int(row.max()) + 1) + row
    ordered = position[order]
    if (np.diff(ordered) >= 0)[np.diff(code[order]) == 0].all():
        return order
    return np.lexsort((position, code))


def _edge(name: str, rows: pa.Table, at: Ints) -> dict[str, Any]:
    """Value, time and position of these rows; of none where at is -1."""
    found, index = at >= 0, np.maximum(at, 0)
    return {
        f"{name}_time": np.where(found, to_numpy(rows["time"])[index], NO_TIME),
        f"{name}_sequence": _texts(rows["sequence"], index, found),
        f"{name}_row": np.where(found, to_numpy(rows["row"])[index], -1),
        name: np.where(found, to_numpy(rows["value"])[index] + 0.0, np.nan),
    }


def _least(opened: pa.DictionaryArray, order: Ints, heads: Ints) -> pa.DictionaryArray:
    least = np.minimum.reduceat(to_numpy(opened.indices)[order], heads)
    return pa.DictionaryArray.from_arrays(pa.array(least), opened.dictionary)


def merge(partials: pa.Table | Sequence[pa.Table]) -> pa.Table:
    """One partial per (series, window), sorted by series and window: the merge of all that are given.

    Columns beyond PARTIAL (shard, generation) are dropped. The order of the input never matters, not even for the last
    bit of a sum: what stands in one group is put in an order of its own first.
    """
    tables = [partials] if isinstance(partials, pa.Table) else list(partials)
    table = pa.concat_tables([conform(t) for t in tables] or [columns.empty(PARTIAL)])
    if table.num_rows < 2:
        return table
    with np.errstate(over="ignore", invalid="ignore", divide="ignore"):
        return _merge(table.unify_dictionaries().combine_chunks())


def _merge(table: pa.Table) -> pa.Table:
    windows = to_numpy(table["window_start"])
    code, bound = groups.series_codes(table)
    found, place = np.unique(windows, return_inverse=True)
    code, bound = groups.combine(code, bound, place, len(found))
    order = groups.stable_order(code, bound)
    heads = groups.heads_of(code[order])
    sizes = groups.sizes_of(heads, len(order))
    alone = table.take(pa.array(order[heads]))
    many = np.flatnonzero(sizes > 1)
    if not len(many):
        return alone
    members = order[np.repeat(sizes > 1, sizes)]
    together = _reduce(table.take(pa.array(members)).combine_chunks(), np.repeat(np.arange(len(many)), sizes[many]))
    index = np.arange(len(heads))
    index[many] = len(heads) + np.arange(len(many))
    both = pa.concat_tables([alone, together]).unify_dictionaries().combine_chunks()
    return both.take(pa.array(index)).combine_chunks()


def _reduce(table: pa.Table, group: Ints) -> pa.Table:
    """One partial per group; group: of each partial, ascending."""
    get = {f.name: to_numpy(table[f.name]) for f in PARTIAL if f.type in (pa.int64(), pa.float64())}
    # equal contributions may stand in any order, so this one is complete as far as sums can tell
    order = np.lexsort((get["m2"], get["mean"], get["sum"], get["count"], group))
    table, group, get = table.take(pa.array(order)), group[order], {name: v[order] for name, v in get.items()}
    heads = groups.heads_of(group)
    n = len(heads)
    out: dict[str, Any] = {name: np.add.reduceat(get[name], heads) for name in SUMMED}
    out |= reductions.merged_moments(get["count"], get["mean"], get["m2"], out["count"], heads, group)
    out |= {"min": np.fmin.reduceat(get["min"], heads), "max": np.fmax.reduceat(get["max"], heads)}
    for name, last in (("first", False), ("last", True)):
        times, row = to_numpy(table[f"{name}_time"]), to_numpy(table[f"{name}_row"])
        at = reductions.pick(times, table[f"{name}_sequence"], row, heads, group, last=last)
        out |= {name + part: to_numpy(table[name + part])[at] for part in ("_time", "_row", "")}
        out[f"{name}_sequence"] = _flat(table[f"{name}_sequence"]).take(pa.array(at))
    out["opened"] = _flat(table["opened"]).take(pa.array(np.lexsort((ranks(table["opened"]), group))[heads]))
    out |= {name: to_numpy(table[name])[heads] for name in ("window_start", "width_s")}
    out |= _merged_bins(table, group, n, get["bin_error"], get["count"])
    out["distinct_sketch"] = distinct.merged(table["distinct_sketch"], group, n)
    return _build(out, table, heads)


def _merged_bins(table: pa.Table, group: Ints, n: int, errors: Floats, count: Ints) -> dict[str, Any]:
    """Bins of equal error add up; of different ones (the domain's setting has changed) no quantile is known."""
    least, most = np.full(n, np.inf), np.full(n, -1.0)
    with_values = count > 0
    np.minimum.at(least, group[with_values], errors[with_values])
    np.maximum.at(most, group[with_values], errors[with_values])
    most = np.where(most < 0, np.maximum.reduceat(errors, groups.heads_of(group)), most)  # nothing has a value
    error = np.where(np.isinf(least) | (least == most), most, 0.0)
    known = error[group] > 0
    keys, counts = _flat(table["bin_keys"]), _flat(table["bin_counts"])
    if not known.all():
        at = pa.array(np.flatnonzero(known))
        keys, counts, group = keys.take(at), counts.take(at), group[known]
    merged_keys, merged_counts = bins.merged(keys, counts, group, n)
    return {"bin_error": error, "bin_keys": merged_keys, "bin_counts": merged_counts}


def quantiles(partials: pa.Table, wanted: Sequence[float]) -> list[Floats]:
    """For each wanted q in [0, 1] the q-quantile of each of n partials; NaN where not known. See ``core/bins.py``."""
    low, high = to_numpy(partials["min"]), to_numpy(partials["max"])
    found = bins.quantiles(partials["bin_keys"], partials["bin_counts"], to_numpy(partials["bin_error"]), wanted)
    return [np.clip(values, low, high) for values in found]


def stddev(partials: pa.Table) -> Floats:
    """Sample standard deviation of each of n partials; NaN where there are fewer than two values."""
    count, m2 = to_numpy(partials["count"]), to_numpy(partials["m2"])
    return np.where(count > 1, np.sqrt(m2 / np.maximum(count - 1, 1)), np.nan)


def _flat(column: pa.ChunkedArray) -> Any:
    return column.chunk(0) if column.num_chunks == 1 else column.combine_chunks()


def _texts(column: pa.ChunkedArray, index: Ints, found: groups.Flags) -> pa.DictionaryArray:
    codes = to_numpy(_flat(column).indices)[index]
    return pa.DictionaryArray.from_arrays(pa.array(codes, mask=~found), _flat(column).dictionary)


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
