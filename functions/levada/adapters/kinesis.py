"""RecordSink and StreamTopology on Kinesis."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import TYPE_CHECKING

from levada.adapters.errors import ours
from levada.ports import Entry

if TYPE_CHECKING:
    from mypy_boto3_kinesis import KinesisClient

    from levada.core.positions import ShardToken

KEEP_S = 60.0
"""How long a stream's description is believed: a process outlives a stream that is deleted and made again."""


class KinesisSink:
    """One stream to write to."""

    def __init__(self, client: KinesisClient, stream: str) -> None:
        self._client = client
        self._stream = stream

    def put(self, entries: Sequence[Entry]) -> list[str | None]:
        with ours(f"put {len(entries)} records on {self._stream}"):
            answer = self._client.put_records(
                StreamName=self._stream, Records=[{"PartitionKey": e.partition_key, "Data": e.data} for e in entries]
            )
        return [item.get("ErrorCode") for item in answer["Records"]]


class KinesisTopology:
    """Creation times and parents of shards, by stream ARN."""

    def __init__(self, client: KinesisClient) -> None:
        self._client = client
        self._created: dict[str, tuple[float, int]] = {}

    def created_s(self, arn: str) -> int:
        now = time.monotonic()
        kept = self._created.get(arn)
        if kept and now - kept[0] < KEEP_S:
            return kept[1]
        with ours(f"describe {arn}"):
            answer = self._client.describe_stream_summary(StreamName=arn.rpartition("/")[2])
        created = int(answer["StreamDescriptionSummary"]["StreamCreationTimestamp"].timestamp())
        self._created[arn] = (now, created)
        return created

    def parents(self, arn: str, token: ShardToken) -> Sequence[ShardToken]:
        shard_id, of = f"shardId-{token.number:012d}", type(token).of
        with ours(f"list shards of {arn}"):
            for page in self._client.get_paginator("list_shards").paginate(StreamName=arn.rpartition("/")[2]):
                for shard in page["Shards"]:
                    if shard["ShardId"] == shard_id:
                        found = (shard.get("ParentShardId"), shard.get("AdjacentParentShardId"))
                        return [of(token.created_s, parent) for parent in found if parent]
        return []
