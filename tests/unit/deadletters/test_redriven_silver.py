"""Silver of redriven batches: readers see each row once whatever a failed attempt left, compaction settles it."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from levada.archive.compaction import compact_due, compact_partition
from levada.core import keys, lake, parquet
from levada.core.errors import ConfigError
from levada.core.keys import Span
from levada.core.positions import pad_sequence
from levadactl.memory import MemoryBlobStore
from tests.unit.archive import silver
from tests.unit.archive.silver import DATE, DOMAIN, METRICS, ROWS, TOKENS
from tests.unit.archive.test_compaction import Interrupted, forever

REDRIVEN_AT = 1_000
"""Records of a discarded batch stand behind all others when they come again."""
Identity = tuple[str, int, int, str]


class CrashError(Exception):
    """The process ends here."""


def rows_of(record: int, shard: int, sequence: int) -> list[dict[str, Any]]:
    """The rows of a record, wherever it stands; the value tells which copy it is."""
    base = silver.row((str(TOKENS[shard]), pad_sequence(sequence), 0, METRICS[0]))
    named = {"source": f"file/a#{record % 3:02d}", "position": record, "time": 1_078_900_000_000_000 + record}
    return [
        {**base, **named, "metric": metric, "row": row, "value": float(sequence), "quality": 0}
        for metric in METRICS
        for row in range(ROWS)
    ]


def put(blobs: MemoryBlobStore, shard: int, records: dict[int, int], *, redrive: bool = False) -> str:
    """One object; records: sequence number → record."""
    key = keys.silver(DOMAIN, DATE, Span(TOKENS[shard], str(min(records)), str(max(records))), redrive=redrive)
    found = [row for sequence, record in sorted(records.items()) for row in rows_of(record, shard, sequence)]
    blobs.put(key, parquet.to_bytes(silver.table(found)))
    return key


def seen(blobs: Any) -> dict[Identity, float]:
    """Each row's value by identity, as readers see the partition; no row twice."""
    rows = lake.read_partition(blobs, DOMAIN, DATE).to_pylist()
    found = {(r["source"], r["position"], r["row"], r["metric"]): r["value"] for r in rows}
    assert len(found) == len(rows), "a row is seen twice"
    return found


@st.composite
def partitions(draw: st.DrawFn) -> tuple[MemoryBlobStore, dict[Identity, float]]:
    """Committed and orphaned objects of two shards, and what was discarded come again on either; what to see."""
    blobs = MemoryBlobStore()
    last = draw(st.integers(1, 10))
    wanted = {sequence: float(sequence) for sequence in range(1, last + 1)}
    for _ in range(draw(st.integers(0, 4))):
        first = draw(st.integers(1, last))
        put(blobs, 0, {s: s for s in range(first, draw(st.integers(first, last)) + 1)})
    missing = set(range(1, last + 1)) - {r["position"] for r in lake.read_partition(blobs, DOMAIN, DATE).to_pylist()}
    again = sorted(missing | set(draw(st.lists(st.integers(1, last), min_size=1))))
    shard, at = draw(st.integers(0, 1)), REDRIVEN_AT
    for start in range(0, len(again), size := draw(st.integers(1, 4))):
        some = {at + i: record for i, record in enumerate(again[start : start + size])}
        put(blobs, shard, some, redrive=True)
        wanted |= {record: float(sequence) for sequence, record in some.items()}
        at += size
    other = draw(st.integers(0, 3))
    if other:  # a healthy neighbour
        put(blobs, 1, {50 + i: 100 + i for i in range(other)})
        wanted |= {100 + i: float(50 + i) for i in range(other)}
    return blobs, {
        (row["source"], row["position"], row["row"], row["metric"]): value
        for record, value in wanted.items()
        for row in rows_of(record, 0, 1)
    }


@settings(max_examples=100)
@given(partitions())
def test_every_row_is_seen_once_and_as_its_redrive_brought_it(
    made: tuple[MemoryBlobStore, dict[Identity, float]],
) -> None:
    blobs, wanted = made

    assert seen(blobs) == wanted
    some = lake.read_distinct(blobs, [b.key for b in blobs.list("silver/")], ["value"])
    assert (some.column_names, some.num_rows) == (["value"], len(wanted))


@settings(max_examples=60)
@given(partitions())
def test_compaction_settles_the_partition_under_normal_names(
    made: tuple[MemoryBlobStore, dict[Identity, float]],
) -> None:
    blobs, wanted = made

    done = compact_due(blobs, forever)

    assert (done.partitions, done.failures) == (1, [])
    assert seen(blobs) == wanted
    left = silver.objects(blobs)
    assert not [one for one in left if one.redrive]
    assert len(left) == len({one.span.token for one in left}) == done.outputs
    for one in left:
        rows = lake.from_bytes(blobs.objects[one.key]).to_pylist()
        assert {row["shard"] for row in rows} == {str(one.span.token)}
        assert all(one.span.first <= row["sequence"] <= one.span.last for row in rows)
    assert compact_due(blobs, forever).outputs == 0


@settings(max_examples=40)
@given(partitions(), st.integers(1, 25))
def test_a_crash_anywhere_in_it_is_never_seen(made: tuple[MemoryBlobStore, dict[Identity, float]], at: int) -> None:
    blobs, wanted = made

    def crash(call: int) -> None:
        assert seen(blobs) == wanted
        if call == at:
            raise CrashError

    try:
        compact_partition(Interrupted(blobs, crash), DOMAIN, DATE, forever)
    except CrashError:
        assert seen(blobs) == wanted
    compact_partition(blobs, DOMAIN, DATE, forever)

    assert seen(blobs) == wanted
    assert not [one for one in silver.objects(blobs) if one.redrive]


def test_too_large_a_partition_stays_as_it_is_and_is_read_right() -> None:
    blobs = MemoryBlobStore()
    put(blobs, 0, {1: 1, 2: 2})
    key = put(blobs, 1, {1_000: 1}, redrive=True)

    done = compact_partition(blobs, DOMAIN, DATE, forever, max_bytes=10)

    assert done.outputs == 0
    assert key in blobs.objects
    assert set(seen(blobs).values()) == {1_000.0, 2.0}


@pytest.mark.parametrize("name", ["a-b.redrive", "6553f100-000000000000-5-4.redrive"])
def test_a_flag_makes_no_name_of_a_foreign_one(name: str) -> None:
    with pytest.raises(ConfigError, match="not an object of levada"):
        lake.stored(f"silver/domain=a/date=b/{name}.parquet")


def test_a_flagged_name_says_the_same_span() -> None:
    span = Span(TOKENS[0], pad_sequence(3), pad_sequence(5))

    assert Span.parse(f"{span.name}.redrive") == span
    assert [one.redrive for one in _stored([span])] == [False, True]


def _stored(spans: Iterable[Span]) -> list[lake.Stored]:
    return [lake.stored(keys.silver(DOMAIN, DATE, s, redrive=flag)) for s in spans for flag in (False, True)]
