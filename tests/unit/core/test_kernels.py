"""The compiled kernels and numpy find the same: counts, edges and bins exactly, sums and moments but for the last bits.
Skipped where no kernels were built."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise
from random import Random
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from levada.core import bins, native, partstats, rowstats, vectors
from levada.core.bins import Bins
from levada.core.parts import REAL, WHOLE
from levada.core.statistics import FIRST, LAST, OPENED, Asked, Merged, Partials, Rows, Statistics

compiled = pytest.mark.skipif(native.library() is None, reason=f"no compiled kernels: {native.problem()}")
VALUE = st.one_of(
    st.just(float("nan")),
    st.sampled_from([0.0, -0.0, 1e9 + 1e-3, 1e9 - 1e-3, 1e300, -1e300, 5e-324, 1.7976931348623157e308]),
    st.floats(-1e6, 1e6),
    st.floats(allow_nan=False, allow_infinity=False),
    st.integers(-3, 3).map(float),
)
ROW = st.tuples(st.integers(0, 6), VALUE, st.integers(0, 3), st.integers(0, 2), st.integers(0, 3), st.integers(0, 3))
"""window, value, time, rank, row, opened"""
ERROR = st.sampled_from([0.0, 0.01, 0.001, 0.3])


WIDTH_US = 60_000_000
WATERMARK = st.none() | st.integers(-3, 10).map(lambda minute: minute * WIDTH_US)
SUMS = ("sum", "mean")
"""What the order of additions shows in; and m2."""
LARGE = 1e150
ROUNDED = (*SUMS, "mean_low", "m2")


def rows_of(drawn: list[tuple[Any, ...]], *, opened: bool = True) -> tuple[Rows, int]:
    window, value, time, rank, row, opener = (np.array(column) for column in zip(*drawn, strict=True))
    there, group = np.unique(window, return_inverse=True)
    ranks, numbers = (np.array(some, np.int32) for some in (rank, row))
    codes = np.array(opener, np.int32) if opened else None
    times = window * WIDTH_US + time * 1_000_000 - 3 * WIDTH_US
    return Rows(group.astype(np.int64), value, times, ranks, numbers, codes), len(there)


def close(found: NDArray[Any], wanted: NDArray[Any], scale: float) -> None:
    np.testing.assert_array_equal(np.isnan(found), np.isnan(wanted))
    assert (np.isnan(wanted) | (np.abs(found - wanted) <= 1e-12 * scale)).all(), (found, wanted)


def same_bins(found: Bins, wanted: Bins) -> None:
    for name in ("lengths", "keys", "counts"):
        np.testing.assert_array_equal(getattr(found, name), getattr(wanted, name))


def same_numbers(found: Statistics | Merged, wanted: Statistics | Merged, size: float, largest: float) -> None:
    """Exactly, but for what is added up: that within the rounding of ``size`` values as large as ``largest``."""
    np.testing.assert_array_equal(found.whole, wanted.whole)
    for name, one, other in zip(REAL, found.real, wanted.real, strict=True):
        if name not in ROUNDED:
            np.testing.assert_array_equal(one, other, err_msg=name)
            np.testing.assert_array_equal(np.signbit(one), np.signbit(other), err_msg=name)
    if largest > LARGE:  # whether a sum of squares is beyond every float depends on its order
        return
    for name in SUMS:
        close(found.real[REAL.index(name)], wanted.real[REAL.index(name)], size * largest)
    close(found.real[REAL.index("m2")], wanted.real[REAL.index("m2")], size * largest * largest)


def same_rows(found: Statistics, wanted: Statistics, rows: Rows) -> None:
    for name in ("first", "last"):
        np.testing.assert_array_equal(getattr(found, name), getattr(wanted, name))
    if rows.opened is not None:
        np.testing.assert_array_equal(found.opened, wanted.opened)
    np.testing.assert_array_equal(rows.group[found.one], rows.group[wanted.one])
    same_numbers(found, wanted, len(rows.values), float(np.nanmax(np.abs(rows.values), initial=0.0)))
    same_bins(found.bins, wanted.bins)


@compiled
@given(st.lists(ROW, min_size=1, max_size=80), ERROR, st.booleans(), WATERMARK)
def test_rows_of_windows_have_the_same_statistics_compiled_and_in_numpy(
    drawn: list[tuple[Any, ...]], error: float, opened: bool, watermark_us: int | None
) -> None:
    rows, n = rows_of(drawn, opened=opened)
    asked = Asked(WIDTH_US, error, watermark_us)
    same_rows(rowstats.statistics(rows, n, asked), rowstats.in_numpy(rows, n, asked), rows)


@compiled
@pytest.mark.parametrize(("count", "windows", "error"), [(50_000, 3, 0.01), (50_000, 9_000, 0.001), (7_000, 1, 0.0001)])
def test_many_rows_and_bins_beyond_the_most_are_counted_alike(count: int, windows: int, error: float) -> None:
    dice = np.random.default_rng(count + windows)
    values = np.exp(dice.uniform(-300, 300, count)) * dice.choice([-1.0, 1.0], count)
    drawn = zip(dice.integers(0, windows, count), values, *(dice.integers(0, 50, count) for _ in range(4)), strict=True)
    rows, n = rows_of(list(drawn))
    asked = Asked(WIDTH_US, error, None)

    found, wanted = rowstats.statistics(rows, n, asked), rowstats.in_numpy(rows, n, asked)

    same_bins(found.bins, wanted.bins)
    np.testing.assert_array_equal(found.whole, wanted.whole)
    assert (found.bins.lengths <= bins.MAX_BINS).all()
    assert (found.bins.lengths == bins.MAX_BINS).any() == (windows < 10)


@compiled
def test_windows_of_few_and_of_many_values_have_the_same_bins() -> None:
    """Up to 16 keys are compared each with each, more are sorted: windows of 1 to 40 values, and of none."""
    dice = np.random.default_rng(1)
    window = np.repeat(np.arange(41), np.maximum(np.arange(41), 1))
    values = np.round(dice.normal(0, 3, len(window)), 1)
    values[window == 0] = np.nan
    drawn = zip(window, values, *(dice.integers(0, 5, len(window)) for _ in range(4)), strict=True)
    rows, n = rows_of([tuple(row) for row in drawn])

    found, wanted = (find(rows, n, Asked(WIDTH_US, 0.01, None)) for find in (rowstats.statistics, rowstats.in_numpy))

    same_rows(found, wanted, rows)
    starts = np.cumsum([0, *found.bins.lengths[1:-1]])
    np.testing.assert_array_equal(np.add.reduceat(found.bins.counts, starts), range(1, 41))


WIDTH_S = st.sampled_from([1, 30, 60, 3600, 86_400])
TIME = st.integers(-(2**62), 2**62) | st.integers(-5, 5).map(lambda i: i * WIDTH_US) | st.integers(-(10**9), 10**9)


@compiled
@given(
    st.lists(st.tuples(TIME, st.integers(0, 4)), min_size=1, max_size=50), st.sampled_from([1, 30, 60, 3600, 86_400])
)
def test_rows_fall_into_the_same_windows_compiled_and_in_numpy(drawn: list[tuple[int, int]], width_s: int) -> None:
    times, series = (np.array(column, np.int64) for column in zip(*drawn, strict=True))

    group, n = rowstats.windows(times, width_s * 1_000_000, series, 5)

    wanted, count = rowstats.windows_in_numpy(times, width_s * 1_000_000, series, 5)
    assert n == count
    np.testing.assert_array_equal(group, wanted)


@st.composite
def partials(draw: st.DrawFn) -> tuple[Partials, int]:
    """(partials, how many windows): of rows that were cut into partials at will."""
    drawn = draw(st.lists(st.tuples(st.integers(0, 4), ROW), min_size=1, max_size=60))
    rows, m = rows_of([(cut * 7 + row[0], *row[1:]) for cut, row in drawn])
    found = rowstats.in_numpy(rows, m, Asked(WIDTH_US, 0.01, None))
    there = np.unique([cut * 7 + row[0] for cut, row in drawn])
    windows, group = np.unique(there % 7, return_inverse=True)
    found.whole[WHOLE.index("window_start")] = there % 7  # those of one window agree in it
    assert found.opened is not None
    ranks = np.zeros((3, m), np.int32)
    for place, at in ((FIRST, found.first), (LAST, found.last)):
        ranks[place] = np.where(at < 0, 0, rows.rank[at])
    ranks[OPENED] = found.opened
    return Partials(group.astype(np.int64), found.whole, found.real, ranks, found.bins), len(windows)


@compiled
@given(partials(), st.booleans())
def test_partials_merge_to_the_same_compiled_and_in_numpy(drawn: tuple[Partials, int], every: bool) -> None:
    parts, n = drawn
    known = None if every else (np.arange(n) % 2 == 0)[parts.group]
    parts = replace(parts, known=known)

    found, wanted = partstats.merged(parts, n), partstats.in_numpy(parts, n)

    largest = max(float(np.nanmax(np.abs(parts.real[REAL.index(name)]), initial=0.0)) for name in ("min", "max"))
    first = [REAL.index(name) for name in ("first", "last")]
    for one in (found, wanted):  # of two that have the same time, sequence number and row either may stand for both
        one.real[first] = np.where(np.isnan(one.real[first]), np.nan, 0.0)
    same_numbers(found, wanted, float(parts.whole[0].sum()), largest)
    np.testing.assert_array_equal(parts.ranks[OPENED][found.opener], parts.ranks[OPENED][wanted.opener])
    np.testing.assert_array_equal(parts.group[found.one], np.arange(n))
    same_bins(found.bins, wanted.bins)


@given(partials(), st.randoms(use_true_random=False))
def test_no_bit_of_a_merge_depends_on_the_order_of_the_partials(drawn: tuple[Partials, int], dice: Random) -> None:
    parts, n = drawn
    order = list(range(len(parts.group)))
    dice.shuffle(order)
    at = np.array(order)
    moved = Partials(parts.group[at], parts.whole[:, at], parts.real[:, at], parts.ranks[:, at], parts.bins.take(at))

    one, other = partstats.merged(parts, n), partstats.merged(moved, n)

    for name in (*SUMS, "mean_low", "m2", "min", "max"):
        place = REAL.index(name)
        assert one.real[place].tobytes() == other.real[place].tobytes()
    np.testing.assert_array_equal(one.whole, other.whole)
    same_bins(one.bins, other.bins)


@compiled
@given(st.lists(st.text(max_size=4), min_size=vectors.SHORT, max_size=100), st.booleans(), st.integers(0, 10))
def test_texts_are_known_to_ascend_compiled_and_by_arrow(texts: list[str], ordered: bool, first: int) -> None:
    some = pa.array(sorted(set(texts)) if ordered else texts, pa.string())[first:]

    assert vectors.is_ascending(some) == all(a < b for a, b in pairwise(some.to_pylist()))
