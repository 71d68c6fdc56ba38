"""Segments: what a serving item holds is exactly what was emitted, and series cannot pose as one another (E10)."""

from __future__ import annotations

import json
import zlib
from itertools import pairwise

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from levada.core import segment_reads, segments
from levada.core.editions import Edition
from levada.core.partials import PARTIAL, merge
from levada.core.records import SERIES
from levadactl.memory import MemoryServingStore
from tests.unit.core.test_partials import ROWS, Row, partials


def pks(series: dict[str, str]) -> set[str]:
    return {segments.window_pk(series), segments.hour_pk(series)}


@given(ROWS)
def test_segments_hold_what_was_emitted(rows: list[Row]) -> None:
    emitted = partials(rows)
    items = list(segments.items(emitted, "6553f100-000000000000", 7))

    back = []
    for name in {r["series"] for r in emitted.to_pylist()}:
        series = dict.fromkeys(SERIES, "") | {"series": name}
        mine = [i for i in items if i["pk"] in pks(series)]
        back.append(segment_reads.to_partials(mine, series))

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


DAY_US = segments.DAY_US
SHARD = "6553f100-000000000000"
ANEW = "r000002-" + "0" * 32


def series_named(name: str) -> dict[str, str]:
    return dict.fromkeys(SERIES, "") | {"series": name}


@given(ROWS, ROWS, ROWS)
def test_a_days_edition_stands_for_all_that_it_replaces_and_nothing_else(
    old: list[Row], new: list[Row], later: list[Row]
) -> None:
    """D22: segments of one series in any mixture: those of the stages before and behind the cut, and the edition's."""
    later = [(name, t, value, i + 1_000) for name, t, value, i in later]  # other rows: no two stand at one position
    within = [partials([row for row in rows if 0 <= row[1] < 86_400]) for rows in (old, new, later)]
    edition = Edition(2, gold={SHARD: 7})
    names = {r["series"] for table in within for r in table.to_pylist()}
    before = list(segments.items(within[0], SHARD, 7))
    anew = list(segments.items_made_anew(within[1], [series_named(n) for n in sorted(names)], edition, ANEW, 0))
    behind = list(segments.items(within[2], SHARD, 8))
    first_edition = list(segments.items_made_anew(within[0], [], Edition(1, gold={SHARD: 3}), "r000001-" + "0" * 32, 0))

    back = []
    for name in names:
        series = series_named(name)
        mine = [i for i in (*before, *anew, *behind, *first_edition) if i["pk"] in pks(series)]
        back.append(segment_reads.to_partials(sorted(mine, key=lambda i: str(i["sk"])), series))

    expected = merge([within[1], within[2]])
    assert merge(back).cast(PARTIAL).to_pylist() == expected.to_pylist()


def test_an_edition_does_not_reach_beyond_its_day() -> None:
    rows: list[Row] = [("a", t, 1.0, i) for i, t in enumerate((86_399, 86_400, 2 * 86_400))]
    before = list(segments.items(partials(rows), SHARD, 7))
    anew = list(segments.items_made_anew(partials([]), [series_named("a")], Edition(2, gold={SHARD: 7}), ANEW, DAY_US))

    left = segment_reads.to_partials([*before, *anew], series_named("a"))

    assert left["window_start"].cast(pa.int64()).to_pylist() == [86_340_000_000, 2 * DAY_US]


def test_an_edition_that_is_too_large_for_an_item_is_cut_and_still_stands_for_its_whole_day(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    rows: list[Row] = [("a", t, float(t), i) for i, t in enumerate(range(0, 86_400, 60))]
    emitted = partials(rows)
    before = list(segments.items(emitted, SHARD, 7))
    monkeypatch.setattr(segments, "MAX_DATA_BYTES", 2_000)

    anew = list(segments.items_made_anew(emitted.slice(3, 700), [], Edition(2, gold={SHARD: 7}), ANEW, 0))

    assert len(anew) > 3
    assert (anew[0]["start"], anew[-1]["end"]) == (0, DAY_US)
    assert all(one["end"] == other["start"] for one, other in pairwise(anew))
    assert segment_reads.to_partials([*before, *anew], series_named("a")).num_rows == 700


def test_segments_of_before_there_were_bins_are_read_beside_those_of_now() -> None:
    rows: list[Row] = [("a", t, float(t), i) for i, t in enumerate((0, 60, 120))]
    old, new, last = (next(iter(segments.items(partials([row]), SHARD, i))) for i, row in enumerate(rows))
    told = json.loads(zlib.decompress(old["data"]))
    absent = ("bin_keys", "bin_counts", "bin_error", "distinct_sketch", "mean_low")
    old["data"] = zlib.compress(json.dumps({k: v for k, v in told.items() if k not in absent}).encode())

    found = segment_reads.emitted([new, old, last], series_named("a"))

    assert found.schema.equals(segment_reads.EMITTED)
    assert found["sum"].to_pylist() == [60.0, 0.0, 120.0]
    assert found["generation"].to_pylist() == [1, 0, 2]
    assert [len(keys) for keys in found["bin_keys"].to_pylist()] == [1, 0, 1]


def test_a_segment_that_keeps_within_an_hour_stands_under_a_key_of_its_own() -> None:
    """Not one that was made anew: it stands for its whole day."""
    hours = [[0, 3_540], [3_540, 3_600], [7_200]]

    found = [list(segments.items(partials([("a", t, 1.0, t) for t in some]), SHARD, i)) for i, some in enumerate(hours)]
    anew = list(segments.items_made_anew(partials([("a", 0, 1.0, 0)]), [], Edition(2, gold={}), ANEW, 0))

    series = series_named("a")
    hour, day = segments.hour_pk(series), segments.window_pk(series)
    assert [item["pk"] for (item,) in found] == [hour, day, hour]
    assert [item["pk"] for item in anew] == [segments.window_pk(series)]


TIMES = st.integers(-2, 120).map(lambda n: n * 1_440 + n % 7)
"""Seconds over two days and a bit, before and after 1970."""


@given(
    st.lists(st.lists(TIMES, min_size=1, max_size=5), max_size=8), st.none() | TIMES, st.none() | TIMES, st.booleans()
)
def test_held_segments_are_all_that_may_be_wanted_once_and_in_order(
    emissions: list[list[int]], since: int | None, until: int | None, newest_first: bool
) -> None:
    serving, series = MemoryServingStore(), series_named("a")
    starts: set[tuple[int, int]] = set()
    for generation, times in enumerate(emissions):
        emitted = partials([("a", t, 1.0, i) for i, t in enumerate(times)])
        items = list(segments.items(emitted, SHARD, generation))
        serving.put(items)
        serving.put([{**item, "pk": segments.window_pk(series)} for item in items])  # as before there were hours
        starts.update((us, generation) for us in emitted["window_start"].cast(pa.int64()).to_pylist())
    bounds = [None if s is None else s * 1_000_000 for s in (since, until)]

    found = list(segment_reads.of_series(serving, series, *bounds, newest_first=newest_first))

    keys = [item["sk"] for item in found]
    assert keys == sorted(set(keys), reverse=newest_first)
    rows = segment_reads.emitted(found, series)
    got = list(zip(rows["window_start"].cast(pa.int64()).to_pylist(), rows["generation"].to_pylist(), strict=True))
    assert len(got) == len(set(got))
    low, high = (us if us is not None else sign * 10**18 for us, sign in zip(bounds, (-1, 1), strict=True))
    assert {one for one in starts if low <= one[0] < high} <= set(got) <= starts
