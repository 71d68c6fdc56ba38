"""Partials: any partition, order and merge tree of the rows gives the one true statistics (D13, idea 4)."""

from __future__ import annotations

import math
import statistics
from collections import defaultdict
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from levada.core.partials import PARTIAL, conform, from_rows, merge, quantiles
from levada.core.parts import Parts
from levada.core.positions import pad_sequence
from levada.core.records import MEASUREMENT, TIME

WIDTH_S = 60
Row = tuple[str, int, float | None, int]  # series, time in s, value, row number (= position)


def table(rows: list[Row]) -> pa.Table:
    n = len(rows)
    columns: dict[str, Any] = {
        name: [""] * n for name in ("domain", "tenant", "site", "unit", "metric", "shard", "source")
    }
    columns |= {
        "series": [r[0] for r in rows],
        "time": [r[1] * 1_000_000 for r in rows],
        "value": [r[2] for r in rows],
        "row": [r[3] % 7 for r in rows],
        "sequence": [pad_sequence(r[3] // 7) for r in rows],
        "quality": [0] * n,
        "event_id": [None] * n,
        "position": [0] * n,
    }
    arrays = []
    for f in MEASUREMENT:
        if pa.types.is_dictionary(f.type):
            arrays.append(pa.array(columns[f.name], pa.string()).dictionary_encode())
        else:
            arrays.append(pa.array(columns[f.name], f.type))
    return pa.table(arrays, schema=MEASUREMENT)


def partials(rows: list[Row], watermark_s: int | None = None) -> pa.Table:
    watermark_us = None if watermark_s is None else watermark_s * 1_000_000
    return from_rows(table(rows), width_s=WIDTH_S, opened=pad_sequence(1), watermark_us=watermark_us)


# below 1e-150 the square of a difference is no longer a float: such values have a mean, and deviation 0
VALUES = st.floats(-1e12, 1e12, allow_nan=False).filter(lambda v: v == 0 or abs(v) > 1e-100)
ROWS = st.lists(
    st.tuples(
        st.sampled_from(["a", "b", "ü"]),
        st.integers(-200, 400),
        st.none() | VALUES,
    ),
    max_size=40,
).map(lambda rows: [(*r, i) for i, r in enumerate(rows)])


def oracle(rows: list[Row]) -> dict[tuple[str, int], list[Row]]:
    groups = defaultdict(list)
    for row in sorted(rows, key=lambda r: (r[1], r[3])):
        groups[row[0], row[1] // WIDTH_S * WIDTH_S].append(row)
    return groups


@given(ROWS, st.data())
def test_any_partition_merges_to_the_statistics_of_all_rows(rows: list[Row], data: st.DataObject) -> None:
    shuffled = data.draw(st.permutations(rows))
    cuts = sorted(data.draw(st.lists(st.integers(0, len(rows)), max_size=5)))
    parts = [partials(shuffled[a:b]) for a, b in zip([0, *cuts], [*cuts, len(rows)], strict=True)]
    middle = data.draw(st.integers(0, len(parts)))

    merged = merge([merge(parts[middle:]), merge(parts[:middle])])

    expected = oracle(rows)
    found = {(r["series"], int(r["window_start"].timestamp())): r for r in merged.to_pylist()}
    assert merged.schema == PARTIAL
    assert found.keys() == expected.keys()
    for key, group in expected.items():
        _same(found[key], group)


def table_of(partial: dict[str, Any]) -> pa.Table:
    return pa.Table.from_pylist([partial], schema=PARTIAL)


def _same(found: dict[str, Any], group: list[Row]) -> None:
    there = [r for r in group if r[2] is not None]
    values = [r[2] for r in there if r[2] is not None]
    assert (found["count"], found["missing"]) == (len(values), len(group) - len(values))
    if not values:
        assert [found[n] for n in ("min", "max", "mean", "first", "last", "first_time")] == [None] * 6
        assert (found["sum"], found["m2"]) == (0, 0)
        return
    assert (found["min"], found["max"]) == (min(values), max(values))
    assert (found["first"], found["last"]) == (values[0], values[-1])
    assert (found["first_time"].timestamp(), found["last_time"].timestamp()) == (there[0][1], there[-1][1])
    scale = max(1e-300, max(abs(v) for v in values))
    assert found["sum"] == pytest.approx(math.fsum(values), rel=1e-9, abs=1e-12 * scale)
    assert found["mean"] == pytest.approx(statistics.fmean(values), rel=1e-9, abs=1e-12 * scale)
    for q, value in zip((0.5, 0.95), quantiles(table_of(found), (0.5, 0.95)), strict=True):
        rank = q * (len(values) - 1)
        low, high = (sorted(values)[round_(rank)] for round_ in (math.floor, math.ceil))
        true = low + (high - low) * (rank - math.floor(rank))
        bound = 0.01 * (max(abs(low), abs(high)) if low * high < 0 else abs(true))
        assert value[0] == pytest.approx(true, rel=1e-9, abs=bound * (1 + 1e-9))
    deviation = statistics.pstdev(values) if len(values) > 1 else 0.0
    assert math.sqrt(found["m2"] / len(values)) == pytest.approx(deviation, rel=1e-9, abs=1e-12 * scale)


def test_deviation_of_large_values_that_hardly_differ_keeps_its_digits() -> None:
    values = [1e9 - 1e-3, 1e9, 1e9 + 1e-3] * 100
    parts = [partials([("a", i % 60, v, i)]) for i, v in enumerate(values)]

    (found,) = merge(parts).to_pylist()

    assert math.sqrt(found["m2"] / 300) == pytest.approx(statistics.pstdev(values), rel=1e-9)


@pytest.mark.parametrize(("watermark_s", "late"), [(None, 0), (59, 0), (60, 2), (119, 2), (120, 3)])
def test_rows_of_windows_that_end_at_or_before_the_watermark_are_late(watermark_s: int | None, late: int) -> None:
    rows: list[Row] = [("a", 0, 1.0, 0), ("a", 59, 1.0, 1), ("a", 60, 1.0, 2)]

    assert sum(partials(rows, watermark_s)["late"].to_pylist()) == late


def test_values_whose_sum_no_float_holds_do_not_stop_the_stage() -> None:
    rows: list[Row] = [("a", 0, 1.7e308, 0), ("a", 1, 1.7e308, 1), ("b", 0, 1.0, 2)]

    big, small = merge([partials(rows), partials([("a", 2, 1.7e308, 3)])]).to_pylist()

    assert (big["count"], big["min"], big["max"], big["sum"]) == (3, 1.7e308, 1.7e308, math.inf)
    assert (small["count"], small["sum"], small["mean"]) == (1, 1.0, 1.0)


def test_windows_are_half_open_and_aligned_to_the_epoch() -> None:
    rows: list[Row] = [("a", t, 1.0, i) for i, t in enumerate((-1, 0, 59, 60))]

    found = partials(rows).to_pylist()

    assert [(int(r["window_start"].timestamp()), r["count"]) for r in found] == [(-60, 1), (0, 2), (60, 1)]


def test_equal_times_are_ordered_by_position() -> None:
    rows: list[Row] = [("a", 5, 3.0, 9), ("a", 5, 1.0, 2), ("a", 5, 2.0, 6)]

    (found,) = merge([partials([r]) for r in rows]).to_pylist()

    assert (found["first"], found["last"]) == (1.0, 3.0)


def test_partials_are_taken_in_any_order() -> None:
    parts = Parts.of(partials([(name, 0, float(i), i) for i, name in enumerate("abcd")]))

    for at in ([0, 2, 1, 3], [1, 2], [3, 0], [2], []):
        assert parts.take(np.array(at, np.int64)).table()["series"].to_pylist() == ["abcd"[i] for i in at]


def test_nothing_merges_to_nothing() -> None:
    assert merge([]).num_rows == 0
    assert merge(partials([])).schema == PARTIAL


@given(ROWS, st.data())
def test_the_order_of_partials_does_not_move_a_bit_whatever_they_hold(rows: list[Row], data: st.DataObject) -> None:
    parts = [partials([r]) for r in rows] or [partials([])]
    wide = pa.concat_tables(parts).set_column(
        PARTIAL.get_field_index("window_start"),
        "window_start",
        pa.repeat(pa.scalar(0, pa.int64()), len(rows)).cast(TIME),
    )  # all of a series in one window: groups of many
    shuffled = wide.take(pa.array(data.draw(st.permutations(range(len(rows)))), pa.int64()))

    assert merge(shuffled).to_pylist() == merge(wide).to_pylist()


def test_bins_of_another_error_are_not_mixed_up_but_give_no_quantile() -> None:
    rows: list[Row] = [("a", 0, 1.0, 0), ("a", 1, 5.0, 1)]
    coarse = from_rows(table(rows), width_s=60, opened="1", watermark_us=None, quantile_error=0.05)
    empty = from_rows(table([("a", 0, None, 2)]), width_s=60, opened="1", watermark_us=None, quantile_error=0.02)

    (mixed,) = merge([coarse, partials(rows)]).to_pylist()
    (kept,) = merge([coarse, empty]).to_pylist()

    assert (mixed["bin_error"], mixed["bin_keys"], mixed["count"]) == (0, [], 4)
    assert math.isnan(quantiles(table_of(mixed), [0.5])[0][0])
    assert (kept["bin_error"], kept["bin_counts"], kept["missing"]) == (0.05, [1, 1], 1)


def test_partials_of_before_there_were_bins_are_read_and_have_no_quantiles() -> None:
    old = partials([("a", 0, 1.0, 0)]).drop_columns(
        ["mean_low", "bin_error", "bin_keys", "bin_counts", "distinct_sketch"]
    )

    found = merge([old, partials([("a", 1, 2.0, 1)])])

    assert conform(old).schema == PARTIAL
    assert (found["sum"].to_pylist(), found["bin_keys"].to_pylist()) == ([3.0], [[]])
