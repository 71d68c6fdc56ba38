"""Windows as they are served: any emission, any page size and any width give the merge of all partials (idea 4)."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from levada.core import segments
from levada.core.partials import PARTIAL, from_rows, merge
from levada.core.positions import pad_sequence
from levada.query import parameters, windows
from levada.query.errors import ParameterError
from levada.query.windows import Selection, served_windows
from levadactl.memory import MemoryServingStore
from tests.unit.core.test_partials import WIDTH_S, Row, table

DAY_S = 86_400
TIMES = st.integers(-3, 60).map(lambda n: n * 7_200 + n % 5)
"""Seconds: some windows of a minute on several days, before and after 1970."""
EMISSIONS = st.lists(
    st.lists(
        st.tuples(st.sampled_from(["a", "b", "c"]), TIMES, st.none() | st.integers(-100, 100).map(float)),
        min_size=1,
        max_size=12,
    ),
    max_size=5,
)


def store(emissions: list[list[tuple[str, int, float | None]]]) -> tuple[MemoryServingStore, pa.Table]:
    """A table that these rows were emitted to, one generation after the other; and all partials there were."""
    serving, parts, n = MemoryServingStore(), [], 0
    for generation, rows in enumerate(emissions, 1):
        numbered: list[Row] = [(*row, n + i) for i, row in enumerate(rows)]
        n += len(rows)
        part = from_rows(table(numbered), width_s=WIDTH_S, opened=pad_sequence(generation), watermark_us=None)
        serving.put([*segments.items(part, "6553f100-000000000000", generation), *segments.series_items(part)])
        parts.append(part)
    return serving, pa.concat_tables(parts) if parts else PARTIAL.empty_table()


def everything(**options: Any) -> Selection:
    return Selection(domain="", tenant="", **options)


def by_time(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return sorted(rows, key=lambda r: (r["window_start"], r["series"]))


def widened(partials: pa.Table, width_s: int) -> pa.Table:
    starts = [us // (width_s * 1_000_000) * width_s * 1_000_000 for us in micros(partials)]
    at = PARTIAL.get_field_index("window_start")
    wide = partials.set_column(at, "window_start", pa.array(starts, pa.int64()).cast(PARTIAL.field(at).type))
    return wide.set_column(
        PARTIAL.get_field_index("width_s"), "width_s", pa.array([width_s] * partials.num_rows, pa.int32())
    )


def micros(rows: pa.Table) -> list[int]:
    found: list[int] = rows["window_start"].cast(pa.int64()).to_pylist()
    return found


def pages(serving: MemoryServingStore, selection: Selection, limit: int) -> Iterator[windows.Page]:
    """Page by page, each found by the cursor of the one before, as a client does."""
    while True:
        page = windows.page(serving, selection, limit)
        yield page
        if page.next_us is None:
            return
        selection = Selection(
            domain=selection.domain,
            tenant=selection.tenant,
            until_us=selection.until_us,
            width_s=selection.width_s,
            since_us=page.next_us,
            after=page.next_place,
        )


@given(EMISSIONS)
@example([[("a", 0, None)], [("a", 0, None), ("b", 0, 0.0), ("b", 0, 0.0), ("b", 0, 1.0)]])
def test_what_is_served_is_the_merge_of_all_partials_with_their_number(
    emissions: list[list[tuple[str, int, float | None]]],
) -> None:
    serving, partials = store(emissions)

    rows = served_windows(serving, "", "")

    assert rows.schema == windows.WINDOW
    expected = [rounded(row) for row in by_time(merge(partials).to_pylist())]
    assert rows.drop_columns("revisions").to_pylist() == expected
    assert sum(rows["revisions"].to_pylist()) == partials.num_rows


def rounded(row: dict[str, Any]) -> dict[str, Any]:
    """The last bits of what is not an exact sum of small integers may differ: a series that has one partial is shown as
    it left, while a merge of many series computes that one's mean again."""
    inexact = {k for k in ("mean", "mean_low", "m2", "sum") if row[k] is not None}
    return {k: pytest.approx(v, rel=1e-12, abs=1e-12) if k in inexact else v for k, v in row.items()}


