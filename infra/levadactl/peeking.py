"""Look into a stream: what stands in each shard, decoded."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC
from typing import TYPE_CHECKING, Any

from levada.core import columns, packs
from levada.core.errors import BadRecordError
from levada.core.packs import ARROW_ZSTD

if TYPE_CHECKING:
    from levadactl.places import Place

FIRST_ROWS = 3
MAX_TEXT = 200


@dataclass(slots=True)
class Seen:
    """One record of a stream."""

    stream: str
    shard: str
    sequence: str
    arrived: str
    """ISO 8601, UTC."""
    partition_key: str
    bytes: int
    header: dict[str, Any] | None = None
    """Of a pack; None for a plain record."""
    rows: list[Any] = field(default_factory=list)
    """The first rows, or the text of a plain record."""
    problem: str = ""
    """Why it cannot be read."""


def peek(place: Place, stream: str, *, from_start: bool, limit: int, key: str | None = None) -> list[Seen]:
    """Up to ``limit`` records of a stream: its oldest, or its newest, of all shards together, by arrival.

    Args:
        key: only records that have this text in their partition key, header or body.
    """
    found = [
        seen
        for shard in place.client("kinesis").list_shards(StreamName=stream)["Shards"]
        for seen in _records(place, stream, shard["ShardId"])
        if key is None or _has(seen[1], key)
    ]
    found.sort(key=lambda pair: (pair[1]["ApproximateArrivalTimestamp"], pair[0], int(pair[1]["SequenceNumber"])))
    return [decode(stream, shard, raw) for shard, raw in (found[:limit] if from_start else found[-limit:])]


def _records(place: Place, stream: str, shard: str) -> Iterator[tuple[str, dict[str, Any]]]:
    kinesis = place.client("kinesis")
    iterator: str | None = kinesis.get_shard_iterator(
        StreamName=stream, ShardId=shard, ShardIteratorType="TRIM_HORIZON"
    )["ShardIterator"]
    while iterator:
        page: Any = kinesis.get_records(ShardIterator=iterator, Limit=1000)
        yield from ((shard, record) for record in page["Records"])
        if not page.get("MillisBehindLatest"):
            return
        iterator = page.get("NextShardIterator")


def _has(record: dict[str, Any], key: str) -> bool:
    if key in record["PartitionKey"]:
        return True
    seen = decode("", "", record, rows=None)
    return key in json.dumps([seen.header, seen.rows], ensure_ascii=False, default=str)


def decode(stream: str, shard: str, record: dict[str, Any], *, rows: int | None = FIRST_ROWS) -> Seen:
    """One record of GetRecords for people; never raises for what stands in it. ``rows`` None: all of them."""
    data: bytes = record["Data"]
    seen = Seen(
        stream=stream,
        shard=shard,
        sequence=record["SequenceNumber"],
        arrived=record["ApproximateArrivalTimestamp"].astimezone(UTC).isoformat(timespec="milliseconds"),
        partition_key=record["PartitionKey"],
        bytes=len(data),
    )
    if not packs.is_pack(data):
        seen.rows = [data[: MAX_TEXT if rows else None].decode(errors="backslashreplace")]
        return seen
    try:
        header, body = packs.split(data)
        seen.header = header.to_json()
        seen.rows = _rows(header.codec, body, rows)
    except (BadRecordError, ValueError) as err:
        seen.problem = str(err)
    return seen


def _rows(codec: str, body: bytes, n: int | None) -> list[Any]:
    if codec == ARROW_ZSTD:
        table = columns.from_bytes(body)
        return list((table if n is None else table.slice(0, n)).to_pylist())
    lines = packs.inflate(body, codec).split(b"\n")
    return [json.loads(line) for line in lines[:n] if line.strip()]
