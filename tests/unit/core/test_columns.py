"""Columns made from little: counts, repeats, masks, codes."""

from __future__ import annotations

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from levada.core import columns


@given(st.lists(st.tuples(st.integers(-5, 5), st.integers(0, 4)), max_size=8))
def test_repeats_and_counts_follow_each_other(runs: list[tuple[int, int]]) -> None:
    values, counts = [v for v, _ in runs], [n for _, n in runs]

    assert columns.repeat_each(values, counts).to_pylist() == [v for v, n in runs for _ in range(n)]
    assert columns.count_up_each(counts).to_pylist() == [i for n in counts for i in range(n)]


@pytest.mark.parametrize("n", [0, 1, 1024, 1025, 5000, columns.MAX_COUNTED + 1])
def test_counting_up_ends_where_it_should(n: int) -> None:
    found = columns.count_up(n)

    assert found.type == pa.int32()
    assert len(found) == n
    assert n == 0 or (found[0].as_py(), found[n - 1].as_py()) == (0, n - 1)


@given(st.integers(0, 70), st.data())
def test_a_mask_is_false_where_it_was_told(n: int, data: st.DataObject) -> None:
    gone = data.draw(st.sets(st.integers(0, n - 1))) if n else set()

    assert columns.all_but(n, gone).to_pylist() == [i not in gone for i in range(n)]


@pytest.mark.parametrize("kind", [pa.bool_(), pa.uint8(), pa.int32()])
@pytest.mark.parametrize("n", [0, 1, 9])
def test_zeros_are_zeros(kind: pa.DataType, n: int) -> None:
    found = columns.zeros(n, kind)
    found.validate(full=True)

    assert (found.type, found.to_pylist()) == (kind, [0] * n)


TWICE = pa.DictionaryArray.from_arrays(pa.array([0, 1, 2], pa.int8()), pa.array(["a", "a", "b"]))


@pytest.mark.parametrize(
    ("texts", "expected"),
    [
        (pa.array(["a", None, "a", ""]), ["a", "", "a", ""]),
        (pa.array(["a", None, "b"]).dictionary_encode(), ["a", "", "b"]),
        (pa.array(["a", "b", "a"]).dictionary_encode(), ["a", "b", "a"]),
        (TWICE, ["a", "a", "b"]),
        (pa.array(["a", "b"], pa.large_string()), ["a", "b"]),
    ],
    ids=["text", "dictionary with null", "dictionary", "a text twice in its dictionary", "large text"],
)
def test_equal_texts_have_one_code(texts: pa.Array, expected: list[str]) -> None:
    found = columns.coded(texts)

    assert found.type == pa.dictionary(pa.int32(), pa.string())
    assert found.to_pylist() == expected
    assert len(set(found.indices.to_pylist())) == len(set(expected))


def test_ints_of_a_column_are_those_of_its_slice() -> None:
    assert columns.to_ints(pa.array([4, -5, 6, 7], pa.int32())[1:3]) == [-5, 6]
    assert columns.to_ints(pa.array([], pa.int32())) == []