@settings(max_examples=60)
@given(
    emissions=EMISSIONS,
    limit=st.integers(1, 9),
    since=st.none() | TIMES,
    until=st.none() | TIMES,
    width_s=st.sampled_from([None, WIDTH_S, 7 * WIDTH_S, DAY_S, 5 * DAY_S]),
)
def test_pages_of_any_size_give_every_window_once_and_in_order(
    emissions: list[list[tuple[str, int, float | None]]],
    limit: int,
    since: int | None,
    until: int | None,
    width_s: int | None,
) -> None:
    serving, partials = store(emissions)
    since_us, until_us = (None if t is None else t * 1_000_000 for t in (since, until))
    if width_s:
        partials = widened(partials, width_s)
    expected = [
        row
        for row, start in zip(merge(partials).to_pylist(), micros(merge(partials)), strict=True)
        if (since_us is None or start >= since_us) and (until_us is None or start < until_us)
    ]

    found = list(pages(serving, everything(since_us=since_us, until_us=until_us, width_s=width_s), limit))

    rows = [r for p in found for r in p.rows.drop_columns("revisions").to_pylist()]
    assert rows == [rounded(r) for r in by_time(expected)]
    assert all(p.rows.num_rows == limit for p in found[:-1])
    assert found[-1].rows.num_rows <= limit


def test_filters_select_series() -> None:
    serving, _ = store([[("a", 0, 1.0), ("b", 0, 2.0), ("c", 60, 3.0)]])

    assert [s["series"] for s in windows.series_of(serving, everything())] == ["a", "b", "c"]
    assert served_windows(serving, "", "", series="b")["last"].to_pylist() == [2.0]
    assert served_windows(serving, "", "", metric="other").num_rows == 0
    assert served_windows(serving, "", "another tenant").num_rows == 0


def test_a_segment_that_began_before_since_is_found() -> None:
    serving, _ = store([[("a", hour * 3600, 1.0) for hour in range(24)]])
    assert len(serving.items) == 2  # one segment and the series

    rows = served_windows(serving, "", "", since_us=22 * 3_600_000_000, until_us=23 * 3_600_000_000)

    assert micros(rows) == [22 * 3_600_000_000]


class CountingStore(MemoryServingStore):
    """Counts the segments that are taken from it."""

    taken = 0

    def query(self, pk: str, **asked: Any) -> Iterator[dict[str, Any]]:
        for item in super().query(pk, **asked):
            self.taken += "data" in item
            yield item


def test_a_page_reads_no_more_than_it_needs() -> None:
    source, _ = store([[(name, day * DAY_S, 1.0) for name in "abc" for day in range(200)]])
    serving = CountingStore()
    serving.items = source.items

    page = windows.page(serving, everything(), 30)

    assert page.rows.num_rows == 30
    assert page.next_us == 10 * DAY_S * 1_000_000
    assert serving.taken < 100


def test_windows_of_another_width_than_today_s_stay_apart_and_cannot_be_split() -> None:
    serving, hour = store([[("a", 0, 1.0), ("a", 60, 2.0)]])
    long = widened(hour.slice(0, 1), 3600)
    serving.put(list(segments.items(long, "6553f100-000000000000", 9)))

    assert served_windows(serving, "", "")["width_s"].to_pylist() == [60, 3600, 60]
    assert [p.rows["width_s"].to_pylist() for p in pages(serving, everything(), 1)] == [[60], [3600], [60]]
    assert served_windows(serving, "", "", width_s=3600)["count"].to_pylist() == [3]
    with pytest.raises(ParameterError, match="width=60: must be a multiple of 3600"):
        served_windows(serving, "", "", width_s=60)


def test_more_series_than_a_page_can_be_made_of_are_refused() -> None:
    serving = MemoryServingStore()
    pk = segments.series_pk("", "")
    names = [str(i) for i in range(windows.MAX_SERIES + 1)]
    serving.put([{"pk": pk, "sk": n, "domain": "", "tenant": "", "series": n, "metric": "m"} for n in names])

    with pytest.raises(ParameterError, match="at most 1000 series remain of 1001"):
        windows.page(serving, everything(), 5)
    assert windows.page(serving, everything(series="7"), 5).rows.num_rows == 0


def test_a_cursor_between_series_of_one_start_survives_its_way_through_the_url() -> None:
    serving, _ = store([[(name, 0, 1.0) for name in "abc"]])
    page = windows.page(serving, everything(), 2)

    text = parameters.cursor(page)

    assert page.next_place == ("", "", "c", "", WIDTH_S)
    assert text is not None
    assert text.startswith("1970-01-01T00:00:00Z~")


def test_whoever_asks_for_the_last_hour_does_not_read_the_day() -> None:
    """Windows of a live series leave one by one; nothing of the hours before is looked at."""
    source, _ = store([[("a", minute * 60, 1.0)] for minute in range(0, 1_440, 5)])
    serving = CountingStore()
    serving.items = source.items

    rows = served_windows(serving, "", "", since_us=23 * 3_600_000_000 + 1)

    assert (rows.num_rows, serving.taken) == (11, 12)
