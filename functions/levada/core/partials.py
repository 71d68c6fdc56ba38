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
from levada.core.vectors import NO_TIME, Coded, coded, ranks_of, to_arrow, to_numpy

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
        pa.field("mean_low", pa.float64()),  # what is left of the mean beyond a float64's digits: see reductions.py
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
TEXTS = tuple(f.name for f in PARTIAL if f.type == TEXT)
NUMBERS = tuple(f.name for f in PARTIAL if f.type in (TIME, pa.int32(), pa.int64(), pa.float64()))


def conform(table: pa.Table) -> pa.Table:
    """PARTIAL rows of a table that may have further columns (dropped), or lack those that an older version had not."""
    if table.schema.equals(PARTIAL):
        return table
    n = table.num_rows
    absent: dict[str, Any] = {
        "mean_low": columns.zeros(n, pa.float64()),
        "bin_error": columns.zeros(n, pa.float64()),
        **dict(zip(("bin_keys", "bin_counts"), bins.empty(n), strict=True)),
        "distinct_sketch": pa.nulls(n, pa.binary()),
    }
    there = set(table.schema.names)
    arrays = [table[f.name] if f.name in there or f.name not in absent else absent[f.name] for f in PARTIAL]
    alike = [array if array.type == f.type else _alike(array, f) for array, f in zip(arrays, PARTIAL, strict=True)]
    return pa.table(alike, schema=PARTIAL)


