"""What a record of the clean stream says that it holds, and which of its rows are new (D27)."""

from __future__ import annotations

from typing import Any

import pyarrow as pa
import pytest

from levada.core import applied
from levada.core.packs import Header
from levada.core.positions import START, pad_sequence


def _header(**extra: Any) -> Header:
    return Header(domain="d", tenant="t", source="lane", position=0, count=1, codec="arrow+zstd", extra=extra or None)


def test_a_record_holds_its_lane_behind_the_record_before_it() -> None:
    header = _header(after=[pad_sequence(3), 7], first=[pad_sequence(5), 0], last=[pad_sequence(6), 2])

    assert applied.stretch(header) == ((pad_sequence(3), 7), (pad_sequence(6), 2))


def test_a_record_that_does_not_know_the_one_before_it_holds_what_is_from_its_first_row_on() -> None:
    assert applied.stretch(_header(first=["5", 0], last=["6", 2])) == ((pad_sequence(5), -1), (pad_sequence(6), 2))
    assert applied.stretch(_header(last=["6", 2])) == (START, (pad_sequence(6), 2))


@pytest.mark.parametrize(
    "extra",
    [
        {},
        {"last": ["x", 0]},
        {"last": ["5"]},
        {"last": 5},
        {"after": ["6", 2], "last": ["6", 2]},
        {"first": ["7", 0], "last": ["6", 2]},
        {"after": [10**60, 0], "last": ["6", 2]},
    ],
)
def test_a_header_that_says_nothing_of_the_kind_is_refused(extra: dict[str, Any]) -> None:
    with pytest.raises((KeyError, TypeError, ValueError)):
        applied.stretch(_header(**extra))


def test_rows_are_left_out_stretch_by_stretch() -> None:
    at = [(s, r) for s in (1, 2, 3) for r in (0, 1, 2)]
    sequences = pa.array([pad_sequence(s) for s, _ in at]).dictionary_encode()
    rows = pa.table({"sequence": sequences, "row": pa.array([r for _, r in at], pa.int32())})
    seen = [
        (START, (pad_sequence(1), 0)),
        ((pad_sequence(1), 2), (pad_sequence(2), 1)),
        ((pad_sequence(3), 1), (pad_sequence(9), 0)),
    ]

    left = applied.without(rows, seen)

    found = [(int(r["sequence"]), r["row"]) for r in left.to_pylist()]
    assert found == [(1, 1), (1, 2), (2, 2), (3, 0), (3, 1)]
    assert applied.without(rows, []).equals(rows)
