"""Days that were made anew (D22) and whoever reads or rearranges the lake: readers, compaction, rollups, retention."""

from __future__ import annotations

from collections.abc import Iterable

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from levada.archive.compaction import compact_partition
from levada.archive.covering import Covering
from levada.archive.rollups import RESERVE_S, make, make_due
from levada.core import editions, keys, lake, parquet
from levada.core.editions import Edition
from levada.core.segment_reads import EMITTED
from levadactl.memory import MemoryBlobStore
from tests.unit.archive import gold as golden
from tests.unit.archive import silver
from tests.unit.archive.gold import HOUR_S, TOKEN, Reading
from tests.unit.archive.silver import DATE, TOKENS, Identity, identities, span
from tests.unit.archive.test_rollups import UTC_CALENDAR, held, hourly, s, unlimited

SPANS = st.lists(
    st.tuples(st.integers(1, 20), st.integers(0, 5), st.integers(0, 1)).map(lambda t: span(t[0], t[0] + t[1], t[2])),
    min_size=1,
    max_size=6,
)


def put_edition(blobs: MemoryBlobStore, number: int, raw: dict[str, int], rows: Iterable[Identity]) -> str:
    """Make the silver partition anew; returns the object's key."""
    body = parquet.to_bytes(silver.table(map(silver.row, rows)))
    key = editions.name("silver", silver.DOMAIN, DATE, number, body)
    blobs.put(key, body)
    record = Edition(number, raw, objects=frozenset({key}))
    blobs.put(keys.edition(silver.DOMAIN, DATE), record.to_bytes())
    return key


@settings(max_examples=60)
@given(SPANS, st.integers(0, 26), st.integers(0, 26), st.booleans())
def test_readers_get_the_edition_and_what_lies_behind_it(
    spans: list[keys.Span], first: int, second: int, compacted: bool
) -> None:
    """However the stages' objects are cut, and whether compaction has been there before or after."""
    blobs = MemoryBlobStore()
    for one in spans:
        silver.put(blobs, one)
    marks = {str(TOKENS[0]): first, str(TOKENS[1]): second}
    judged = [i for i in identities(span(1, 30)) if i[3] == "co"]  # the new code makes no nox of them
    anew = [i for i in judged if int(i[1]) <= first]
    put_edition(blobs, 1, marks, anew)
    behind = {i for one in spans for i in identities(one) if int(i[1]) > marks[i[0]]}
    if compacted:
        assert compact_partition(blobs, silver.DOMAIN, DATE, unlimited).failures == []

    assert silver.read(blobs) == sorted([*anew, *behind])


def test_an_edition_that_was_not_committed_is_not_read() -> None:
    blobs = MemoryBlobStore()
    silver.put(blobs, span(1, 2))
    put_edition(blobs, 1, {str(TOKENS[0]): 2}, [])
    blobs.delete([keys.edition(silver.DOMAIN, DATE)])

    assert silver.read(blobs) == sorted(identities(span(1, 2)))


def test_compaction_leaves_an_edition_as_it_is() -> None:
    blobs = MemoryBlobStore()
    for n in (1, 2, 5, 6):
        silver.put(blobs, span(n, n))
    key = put_edition(blobs, 1, {str(TOKENS[0]): 4}, identities(span(1, 4)))

    compact_partition(blobs, silver.DOMAIN, DATE, unlimited)

    left = sorted(blob.key.rpartition("/")[2] for blob in blobs.list(keys.day_prefix("silver", silver.DOMAIN, DATE)))
    assert left == sorted(
        [key.rpartition("/")[2], f"{span(5, 6).name}.parquet", *(f"{span(n, n).name}.parquet" for n in (1, 2))]
    )


def anew(blobs: MemoryBlobStore, day: str, generation: int, readings: Iterable[Reading], number: int = 1) -> None:
    """Make a day of gold anew, in place of all that the shard has emitted up to this generation."""
    table = golden.partials(readings)
    for name, value in (("shard", pa.scalar("r")), ("generation", pa.scalar(0, pa.int64()))):
        table = table.append_column(name, pa.repeat(value, table.num_rows))
    body = parquet.to_bytes(table.select(EMITTED.names))
    key = editions.name("gold", golden.DOMAIN, day, number, body)
    blobs.put(key, body)
    record = Edition(number, {}, {str(TOKEN): generation}, frozenset({key}))
    blobs.put(keys.edition(golden.DOMAIN, day), record.to_bytes())


def two_days() -> MemoryBlobStore:
    """27 and 28 February 2024, rolled up."""
    blobs = MemoryBlobStore()
    golden.emitted(blobs, 1, hourly("2024-02-27", 48))
    assert make_due(blobs, UTC_CALENDAR, unlimited).failures == []
    return blobs