def _alike(array: pa.ChunkedArray, wanted: pa.Field) -> Any:
    return bins.wide(array) if wanted.name == "bin_counts" else array.cast(wanted.type)


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
        rows: MEASUREMENT (time, series, value, sequence and row of it are looked at); a further column ``distinct``
            (text) is counted by its distinct values.
        width_s: base window, seconds.
        opened: padded sequence number of the clean stream record that the rows came in, one or n of them; of several
            in one window that counts which stands first in the dictionary.
        watermark_us: rows of windows that end at or before it are counted as late; None for no watermark.
        quantile_error: relative error of quantiles; 0 for none.
    """
    if not rows.num_rows:
        return columns.empty(PARTIAL)
    with np.errstate(over="ignore", invalid="ignore", divide="ignore"):  # a sum may be larger than any float: inf
        return _from_rows(rows, width_s, opened, watermark_us, quantile_error)


def _from_rows(
    rows: pa.Table, width_s: int, opened: str | pa.DictionaryArray, watermark_us: int | None, error: float
) -> pa.Table:
    times, width_us = to_numpy(rows["time"]), width_s * 1_000_000
    windows = times // width_us
    lowest = int(windows.min())
    texts = groups.text_columns([rows], (*SERIES, "sequence"))
    code, bound = groups.codes_of_series(texts, len(times))
    code, bound = groups.combine(code, bound, windows - lowest, int(windows.max()) - lowest + 1)
    group, n = groups.dense(code, bound)
    one = np.empty(n, np.int64)  # any row of each window, for what all of them share
    one[group] = np.arange(len(group))
    starts = windows[one] * width_us
    size = np.bincount(group, minlength=n)
    values = to_numpy(rows["value"]) + 0.0  # no negative zeros: of two equal values it would matter which
    table = _values(rows, texts["sequence"], times, times - windows * width_us, values, group, n, error)
    table["missing"] = size - table["count"]
    table |= {name: texts[name].take(one) for name in SERIES}
    late = np.zeros(n, bool) if watermark_us is None else starts + width_us <= watermark_us
    table |= {"window_start": starts, "width_s": np.full(n, width_s), "late": np.where(late, size, 0)}
    table["opened"] = columns.constant(opened, n) if isinstance(opened, str) else _least(coded([opened]), group, n)
    table["bin_error"] = np.full(n, float(error))
    asked = "distinct" in rows.schema.names
    table["distinct_sketch"] = distinct.of_texts(rows["distinct"], group, n) if asked else pa.nulls(n, pa.binary())
    return _build(table)


def _values(
    rows: pa.Table, sequence: Coded, times: Ints, offset: Ints, values: Floats, group: Ints, n: int, error: float
) -> dict[str, Any]:
    """What only rows with a value have a part in."""
    row = to_numpy(rows["row"])
    if np.isnan(values).any():
        there = np.flatnonzero(~np.isnan(values))
        times, offset, values, group, row = times[there], offset[there], values[there], group[there], row[there]
        sequence = Coded(sequence.codes[there], sequence.dictionary)
    table = reductions.statistics(values, group, n)
    if not len(values):
        times, values, row = np.zeros(1, np.int64), np.zeros(1), np.zeros(1, np.int32)
        sequence = Coded(np.full(1, -1, np.int32), sequence.dictionary)
        first = last = np.full(n, -1)
    else:
        first, last = reductions.edges(offset, sequence, row, group, n)
    for name, at in (("first", first), ("last", last)):
        none = at < 0
        table[f"{name}_time"] = np.where(none, NO_TIME, times[at])
        table[f"{name}_row"] = np.where(none, -1, row[at])
        table[name] = np.where(none, np.nan, values[at])
        table[f"{name}_sequence"] = sequence.take(at, none)
    table["bin_keys"], table["bin_counts"] = bins.of_values(values[: len(group)], group, n, error)
    return table


def _least(texts: Coded, group: Ints, n: int) -> pa.DictionaryArray:
    return Coded(reductions.lowest(texts.codes, group, n), texts.dictionary).take(np.arange(n))


def merge(partials: pa.Table | Sequence[pa.Table]) -> pa.Table:
    """One partial per (series, window), sorted by series and window: the merge of all that are given.

    Columns beyond PARTIAL (shard, generation) are dropped. The order of the input never matters, not even for the last
    bit of a sum: what stands in one group is put in an order of its own first.
    """
    tables = [partials] if isinstance(partials, pa.Table) else list(partials)
    tables = [conform(table) for table in tables if table.num_rows] or [columns.empty(PARTIAL)]
    if sum(table.num_rows for table in tables) < 2:
        return tables[0]
    with np.errstate(over="ignore", invalid="ignore", divide="ignore"):
        return _merge(tables)


def _merge(tables: list[pa.Table]) -> pa.Table:
    texts = groups.text_columns(tables, TEXTS)
    get = {name: np.concatenate([to_numpy(table[name]) for table in tables]) for name in NUMBERS}
    code, bound = groups.codes_of_series(texts, len(get["count"]))
    seconds = get["window_start"] // 1_000_000  # a window starts at a whole one
    lowest = int(seconds.min())
    window, count = groups.dense(seconds - lowest, int(seconds.max()) - lowest + 1)
    code, bound = groups.combine(code, bound, window, count)
    group, n = groups.dense(code, bound)
    order = reductions.settled(group, n, tuple(get[name] for name in ("m2", "mean_low", "mean", "sum", "count")))
    if order is not None:
        group = group[order]
        get = {name: values[order] for name, values in get.items()}
        texts = {name: Coded(text.codes[order], text.dictionary) for name, text in texts.items()}
    one = np.empty(n, np.int64)
    one[group] = np.arange(len(group))
    out: dict[str, Any] = {name: texts[name].take(one) for name in SERIES}
    out |= {name: get[name][one] for name in ("window_start", "width_s")}
    out |= {name: reductions.sums(get[name], group, n) for name in SUMMED}
    out |= reductions.merged_moments(get, group, out["count"])
    out |= {"min": reductions.lowest(get["min"], group, n), "max": reductions.highest(get["max"], group, n)}
    for name, last in (("first", False), ("last", True)):
        sequence = texts[f"{name}_sequence"]
        at = reductions.pick(get[f"{name}_time"], sequence, get[f"{name}_row"], group, n, last=last)
        out |= {name + part: get[name + part][at] for part in ("_time", "_row", "")}
        out[f"{name}_sequence"] = sequence.take(at)
    ranked = ranks_of(texts["opened"])
    best = reductions.lowest(ranked, group, n)
    hits = np.flatnonzero(ranked == best[group])
    one[group[hits]] = hits
    out["opened"] = texts["opened"].take(one)
    out |= _merged_bins(tables, order, group, n, get["bin_error"], get["count"])
    sketches = pa.chunked_array([chunk for table in tables for chunk in table["distinct_sketch"].chunks], pa.binary())
    if order is not None and sketches.null_count < len(sketches):
        sketches = sketches.take(pa.array(order))
    out["distinct_sketch"] = distinct.merged(sketches, group, n)
    return _build(out)


def _merged_bins(
    tables: list[pa.Table], order: Ints | None, group: Ints, n: int, errors: Floats, count: Ints
) -> dict[str, Any]:
    """Bins of equal error add up; of different ones (the domain's setting has changed) no quantile is known."""
    relevant = np.where(count > 0, errors, np.nan)
    least, most = reductions.lowest(relevant, group, n), reductions.highest(relevant, group, n)
    error = np.where(np.isnan(least), reductions.highest(errors, group, n), np.where(least == most, most, 0.0))
    known = (error > 0)[group]
    if order is not None:  # bins add up in any order, so they stay as they stand
        places = np.empty(len(order), np.int64)
        places[order] = np.arange(len(order))
        group, known = group[places], known[places]
    keys, counts = ([chunk for table in tables for chunk in table[name].chunks] for name in ("bin_keys", "bin_counts"))
    merged_keys, merged_counts = bins.merged(keys, counts, group, n, None if known.all() else known)
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


def _build(values: dict[str, Any]) -> pa.Table:
    """A PARTIAL table from numpy and Arrow columns by name."""
    arrays = [
        value if isinstance(value := values[spec.name], pa.Array) else to_arrow(value, spec.type) for spec in PARTIAL
    ]
    return pa.Table.from_arrays(arrays, schema=PARTIAL)
