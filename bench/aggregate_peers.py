"""What aggregate is measured against: the same statistics in a Python dict of windows, and by polars' group-by."""

from __future__ import annotations

import math
import pickle
from collections.abc import Sequence
from typing import Any

import polars as pl
import pyarrow as pa

from levada.core import bins

WIDTH_US = 60_000_000
ERROR = 0.01
LOG_GAMMA = math.log1p(ERROR) - math.log1p(-ERROR)
OFFSET = bins.offset_of(ERROR)


class Window:
    """One window of one series."""

    __slots__ = ("bins", "count", "first", "first_us", "high", "last", "last_us", "low", "m2", "mean", "total")

    def __init__(self, value: float, time_us: int) -> None:
        self.count, self.total, self.low, self.high, self.mean, self.m2 = 1, value, value, value, value, 0.0
        self.first, self.first_us, self.last, self.last_us = value, time_us, value, time_us
        self.bins = {bin_of(value): 1}


def bin_of(value: float) -> int:
    """The key of the value's quantile bin, as ``levada.core.bins`` has it."""
    if not value:
        return 0
    key = math.ceil(math.log(abs(value)) / LOG_GAMMA) + OFFSET
    return key if value > 0 else -key


Windows = dict[tuple[Any, ...], Window]


def dict_windows(columns: Sequence[Sequence[Any]], windows: Windows) -> Windows:
    """Add rows to windows of (series, start): Welford's update per row, one dict of bins per window.

    Args:
        columns: the rows as Python values already (that costs as much again): series parts, time us, value.
    """
    log, ceil = math.log, math.ceil
    for *series, time_us, value in zip(*columns, strict=True):
        key = (*series, time_us - time_us % WIDTH_US)
        window = windows.get(key)
        if window is None:
            windows[key] = Window(value, time_us)
            continue
        window.count += 1
        window.total += value
        if value < window.low:
            window.low = value
        if value > window.high:
            window.high = value
        off = value - window.mean
        window.mean += off / window.count
        window.m2 += off * (value - window.mean)
        if time_us < window.first_us:
            window.first, window.first_us = value, time_us
        if time_us >= window.last_us:
            window.last, window.last_us = value, time_us
        number = 0 if not value else ceil(log(abs(value)) / LOG_GAMMA) + OFFSET
        if value < 0:
            number = -number
        found = window.bins
        found[number] = found.get(number, 0) + 1
    return windows


def dict_closed(windows: Windows, until_us: int) -> list[tuple[Any, Window]]:
    """Take out the windows that end at or before this time."""
    ended = [key for key in windows if key[-1] + WIDTH_US <= until_us]
    return [(key, windows.pop(key)) for key in ended]


def dict_batch(columns: Sequence[Sequence[Any]], state: bytes) -> bytes:
    """The same as a function does it that must keep its windows between invocations: read, added to, written again."""
    return pickle.dumps(dict_windows(columns, pickle.loads(state)), protocol=5)  # noqa: S301  # our own bytes


def polars_windows(rows: pl.DataFrame, names: Sequence[str]) -> tuple[pl.DataFrame, pl.DataFrame]:
    """(statistics, bins) per series and window. No merge with windows that are open, and no encoding."""
    keys = [*names, "start"]
    rows = rows.with_columns(start=pl.col("time") - pl.col("time") % WIDTH_US)
    value = pl.col("value")
    statistics = rows.group_by(keys).agg(
        value.count().alias("count"),
        value.null_count().alias("missing"),
        value.sum().alias("sum"),
        value.min().alias("min"),
        value.max().alias("max"),
        value.mean().alias("mean"),
        value.var(ddof=0).alias("variance"),
        value.sort_by("time").first().alias("first"),
        value.sort_by("time").last().alias("last"),
        pl.col("time").min().alias("first_time"),
        pl.col("time").max().alias("last_time"),
    )
    number = (value.abs().log() / LOG_GAMMA).ceil().cast(pl.Int32) + OFFSET
    key = pl.when(value == 0).then(0).when(value < 0).then(-number).otherwise(number)
    histogram = rows.with_columns(bin=key).group_by([*keys, "bin"]).len()
    return statistics, histogram


def to_polars(rows: pa.Table, names: Sequence[str]) -> pl.DataFrame:
    """Canonical rows as polars has them: series parts as categories, times as whole microseconds."""
    plain = {name: rows[name] for name in names} | {"time": rows["time"].cast(pa.int64()), "value": rows["value"]}
    frame = pl.from_arrow(pa.table(plain))
    assert isinstance(frame, pl.DataFrame)
    return frame.rechunk()
