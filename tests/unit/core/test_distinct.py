"""Distinct counts: within the stated error, whatever the order and partition of the texts (E8)."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from levada.core import distinct

TEXTS = st.lists(st.tuples(st.integers(0, 2), st.none() | st.text(min_size=1, max_size=3)), max_size=60)


def sketches(texts: list[tuple[int, str | None]]) -> pa.Array:
    names = pa.chunked_array([pa.array([t for _, t in texts], pa.string())])
    return distinct.of_texts(names, np.array([g for g, _ in texts], np.int64), 3)


@given(TEXTS, st.data())
def test_few_texts_are_counted_exactly_however_they_are_cut_and_ordered(
    texts: list[tuple[int, str | None]], data: st.DataObject
) -> None:
    shuffled = data.draw(st.permutations(texts))
    cut = data.draw(st.integers(0, len(texts)))
    parts = pa.chunked_array([sketches(shuffled[cut:]), sketches(shuffled[:cut])])

    merged = distinct.merged(parts, np.array([0, 1, 2, 0, 1, 2]), 3)

    expected = [len({t for g, t in texts if g == group and t is not None}) or None for group in range(3)]
    assert distinct.estimates(pa.chunked_array([merged])) == expected
    assert sketches(shuffled).to_pylist() == sketches(texts).to_pylist()


@pytest.mark.parametrize("n", [1_000, 20_000, 100_000])
def test_many_texts_are_counted_within_three_standard_errors(n: int) -> None:
    names = [f"customer-{i:06d}" for i in range(n)]
    parts = pa.chunked_array([sketches([(0, t) for t in names[i::3] + names[: n // 10]]) for i in range(3)])

    merged = distinct.merged(parts, np.array([0, 1, 2] * 3), 3)

    (found, *_) = distinct.estimates(pa.chunked_array([merged]))
    assert found == pytest.approx(n, rel=3 * distinct.RELATIVE_ERROR)
    assert len(merged[0].as_py()) < 2_200


def test_the_order_in_which_sketches_merge_does_not_move_a_bit() -> None:
    parts = [sketches([(0, f"{i}-{j}") for j in range(3_000)]) for i in range(3)]
    group = np.array([0, 1, 2] * 3)

    found = [
        distinct.merged(pa.chunked_array(order), group, 3).to_pylist()
        for order in (parts, [parts[2], parts[0], parts[1]])
    ]

    assert found[0] == found[1]


def test_who_asks_for_no_distinct_count_pays_nothing() -> None:
    nothing = pa.chunked_array([pa.nulls(4, pa.binary())])

    assert distinct.merged(nothing, np.array([0, 0, 1, 1]), 2).null_count == 2
    assert distinct.estimates(nothing) == [None] * 4
