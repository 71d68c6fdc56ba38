"""Columns of whole numbers in few bytes: what they hold comes back, and the compiled kernels write what numpy does."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from levada.core import narrow, native
from levada.core.packed import Column

compiled = pytest.mark.skipif(native.library() is None, reason=f"no compiled kernels: {native.problem()}")
LOW, HIGH = -(2**63), 2**63 - 1


@st.composite
def column(draw: st.DrawFn, *, wide: bool) -> NDArray[Any]:
    """Of a range that takes 0 to 8 bytes, at its edges most of all, and anywhere in what the type holds."""
    low, high = (LOW, HIGH) if wide else (-(2**31), 2**31 - 1)
    span = min(draw(st.sampled_from([0, 1, 255, 256, 65_535, 65_536, 2**32 - 1, 2**32, 2**64 - 1])), high - low)
    least = draw(st.integers(low, high - span) | st.sampled_from([low, high - span, max(low, -span)]))
    numbers = draw(st.lists(st.integers(least, least + span) | st.sampled_from([least, least + span]), max_size=20))
    return np.array(numbers, np.int64 if wide else np.int32)


LARGE, SMALL = st.lists(column(wide=True), max_size=5), st.lists(column(wide=False), max_size=4)


def plain(columns: list[Column]) -> list[tuple[str, int, bytes]]:
    return [(kind, low, bytes(body)) for kind, low, body in columns]


@pytest.mark.parametrize("back", [narrow.widened, narrow.widened_in_numpy])
@pytest.mark.parametrize("there", [narrow.narrowed, narrow.in_numpy])
@given(large=LARGE, small=SMALL)
def test_columns_come_back(there: Any, back: Any, large: list[NDArray[Any]], small: list[NDArray[Any]]) -> None:
    columns = [*large, *small]

    wide, rest = back(plain(there(columns)), [len(one) for one in columns], len(large))

    np.testing.assert_array_equal(wide, np.concatenate([np.empty(0, np.int64), *large]))
    np.testing.assert_array_equal(rest, np.concatenate([np.empty(0, np.int32), *small]))
    assert (wide.dtype, rest.dtype) == (np.int64, np.int32)


@compiled
@given(columns=st.lists(column(wide=True) | column(wide=False), max_size=8))
def test_the_same_bytes_are_written_compiled_and_in_numpy(columns: list[NDArray[Any]]) -> None:
    assert plain(narrow.narrowed(columns)) == plain(narrow.in_numpy(columns))


def test_numbers_take_as_many_bytes_as_their_range() -> None:
    ranges = (0, 255, 256, 65_536, 2**32)
    found = narrow.narrowed([np.array([7, 7 + span, 7]) for span in ranges])

    assert [len(body) for _, _, body in found] == [0, 3, 6, 12, 24]


def test_columns_that_do_not_lie_in_one_piece_are_written_too() -> None:
    block = np.arange(40).reshape(8, 5)

    columns = [block[:, 1], block[2, ::-1]]

    assert plain(narrow.narrowed(columns)) == plain(narrow.in_numpy(columns))


@pytest.mark.parametrize("back", [narrow.widened, narrow.widened_in_numpy])
@pytest.mark.parametrize("wrong", [("<u2", 0, bytes(5)), ("<u2", 0, bytes(8)), ("", 0, b"x"), ("|u1", 0, b"")])
def test_a_column_that_is_cut_is_refused(back: Any, wrong: Column) -> None:
    """The kernel would read memory that is not its own."""
    for wide in (0, 2):
        with pytest.raises(ValueError, match="bytes are not 3 numbers"):
            back([("|u1", 0, bytes(3)), wrong], [3, 3], wide)


KEYS = st.lists(st.integers(-(2**62), 2**62) | st.integers(-300, 300) | st.sampled_from([40_000, -40_000]), max_size=30)


@given(KEYS)
def test_the_gap_around_zero_is_closed_and_opened_again(drawn: list[int]) -> None:
    keys = np.array(drawn, np.int64)

    some, above, below = narrow.closed(keys)

    assert (above, below) == narrow.gap_in_numpy(keys)
    np.testing.assert_array_equal(some, narrow.shifted_in_numpy(keys, -above, -below))
    np.testing.assert_array_equal(narrow.shifted(some, above, below), keys)
    np.testing.assert_array_equal(np.argsort(some, kind="stable"), np.argsort(keys, kind="stable"))
    if min(drawn, default=0) < 0 < max(drawn, default=0):
        assert (some[some > 0].min(), some[some < 0].max()) == (1, -1)


def test_keys_of_both_signs_take_no_more_than_the_values_between_them() -> None:
    some, *_ = narrow.closed(np.array([-37_100, -37_000, 0, 37_000, 37_100]))

    assert some.tolist() == [-101, -1, 0, 1, 101]
