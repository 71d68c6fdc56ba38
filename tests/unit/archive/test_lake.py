"""The reader's rule: rows of objects whose names overlap count once; all others are taken as they are."""

from __future__ import annotations

import pytest

from levada.core import lake, parquet
from levada.core.errors import BadRecordError, ConfigError, UnavailableError
from levada.core.records import MEASUREMENT
from levadactl.memory import MemoryBlobStore
from tests.unit.archive import silver
from tests.unit.archive.silver import DATE, DOMAIN, identities, put, span


class VanishingBlobs(MemoryBlobStore):
    """Compaction at work: the first so many reads find that the object has been replaced by one with a wider name."""

    def __init__(self, times: int) -> None:
        super().__init__()
        self.times = times

    def get(self, key: str) -> tuple[bytes, str]:
        if self.times:
            self.times -= 1
            for one in silver.objects(self):
                del self.objects[one.key]
            put(self, span(1, 9 + self.times))
        return super().get(key)


def test_objects_that_overlap_are_read_together_and_others_apart() -> None:
    blobs = MemoryBlobStore()
    names = [span(1, 4), span(3, 5), span(5, 6), span(7, 8), span(8, 8), span(9, 9), span(1, 9, shard=1)]
    for name in names:
        put(blobs, name)

    found = lake.clusters(silver.objects(blobs))

    assert [[(o.first, o.last, o.span.token.number) for o in c] for c in found] == [
        [(1, 4, 0), (3, 5, 0), (5, 6, 0)],
        [(7, 8, 0), (8, 8, 0)],
        [(9, 9, 0)],
        [(1, 9, 1)],
    ]
    assert silver.read(blobs) == sorted([*identities(span(1, 9)), *identities(span(1, 9, shard=1))])


def test_only_the_columns_asked_for_come_back_also_where_names_overlap() -> None:
    blobs = MemoryBlobStore()
    keys = [put(blobs, span(1, 3)), put(blobs, span(2, 4))]

    rows = lake.read_distinct(blobs, keys, ["value"])

    assert rows.column_names == ["value"]
    assert rows.num_rows == len(identities(span(1, 4)))


def test_a_partition_without_objects_has_no_rows() -> None:
    assert lake.read_partition(MemoryBlobStore(), DOMAIN, DATE).schema == MEASUREMENT
    assert lake.read_partition(MemoryBlobStore(), DOMAIN, DATE, ["time"]).column_names == ["time"]


def test_a_reader_lists_again_when_compaction_has_replaced_what_it_listed() -> None:
    blobs = VanishingBlobs(2)
    put(blobs, span(1, 3))

    assert silver.read(blobs) == sorted(identities(span(1, 9)))


def test_a_reader_gives_up_when_objects_never_stay() -> None:
    blobs = VanishingBlobs(100)
    put(blobs, span(1, 3))

    with pytest.raises(UnavailableError, match="vanished"):
        lake.read_partition(blobs, DOMAIN, DATE)


@pytest.mark.parametrize(
    "key",
    ["silver/domain=a/date=b/part-0.parquet", "silver/domain=a/date=b/6553f100-000000000000-5-4.parquet", "x.parquet"],
)
def test_names_that_levada_does_not_write_are_refused(key: str) -> None:
    with pytest.raises(ConfigError, match="not an object of levada"):
        lake.stored(key)


@pytest.mark.parametrize("key", ["silver/air/2004/x.parquet", "silver/domain=a/2004/x.parquet", "landing/a.csv"])
def test_partitions_are_only_what_looks_like_one(key: str) -> None:
    with pytest.raises(ConfigError, match="must look like"):
        lake.partition_of(key)


def test_what_is_not_parquet_or_not_silver_is_named() -> None:
    with pytest.raises(BadRecordError, match="object_corrupt"):
        lake.from_bytes(b"PAR1 but no more")
    with pytest.raises(BadRecordError, match="object_foreign: has no column metric, row"):
        lake.from_bytes(parquet.to_bytes(silver.table([]).select(["sequence"])))
