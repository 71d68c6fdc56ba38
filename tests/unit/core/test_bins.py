"""Quantile bins: every quantile within the stated relative error, exactly mergeable, bounded (D13, C14)."""

from __future__ import annotations

import sys
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from numpy.typing import NDArray

from levada.core import bins
from levada.core.bins import Bins
from levada.core.groups import Ints

LARGEST = sys.float_info.max
VALUES = st.lists(
    st.floats(-LARGEST, LARGEST, allow_subnormal=False) | st.integers(-9, 9).map(float), min_size=1, max_size=60
)
QUANTILES = (0.0, 0.01, 0.5, 0.95, 0.99, 1.0)


def of_groups(values: NDArray[Any], group: NDArray[Any], n: int, error: float = 0.01) -> Bins:
    return bins.ordered(values, group, n, error)[1]


def one_group(values: list[float], error: float = 0.01) -> tuple[pa.Array, pa.Array]:
    return of_groups(np.array(values, float), np.zeros(len(values), int), 1, error).to_arrow()


def lists(found: Bins) -> list[Any]:
    return [part.to_pylist() for part in found.to_arrow()]


def quantile(found: tuple[pa.Array, pa.Array], q: float, error: float = 0.01) -> float:
    return float(bins.quantiles(*found, np.full(len(found[0]), error), [q])[0][0])


@given(VALUES, st.sampled_from([0.001, 0.01, 0.05]))
def test_a_bin_stands_for_all_its_values_within_the_relative_error(values: list[float], error: float) -> None:
    given_values = np.array(values)
    keys = bins.keys_of(given_values, error)

    stands = bins.values_of(keys, np.full(len(keys), error))

    assert (np.abs(stands - given_values) <= error * np.abs(given_values) * (1 + 1e-9)).all()
    order = np.argsort(given_values)
    assert (np.diff(keys[order]) >= 0).all()


@given(VALUES.filter(lambda v: max(map(abs, v)) < 1e300))
@example([1.0, 100.0])
def test_quantiles_are_within_the_error_of_the_interpolated_ones(values: list[float]) -> None:
    keys, counts = one_group(values)

    for q in QUANTILES:
        rank = q * (len(values) - 1)
        low, high = (sorted(values)[int(i)] for i in (np.floor(rank), np.ceil(rank)))
        true = low + (high - low) * (rank - np.floor(rank))
        bound = 0.01 * max(abs(low), abs(high)) if low * high < 0 else 0.01 * abs(true)
        assert quantile((keys, counts), q) == pytest.approx(true, rel=1e-9, abs=bound * (1 + 1e-9) + 1e-300)


@given(VALUES, st.data())
def test_bins_of_any_partition_merge_to_the_bins_of_all_values(values: list[float], data: st.DataObject) -> None:
    groups = data.draw(st.lists(st.integers(0, 2), min_size=len(values), max_size=len(values)))
    given_values, given_groups = np.array(values), np.array(groups)
    whole = of_groups(given_values, given_groups, 3, 0.01)
    cut = data.draw(st.integers(0, len(values)))
    halves = [of_groups(given_values[part], given_groups[part], 3, 0.01) for part in (slice(cut, None), slice(0, cut))]

    merged = bins.merged(Bins.concat(halves), np.array([0, 1, 2, 0, 1, 2]), 3)

    assert lists(merged) == lists(whole)


@given(VALUES, st.lists(st.tuples(st.floats(-100, 100), st.integers(0, 4)), min_size=1, max_size=6))
def test_few_bins_that_join_many_in_order_give_what_all_values_give(
    values: list[float], few: list[tuple[float, int]]
) -> None:
    """Group 3 has many bins before and group 4 none, so that both ends of the search are met."""
    many = np.array([*values, *np.linspace(1, 50, 90)])
    group = np.array([i % 3 for i in range(len(values))] + [3] * 90)
    new, new_group = np.array([v for v, _ in few]), np.array([g for _, g in few])
    parts = [of_groups(many, group, 5, 0.01), of_groups(new, new_group, 5, 0.01)]

    merged = bins.merged(Bins.concat(parts), np.tile(np.arange(5), 2), 5, before=5)

    whole = of_groups(np.concatenate([many, new]), np.concatenate([group, new_group]), 5, 0.01)
    assert lists(merged) == lists(whole)


def test_zero_has_a_bin_of_its_own_and_both_signs_are_in_order() -> None:
    keys, counts = one_group([-5.0, 0.0, 0.0, 5.0])

    assert counts.to_pylist() == [[1, 2, 1]]
    assert keys.to_pylist()[0][1] == 0
    assert [quantile((keys, counts), q) for q in (0, 0.5, 1)] == [
        pytest.approx(-5, rel=0.01),
        0.0,
        pytest.approx(5, rel=0.01),
    ]


def _wide(n: int) -> Ints:
    """n keys of one group that all differ."""
    return np.arange(n, dtype=np.int64)


@given(st.lists(st.integers(0, 3 * bins.MAX_BINS), min_size=1, max_size=12), st.data())
def test_of_an_absurd_range_the_lowest_bins_are_counted_together_in_whatever_order_parts_merge(
    extra: list[int], data: st.DataObject
) -> None:
    error = 0.001
    keys_given = np.concatenate([_wide(2 * bins.MAX_BINS), extra]) + bins.offset_of(error) - bins.MAX_BINS
    values = bins.values_of(keys_given.astype(np.int64), np.full(1, error))
    cut = data.draw(st.integers(0, len(values)))
    whole: Any = one_group(list(values), error)
    parts = [of_groups(part, np.zeros(len(part), int), 1, error) for part in (values[cut:], values[:cut])]

    merged = bins.merged(Bins.concat(parts), np.zeros(2, int), 1)

    assert lists(merged) == [part.to_pylist() for part in whole]
    assert len(whole[0].to_pylist()[0]) == bins.MAX_BINS
    assert sum(whole[1].to_pylist()[0]) == len(values)
    assert quantile(whole, 0.99, error) == pytest.approx(np.quantile(values, 0.99, method="lower"), rel=0.01)
    assert np.isnan(quantile(whole, 0.01, error)), "unknown, rather than wrong"


def test_without_values_or_without_an_error_nothing_is_known() -> None:
    assert np.isnan(quantile(one_group([]), 0.5))
    assert one_group([1.0, 2.0], 0.0)[0].to_pylist() == [[]]
    assert np.isnan(quantile(one_group([1.0, 2.0], 0.0), 0.5, 0.0))
    assert bins.quantiles(*Bins.empty(0).to_arrow(), np.empty(0), [0.5])[0].tolist() == []
