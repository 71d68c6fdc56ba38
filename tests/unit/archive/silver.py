"""A small silver partition: rows that follow from their identity, so that any copy of one is the same."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import pyarrow as pa

from levada.core import keys, lake, parquet
from levada.core.keys import Span
from levada.core.lake import Stored
from levada.core.positions import ShardToken, pad_sequence
from levada.core.records import MEASUREMENT
from levada.ports import BlobStore

DOMAIN, DATE = "air_quality", "2004-03-10"
TOKENS = (ShardToken(1_700_000_000, 0), ShardToken(1_700_000_000, 1))
METRICS = ("co", "nox")
ROWS = 2
"""Source rows in each record."""
Identity = tuple[str, str, int, str]


def span(first: int, last: int, shard: int = 0) -> Span:
    return Span(TOKENS[shard], str(first), str(last))


def identities(one: Span) -> list[Identity]:
    records = range(int(one.first), int(one.last) + 1)
    return [(str(one.token), pad_sequence(s), r, m) for m in METRICS for s in records for r in range(ROWS)]


def row(identity: Identity) -> dict[str, Any]:
    shard, sequence, number, metric = identity
    value = float(int(sequence) * 10 + number) if (int(sequence) + number) % 5 else None
    return {
        "time": 1_078_900_000_000_000 - int(sequence) * 1_000_000 + number,
        "domain": DOMAIN,
        "tenant": "default",
        "site": "",
        "unit": "",
        "series": f"station-{int(sequence) % 3}",
        "metric": metric,
        "value": value,
        "quality": 0 if value is not None else 1,
        "event_id": None,
        "shard": shard,
        "sequence": sequence,
        "source": f"file/a#{int(sequence) % 4:02d}",
        "position": int(sequence),
        "row": number,
    }


def table(rows: Iterable[dict[str, Any]]) -> pa.Table:
    found = list(rows)
    arrays = []
    for f in MEASUREMENT:
        values = [r[f.name] for r in found]
        plain = pa.types.is_dictionary(f.type)
        arrays.append(pa.array(values, pa.string()).dictionary_encode() if plain else pa.array(values, f.type))
    return pa.table(arrays, schema=MEASUREMENT)


def put(blobs: BlobStore, one: Span) -> str:
    """The object that clean writes for these records; returns its key."""
    key = keys.silver(DOMAIN, DATE, one)
    blobs.put(key, parquet.to_bytes(table(map(row, identities(one)))))
    return key


def read(blobs: BlobStore) -> list[Identity]:
    """Identities of the partition's rows as readers see them, each row checked against what it must be."""
    rows = lake.read_partition(blobs, DOMAIN, DATE)
    plain = rows.set_column(0, "time", rows["time"].cast(pa.int64())).to_pylist()
    found = [(r["shard"], r["sequence"], r["row"], r["metric"]) for r in plain]
    assert plain == [row(identity) for identity in found]
    return sorted(found)


def objects(blobs: BlobStore) -> list[Stored]:
    """The objects of the partition that the stages have written, in order of their names."""
    return [lake.stored(blob.key, blob.size) for blob in blobs.list(keys.day_prefix("silver", DOMAIN, DATE))]
