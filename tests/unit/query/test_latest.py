"""The newest window of each series: the last that a reader of all windows sees, whatever emitted it (D19, E10)."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from levada.core import segment_reads, segments
from levada.core.editions import Edition
from levada.core.partials import PARTIAL
from levada.ports import Items
from levada.query import keyed, latest, open_windows, windows
from levada.query.windows import Selection, served_windows
from levadactl.memory import MemoryDeps, MemoryServingStore
from tests.unit.aggregate.test_watching import published
from tests.unit.core.test_partials import partials
from tests.unit.core.test_segments import ANEW, SHARD, series_named
from tests.unit.query.test_open_windows import ALL, apply
from tests.unit.query.test_windows import DAY_S, EMISSIONS, TIMES, everything, rounded, store

HOUR_US = 3_600_000_000
NOTHING = open_windows.BySeries(PARTIAL.empty_table())


def pages(serving: Items, selection: Selection, limit: int) -> Iterator[latest.Page]:
    """Page by page, each found by the cursor of the one before, as a client does."""
    query = {"limit": str(limit)}
    while True:
        page = latest.page(serving, selection, query)
        yield page
        if (after := keyed.cursor(page.following)) is None:
            return
        query["after"] = after


@given(EMISSIONS, st.integers(1, 4), st.none() | TIMES, st.none() | TIMES)
def test_it_is_the_last_of_all_windows_of_its_series(
    emissions: list[list[tuple[str, int, float | None]]], limit: int, since: int | None, until: int | None
) -> None:
    serving, _ = store(emissions)
    bounds = {"since_us": since, "until_us": until}
    selection = everything(**{name: None if s is None else s * 1_000_000 for name, s in bounds.items()})
    rows = served_windows(serving, "", "", since_us=selection.since_us, until_us=selection.until_us).to_pylist()
    last = {row["series"]: row for row in rows}  # they come in order of time

    found = [row for page in pages(serving, selection, limit) for row in page.rows.to_pylist()]

    assert found == [rounded(last[name]) for name in sorted(last)]


def test_a_segment_that_begins_earlier_may_hold_the_newest_window_and_a_revision_of_it() -> None:
    """What left at noon holds 09:00 to 11:00; what left at ten holds 10:00 alone; the late rows 08:00 and 11:00."""
    hours = [[8, 9, 10, 11], [10], [8, 11]]
    serving, _ = store([[("a", hour * 3600, float(hour)) for hour in some] for some in hours])

    (row,) = latest.page(serving, everything(), {}).rows.to_pylist()

    assert (row["window_start"].hour, row["revisions"], row["count"]) == (11, 2, 2)


SECONDS = st.lists(st.integers(0, 2 * DAY_S - 1), max_size=6)


@given(SECONDS, SECONDS, SECONDS, st.integers(0, 1), st.none() | TIMES, st.none() | TIMES)
def test_what_an_edition_has_replaced_is_not_the_newest(
    before: list[int], anew: list[int], behind: list[int], day: int, since: int | None, until: int | None
) -> None:
    """Days that were made anew: their segments stand for all of them, with as many windows, fewer, or none."""
    serving, series = MemoryServingStore(), series_named("a")
    of_day = [s for s in anew if s // DAY_S == day]
    rows = [partials([("a", s, 1.0, i) for i, s in enumerate(some)]) for some in (before, of_day, behind)]
    edition = Edition(2, gold={SHARD: 7})
    serving.put(list(segments.items(rows[0], SHARD, 7)))
    serving.put(list(segments.items_made_anew(rows[1], [series], edition, ANEW, day * segments.DAY_US)))
    serving.put(list(segments.items(rows[2], SHARD, 8)))
    serving.put(segments.series_items(partials([("a", 0, 1.0, 0)])))
    bounds = {"since_us": since, "until_us": until}
    selection = everything(**{name: None if s is None else s * 1_000_000 for name, s in bounds.items()})

    found = windows.newest(serving, series, selection=selection).to_pylist()

    every = served_windows(serving, "", "", since_us=selection.since_us, until_us=selection.until_us).to_pylist()
    assert found == every[-1:]


def test_no_more_is_read_than_may_hold_it() -> None:
    serving, _ = store([[("a", day * DAY_S + hour * 3600, 1.0)] for day in range(5) for hour in range(24)])
    taken: list[str] = []

    class Counting:
        def query(self, pk: str, **asked: Any) -> Iterator[dict[str, Any]]:
            for item in serving.query(pk, **asked):
                taken.append(str(item["sk"]))
                yield item

    latest.page(Counting(), everything(), {})

    assert len(taken) == 3, "the series, the segment that begins last, and those that end behind its beginning"


def test_with_open_windows_the_newest_is_the_one_that_rows_come_to() -> None:
    memory = MemoryDeps()
    apply(memory, published(["1,5"] * 4))
    read = open_windows.shards(memory.blobs, memory.memo)

    closed = latest.page(memory.serving, ALL, {}).rows
    both = latest.page(open_windows.WithOpen(memory.serving, read), ALL, {}).rows

    ((a,), (b,)) = closed["window_start"].to_pylist(), both["window_start"].to_pylist()
    assert (b - a).total_seconds() == 2 * 3600
    assert (open_windows.provisional(closed, read), open_windows.provisional(both, read)) == ([False], [True])


@settings(max_examples=25)
@given(st.integers(1, 30), st.booleans())
def test_items_with_open_ones_come_newest_first_as_well(n: int, stuck: bool) -> None:
    memory = MemoryDeps()
    memory.serving.down = stuck
    apply(memory, published(["1,5"] * n))
    memory.serving.down = False
    both = open_windows.WithOpen(memory.serving, open_windows.shards(memory.blobs, memory.memo))
    (series,) = windows.series_of(both, ALL)
    pk = segments.window_pk(series)

    some: dict[str, Any] = {"first": "2004-03-10T20", "last": "2004-03-11"}
    everything = list(both.query(pk))
    assert list(both.query(pk, newest_first=True)) == everything[::-1]
    assert list(both.query(pk, newest_first=True, limit=2)) == everything[::-1][:2]
    assert list(both.query(pk, newest_first=True, **some)) == list(both.query(pk, **some))[::-1]


@pytest.mark.parametrize(("more", "asked"), [(0, [2]), (1, [2, 4]), (3, [2, 4, 8])])
def test_with_open_windows_no_more_is_asked_for_than_it_takes(more: int, asked: list[int]) -> None:
    """Of a live series the table would send its whole history; what left since the reading does not count."""
    memory, entries = MemoryDeps(), published(["1,5"] * 12)
    for n in range(8):
        apply(memory, entries[n : n + 1], first=n + 1)
    (shard,) = read = open_windows.shards(memory.blobs, {})
    (series,) = windows.series_of(memory.serving, ALL)
    emitted = [item for item in segment_reads.of_series(memory.serving, series) if item["generation"] <= shard.emitted]
    for n in range(8, 8 + more):
        apply(memory, entries[n : n + 1], first=n + 1)
    limits: list[int] = []

    class Counting:
        def query(self, pk: str, **how: Any) -> Iterator[dict[str, Any]]:
            limits.append(how["limit"])
            return memory.serving.query(pk, **how)

    both = open_windows.WithOpen(Counting(), [replace(shard, outbox=NOTHING, open=NOTHING) for shard in read])
    found = list(both.query(segments.hour_pk(series), newest_first=True, limit=1))

    assert found == emitted[-1:]
    assert len(emitted) > 4
    assert limits == asked
