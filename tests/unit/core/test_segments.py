"""Segments: what a serving item holds is exactly what was emitted, and series cannot pose as one another (E10)."""

from __future__ import annotations

import pyarrow as pa
from hypothesis import given
from hypothesis import strategies as st

from levada.core import segments
from levada.core.partials import PARTIAL, merge
from levada.core.records import SERIES
from tests.unit.core.test_partials import ROWS, Row, partials


@given(ROWS)
def test_segments_hold_what_was_emitted(rows: list[Row]) -> None:
    emitted = partials(rows)
    items = list(segments.items(emitted, "6553f100-000000000000", 7))

    back = []
    for name in {r["series"] for r in emitted.to_pylist()}:
        series = dict.fromkeys(SERIES, "") | {"series": name}
        mine = [i for i in items if i["pk"] == segments.window_pk(series)]
        back.append(segments.to_partials(mine, series))

    assert merge(back).cast(PARTIAL).to_pylist() == merge(emitted).to_pylist()
    backwards = emitted.take(pa.array(range(emitted.num_rows - 1, -1, -1), pa.int64()))
    assert items == list(segments.items(backwards, "6553f100-000000000000", 7))
    assert sum(i["n"] for i in items) == emitted.num_rows


def test_an_item_spans_at_most_a_day_of_one_series() -> None:
    rows: list[Row] = [("a", t, 1.0, i) for i, t in enumerate(range(0, 3 * 86_400, 3600))]

    items = list(segments.items(partials(rows), "t", 1))

    assert [i["n"] for i in items] == [24, 24, 24]
    assert [i["sk"].partition("#")[0] for i in items] == [
        "1970-01-01T00:00:00.000000Z",
        "1970-01-02T00:00:00.000000Z",
        "1970-01-03T00:00:00.000000Z",
    ]


@given(st.text(max_size=8), st.text(max_size=8), st.text(max_size=8), st.text(max_size=8))
def test_keys_of_different_series_differ(a: str, b: str, c: str, d: str) -> None:
    one, other = (dict.fromkeys(SERIES, "") | {"unit": x, "series": y} for x, y in ((a, b), (c, d)))

    assert (segments.window_pk(one) == segments.window_pk(other)) is ((a, b) == (c, d))


@given(st.lists(st.integers(0, 4_000_000_000_000_000), min_size=2, max_size=2))
def test_sort_keys_of_times_sort_as_times(times: list[int]) -> None:
    a, b = times

    assert (segments.sort_time(a) < segments.sort_time(b)) is (a < b)