@pytest.mark.parametrize("hourly_run", [True, False], ids=["schedule", "command"])
def test_rollups_of_a_day_that_was_made_anew_are_made_anew(hourly_run: bool) -> None:
    blobs = two_days()
    anew(blobs, "2024-02-28", 1, [("a", s("2024-02-28") + HOUR_S, 100.0)])

    done = (
        make_due(blobs, UTC_CALENDAR, unlimited)
        if hourly_run
        else make(blobs, UTC_CALENDAR, golden.DOMAIN, unlimited, since="2024-02-28")
    )

    assert done.failures == []
    days = held(blobs, "1d")
    assert {start: (row["count"], row["max"]) for (_, start), row in days.items()} == {
        "2024-02-27T00:00": (24, 16.0),
        "2024-02-28T00:00": (1, 100.0),
    }
    assert held(blobs, "1mo")["a", "2024-02-01T00:00"]["count"] == 25
    assert make_due(blobs, UTC_CALENDAR, unlimited).objects == 0


def test_what_comes_late_is_merged_with_the_edition() -> None:
    blobs = two_days()
    anew(blobs, "2024-02-28", 1, [("a", s("2024-02-28") + HOUR_S, 100.0)])
    golden.emitted(blobs, 2, [("a", s("2024-02-28") + HOUR_S, 7.0)])

    assert make_due(blobs, UTC_CALENDAR, unlimited).failures == []

    row = held(blobs, "1d")["a", "2024-02-28T00:00"]
    assert (row["count"], row["min"], row["max"]) == (2, 7.0, 100.0)


def test_a_rollup_is_not_made_anew_from_less() -> None:
    blobs = two_days()
    before = dict(blobs.objects)
    blobs.delete([keys.gold(golden.DOMAIN, "2024-02-27", TOKEN, 1)])
    anew(blobs, "2024-02-28", 1, [("a", s("2024-02-28") + HOUR_S, 100.0)])

    done = make_due(blobs, UTC_CALENDAR, unlimited)

    month = keys.rollup(golden.DOMAIN, "1mo", "2024")
    unchanged = [key for key in before if key.startswith("rollups/") and blobs.objects[key] == before[key]]
    assert any("1mo" in key for key in unchanged), month
    assert any("gold of 2024-02-27 that is gone: reprocess 2024-02-27 too" in line for line in done.failures)
    assert held(blobs, "1h")["a", "2024-02-28T01:00"]["max"] == 100.0  # its day alone is all there


def test_a_rollup_that_is_made_anew_is_put_whole_or_not_at_all() -> None:
    blobs = two_days()
    anew(blobs, "2024-02-28", 1, [("a", s("2024-02-28") + HOUR_S, 100.0)])
    before = {key: body for key, body in blobs.objects.items() if key.startswith("rollups/")}
    left = iter([1e9, 1e9, *[RESERVE_S - 1] * 50])

    done = make_due(blobs, UTC_CALENDAR, lambda: next(left))

    assert done.left
    months = [key for key in before if "1mo" in key]
    assert [blobs.objects[key] for key in months] == [before[key] for key in months]
    make_due(blobs, UTC_CALENDAR, unlimited)
    assert held(blobs, "1mo")["a", "2024-02-01T00:00"]["count"] == 25


def test_retention_waits_for_rollups_that_hold_what_was_replaced() -> None:
    blobs = two_days()
    anew(blobs, "2024-02-28", 1, [("a", s("2024-02-28") + HOUR_S, 100.0)])

    def lack() -> str:
        listed = list(blobs.list(keys.day_prefix("gold", golden.DOMAIN, "2024-02-28")))
        counting = editions.gold_shown(blobs, golden.DOMAIN, "2024-02-28", listed)
        return Covering(blobs, UTC_CALENDAR).rollups_lack(golden.DOMAIN, "2024-02-28", counting)

    assert "holds gold of 2024-02-28 that was made anew" in lack()
    make_due(blobs, UTC_CALENDAR, unlimited)
    assert lack() == ""


def test_rows_that_come_again_after_an_edition_count_once() -> None:
    """A batch that was given up before the edition and redriven behind it: the edition may have its rows."""
    blobs = MemoryBlobStore()
    put_edition(blobs, 1, {str(TOKENS[0]): 4}, identities(span(1, 4)))
    again = [silver.row(i) for i in identities(span(3, 4))]
    name = keys.silver(silver.DOMAIN, DATE, span(9, 9), redrive=True)
    blobs.put(name, parquet.to_bytes(silver.table(again)))

    rows = lake.read_partition(blobs, silver.DOMAIN, DATE)

    assert rows.num_rows == len(identities(span(1, 4)))
