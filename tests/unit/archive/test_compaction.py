"""Compaction: whatever crashes or runs beside it, readers see every row once, and one object a shard is left (C15)."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from levada.archive import compaction
from levada.archive.compaction import Compaction, compact_due, compact_partition
from levada.core import keys, lake, parquet
from levada.core.errors import ConfigError
from levada.core.keys import Span
from levada.ports import Blob
from levadactl.memory import MemoryBlobStore
from tests.unit.archive import silver
from tests.unit.archive.silver import DATE, DOMAIN, Identity, identities, put, span

MANIFEST = keys.manifest("silver", DOMAIN, DATE)
SPANS = st.tuples(st.integers(1, 12), st.integers(0, 5), st.integers(0, 1)).map(lambda t: span(t[0], t[0] + t[1], t[2]))

EXAMPLES = 40


class CrashError(Exception):
    """The process ends here."""


class Interrupted:
    """A store that calls back before every read and after every single effect, deletes one key at a time."""

    def __init__(self, inner: MemoryBlobStore, at: Callable[[int], None]) -> None:
        self.inner = inner
        self.calls = 0
        self._at = at

    def _call(self) -> None:
        self.calls += 1
        self._at(self.calls)

    def put(self, key: str, body: bytes) -> None:
        self.inner.put(key, body)
        self._call()

    def put_all(self, objects: Iterable[tuple[str, bytes]]) -> None:
        for key, body in objects:
            self.put(key, body)

    def put_if(self, key: str, body: bytes, *, etag: str | None) -> str:
        done = self.inner.put_if(key, body, etag=etag)
        self._call()
        return done

    def get(self, key: str) -> tuple[bytes, str]:
        self._call()
        return self.inner.get(key)

    def get_all(self, keys: Iterable[str]) -> Iterator[bytes]:
        return (self.get(key)[0] for key in keys)

    def open(self, key: str, *, offset: int = 0) -> Any:
        return self.inner.open(key, offset=offset)

    def list(self, prefix: str) -> Iterator[Blob]:
        self._call()
        return self.inner.list(prefix)

    def delete(self, keys: Iterable[str]) -> None:
        for key in keys:
            self.inner.delete([key])
            self._call()


def forever() -> float:
    return 1e9


def compact(blobs: Any, **options: Any) -> Compaction:
    done = compact_partition(blobs, DOMAIN, DATE, forever, **options)
    assert not done.failures
    return done


def written(spans: Iterable[Span]) -> tuple[MemoryBlobStore, list[Identity]]:
    blobs = MemoryBlobStore()
    for one in spans:
        put(blobs, one)
    return blobs, sorted({i for one in spans for i in identities(one)})


def names(blobs: MemoryBlobStore) -> list[tuple[int, int, int]]:
    return [(o.span.token.number, o.first, o.last) for o in silver.objects(blobs)]


def test_the_objects_of_a_shard_become_one_named_by_the_whole_range() -> None:
    blobs, expected = written([span(1, 3), span(4, 4), span(7, 9), span(2, 2, 1), span(5, 6, 1), span(9, 9, 1)])

    done = compact(blobs)

    assert names(blobs) == [(0, 1, 9), (1, 2, 9)]
    assert silver.read(blobs) == expected
    assert done.counts() == {
        "partitions": 1,
        "outputs": 2,
        "inputs": 6,
        "rows": len(expected),
        "duplicates": 0,
        "conflicts": 0,
        "left": 0,
        "next": None,
    }


def test_the_output_is_sorted_by_series_metric_and_time_and_compressed() -> None:
    blobs, _ = written([span(1, 6), span(4, 9), span(10, 12)])

    done = compact(blobs)

    (one,) = silver.objects(blobs)
    rows = lake.from_bytes(blobs.objects[one.key]).to_pylist()
    order = [(r["series"], r["metric"], r["time"]) for r in rows]
    assert order == sorted(order)
    assert done.duplicates == len(identities(span(4, 6)))
    body = blobs.objects[one.key]
    assert pq.ParquetFile(pa.BufferReader(body)).metadata.row_group(0).column(0).compression == "ZSTD"


def test_the_manifest_says_what_is_covered_by_which_objects() -> None:
    blobs, expected = written([span(1, 3), span(4, 9)])
    compact(blobs)
    put(blobs, span(10, 11))
    put(blobs, span(1, 1, 1))

    compact(blobs)

    manifest = json.loads(blobs.objects[MANIFEST])
    whole = span(1, 11)
    rows = len(expected) + len(identities(span(10, 11)))
    assert manifest == {
        "v": 1,
        "covered": {str(whole.token): [[f"{1:056d}", f"{11:056d}"]]},
        "objects": [{"key": keys.silver(DOMAIN, DATE, whole), "rows": rows}],
        "rows": rows,
    }


def test_one_object_is_left_alone() -> None:
    blobs, _ = written([span(1, 3)])
    before = dict(blobs.objects)

    done = compact(blobs)

    assert (done.outputs, done.partitions) == (0, 1)
    assert blobs.objects == before


def test_a_later_version_s_columns_survive() -> None:
    blobs = MemoryBlobStore()
    put(blobs, span(1, 1))
    rows = silver.table(map(silver.row, identities(span(2, 2))))
    extended = rows.append_column("note", pa.array(["new"] * rows.num_rows))
    blobs.put(keys.silver(DOMAIN, DATE, span(2, 2)), parquet.to_bytes(extended))

    compact(blobs)

    (one,) = silver.objects(blobs)
    notes = lake.from_bytes(blobs.objects[one.key]).group_by("note").aggregate([([], "count_all")]).to_pylist()
    assert {n["note"]: n["count_all"] for n in notes} == {None: 4, "new": 4}


def test_outputs_stay_within_their_size_and_a_second_run_finds_nothing_to_do() -> None:
    blobs, expected = written([span(i, i) for i in range(1, 9)])
    size = max(len(b) for b in blobs.objects.values())

    done = compact(blobs, max_bytes=4 * size)
    again = compact(blobs, max_bytes=0)

    assert done.outputs >= 2
    assert len(names(blobs)) == done.outputs
    assert again.outputs == 0
    assert silver.read(blobs) == expected


def test_objects_that_overlap_are_compacted_together_whatever_their_size() -> None:
    blobs, expected = written([span(1, 4), span(3, 6), span(6, 8), span(9, 9)])

    compact(blobs, max_bytes=1)

    assert names(blobs) == [(0, 1, 8), (0, 9, 9)]
    assert silver.read(blobs) == expected


def test_due_is_a_partition_in_which_a_shard_has_collected_many_objects() -> None:
    blobs, _ = written([span(i, i) for i in range(1, compaction.MIN_OBJECTS + 1)])
    for i in range(1, compaction.MIN_OBJECTS):
        put(blobs, span(i, i, 1))
        rows = silver.table(map(silver.row, identities(span(i, i))))
        blobs.put(keys.silver(DOMAIN, "2004-03-11", span(i, i)), parquet.to_bytes(rows))

    done = compact_due(blobs, forever)

    assert (done.partitions, done.outputs, done.inputs) == (1, 1, compaction.MIN_OBJECTS)
    assert names(blobs)[0] == (0, 1, compaction.MIN_OBJECTS)
    assert len(list(blobs.list(keys.day_prefix("silver", DOMAIN, "2004-03-11")))) == compaction.MIN_OBJECTS - 1


def test_a_run_stops_in_time_and_says_what_is_left() -> None:
    blobs, expected = written([span(1, 1), span(2, 2), span(1, 1, 1), span(2, 2, 1)])
    left = iter([600.0, 600.0, compaction.RESERVE_S - 1])

    done = compact_partition(blobs, DOMAIN, DATE, lambda: next(left))

    assert (done.outputs, done.partitions, done.left, done.next) == (1, 0, 1, f"{DOMAIN}/{DATE}")
    assert names(blobs) == [(0, 1, 2), (1, 1, 1), (1, 2, 2)]
    assert silver.read(blobs) == expected
    assert compact_due(blobs, lambda: 0.0).left == 0  # nothing is due any more


def test_a_foreign_object_stops_its_own_partition_only() -> None:
    blobs, _ = written([span(i, i) for i in range(1, 9)])
    blobs.put(keys.day_prefix("silver", DOMAIN, "2004-03-09") + "mine.parquet", b"")

    done = compact_due(blobs, forever)

    assert done.outputs == 1
    assert [f"{DOMAIN}/2004-03-09" in line for line in done.failures] == [True]


def test_a_corrupt_input_is_named_and_everything_is_kept() -> None:
    blobs, _ = written([span(1, 1), span(2, 2)])
    blobs.objects[keys.silver(DOMAIN, DATE, span(2, 2))] = b"not parquet"
    before = dict(blobs.objects)

    done = compact_partition(blobs, DOMAIN, DATE, forever)

    assert ["object_corrupt" in line for line in done.failures] == [True]
    assert blobs.objects == before


def test_a_manifest_of_a_later_version_is_not_touched() -> None:
    blobs, _ = written([span(1, 1), span(2, 2)])
    blobs.put(MANIFEST, b'{"v": 2}')

    done = compact_partition(blobs, DOMAIN, DATE, forever)

    assert ["v=2" in line for line in done.failures] == [True]
    assert len(names(blobs)) == 2
    with pytest.raises(ConfigError, match="this version reads 1"):
        compaction.Manifest.load(blobs, MANIFEST)


class LossyBlobs(MemoryBlobStore):
    """Keeps another object than the one that was put."""

    lie = b""

    def put(self, key: str, body: bytes) -> None:
        super().put(key, self.lie if self.lie and "silver/" in key else body)

    def put_if(self, key: str, body: bytes, *, etag: str | None) -> str:
        super().put_if(key, body, etag=etag)
        return self.get(key)[1]


@pytest.mark.parametrize("fault", ["fewer rows", "another value", "another text"])
def test_inputs_are_kept_when_the_output_does_not_read_back(fault: str) -> None:
    blobs = LossyBlobs()
    expected = sorted([*identities(span(1, 2)), *identities(span(3, 4))])
    inputs = [put(blobs, span(1, 2)), put(blobs, span(3, 4))]
    right = compaction.arrange(lake.read_distinct(blobs, inputs)).to_pylist()
    wrong = right[1:] if fault == "fewer rows" else right
    if fault == "another value":
        wrong[0]["value"] = 0.125
    if fault == "another text":
        wrong[0]["source"] = "file/z"
    blobs.lie = parquet.to_bytes(silver.table(wrong))

    done = compact_partition(blobs, DOMAIN, DATE, forever)

    assert ["inputs are kept" in line for line in done.failures] == [True]
    assert set(inputs) <= set(blobs.objects)
    assert MANIFEST not in blobs.objects
    blobs.lie = b""
    del blobs.objects[keys.silver(DOMAIN, DATE, span(1, 4))]
    assert silver.read(blobs) == expected


@settings(max_examples=EXAMPLES)
@given(spans=st.lists(SPANS, min_size=1, max_size=8), crashes=st.lists(st.integers(1, 12), max_size=3))
def test_any_split_and_any_crash_leave_every_row_once(spans: list[Span], crashes: list[int]) -> None:
    blobs, expected = written(spans)

    def seen_whole() -> None:
        assert silver.read(blobs) == expected

    for at in crashes:

        def crash(call: int, at: int = at) -> None:
            seen_whole()
            if call == at:
                raise CrashError

        try:
            compact(Interrupted(blobs, crash))
        except CrashError:
            seen_whole()
    compact(blobs)

    seen_whole()
    assert [number for number, _, _ in names(blobs)] == sorted({one.token.number for one in spans})
    assert compact(blobs).outputs == 0


def overtaken(blobs: MemoryBlobStore, late: Span, at: int, **options: Any) -> Compaction:
    """A run in which, at its call number ``at``, clean writes one more object and another run begins and ends."""

    def interfere(call: int) -> None:
        if call == at:
            put(blobs, late)
            assert compact(blobs, **options).outputs == 1

    return compact(Interrupted(blobs, interfere), **options)


def test_an_output_never_replaces_one_that_holds_more() -> None:
    blobs, before = written([span(1, 2), span(5, 6)])

    # both runs name their output 1-6; ours has read its inputs before the rows of 3-4 were there
    done = overtaken(blobs, span(3, 4), at=5)

    assert done.conflicts == 1
    assert names(blobs) == [(0, 1, 6)]
    assert silver.read(blobs) == sorted([*before, *identities(span(3, 4))])


def test_a_run_that_was_overtaken_deletes_nothing() -> None:
    blobs, before = written([span(1, 2), span(5, 6)])
    compact(blobs)
    put(blobs, span(7, 9))
    sizes = {one.last: one.size for one in silver.objects(blobs)}

    # the other run rewrites 1-6 in place, with the rows of 3-4, and has no room for 7-9
    done = overtaken(blobs, span(3, 4), at=4, max_bytes=sizes[6] + sizes[9])

    assert done.conflicts == 1
    assert names(blobs) == [(0, 1, 6), (0, 1, 9), (0, 7, 9)]
    assert silver.read(blobs) == sorted([*before, *identities(span(3, 4)), *identities(span(7, 9))])


@settings(max_examples=EXAMPLES)
@given(
    spans=st.lists(SPANS, min_size=2, max_size=6),
    late=st.lists(st.tuples(st.integers(1, 20), SPANS), max_size=3),
    crash_other=st.integers(1, 20),
)
def test_another_run_and_late_objects_in_between_lose_nothing(
    spans: list[Span], late: list[tuple[int, Span]], crash_other: int
) -> None:
    blobs, before = written(spans)
    expected = set(before)

    def crash(call: int) -> None:
        if call == crash_other:
            raise CrashError

    def interfere(call: int) -> None:
        for at, one in late:
            if at == call and keys.silver(DOMAIN, DATE, one) not in blobs.objects:
                put(blobs, one)
                expected.update(identities(one))
                try:
                    compact(Interrupted(blobs, crash))
                except CrashError:
                    continue
        assert silver.read(blobs) == sorted(expected)

    compact(Interrupted(blobs, interfere))

    assert silver.read(blobs) == sorted(expected)
    compact(blobs)
    assert silver.read(blobs) == sorted(expected)
    assert len(names(blobs)) == len({shard for shard, *_ in expected})
