"""The in-memory streams in the shape of a boto3 Kinesis client: the calls that levada and the runner make."""

# ruff: noqa: N803  # boto3 names its arguments like this

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any, TypeVar

from botocore.exceptions import ClientError

from levadactl.triggers.errors import StreamError
from levadactl.triggers.memory import Entry, MemoryShard, MemoryStream, as_api, open_shards

T = TypeVar("T")


class MemoryKinesis:
    """Streams by name or ARN; refusals are botocore ClientErrors with the code of Kinesis."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self.clock = clock
        self.streams: dict[str, MemoryStream] = {}

    def create_stream(self, *, StreamName: str, ShardCount: int = 1, **_: Any) -> dict[str, Any]:
        """Make a stream; a deleted one of the same name has another creation time if the clock went on."""
        if StreamName in self.streams:
            raise _client_error("ResourceInUseException", StreamName, "CreateStream")
        self.streams[StreamName] = MemoryStream(StreamName, shards=ShardCount, clock=self.clock)
        return {}

    def delete_stream(self, *, StreamName: str, **_: Any) -> dict[str, Any]:
        """Forget a stream."""
        self._stream(StreamName, None, "DeleteStream")
        del self.streams[StreamName]
        return {}

    def put_records(
        self, *, Records: list[dict[str, Any]], StreamName: str | None = None, StreamARN: str | None = None
    ) -> dict[str, Any]:
        """PutRecords; entries fail one by one where the stream's ``fail`` hook says so."""
        stream = self._stream(StreamName, StreamARN, "PutRecords")
        entries = [_entry(record) for record in Records]
        results = _refusing("PutRecords", lambda: stream.put_records(entries))
        return {"FailedRecordCount": sum(1 for r in results if r.error), "Records": [as_api(r) for r in results]}

    def put_record(
        self, *, StreamName: str | None = None, StreamARN: str | None = None, **entry: Any
    ) -> dict[str, Any]:
        """PutRecord; where the ``fail`` hook says so it is refused."""
        stream = self._stream(StreamName, StreamARN, "PutRecord")
        (result,) = _refusing("PutRecord", lambda: stream.put_records([_entry(entry)]))
        if result.error:
            raise _client_error(result.error, "injected", "PutRecord")
        return dict(as_api(result))

    def describe_stream_summary(self, *, StreamName: str | None = None, StreamARN: str | None = None) -> dict[str, Any]:
        """Name, ARN, status, creation time, retention, number of open shards."""
        stream = self._stream(StreamName, StreamARN, "DescribeStreamSummary")
        summary = {
            "StreamName": stream.name,
            "StreamARN": stream.arn,
            "StreamStatus": "ACTIVE",
            "StreamCreationTimestamp": datetime.fromtimestamp(stream.created_s, UTC),
            "RetentionPeriodHours": int(stream.retention_s // 3600),
            "OpenShardCount": len(open_shards(stream.list_shards())),
        }
        return {"StreamDescriptionSummary": summary}

    def list_shards(self, *, StreamName: str | None = None, StreamARN: str | None = None, **_: Any) -> dict[str, Any]:
        """All shards on one page."""
        stream = self._stream(StreamName, StreamARN, "ListShards")
        return {"Shards": [_shard(shard) for shard in stream.list_shards()]}

    def get_shard_iterator(
        self,
        *,
        ShardId: str,
        ShardIteratorType: Any,
        StreamName: str | None = None,
        StreamARN: str | None = None,
        StartingSequenceNumber: str | None = None,
        Timestamp: datetime | float | None = None,
    ) -> dict[str, Any]:
        """An iterator of any of the five kinds."""
        stream = self._stream(StreamName, StreamARN, "GetShardIterator")
        at_s = Timestamp.timestamp() if isinstance(Timestamp, datetime) else Timestamp
        token = _refusing(
            "GetShardIterator",
            lambda: stream.iterator(
                ShardId, ShardIteratorType, sequence_number=StartingSequenceNumber, timestamp_s=at_s
            ),
        )
        return {"ShardIterator": f"{stream.name}/{token}"}

    def get_records(self, *, ShardIterator: str, Limit: int = 10_000, **_: Any) -> dict[str, Any]:
        """One page of records; NextShardIterator is missing at the end of a closed shard."""
        name, _slash, token = ShardIterator.partition("/")
        stream = self._stream(name, None, "GetRecords")
        page = _refusing("GetRecords", lambda: stream.read(token, Limit))
        records = [
            {
                "SequenceNumber": record.sequence_number,
                "ApproximateArrivalTimestamp": datetime.fromtimestamp(record.arrival_s, UTC),
                "Data": record.data,
                "PartitionKey": record.partition_key,
            }
            for record in page.records
        ]
        answer: dict[str, Any] = {"Records": records, "MillisBehindLatest": page.behind_ms}
        if page.next_iterator is not None:
            answer["NextShardIterator"] = f"{name}/{page.next_iterator}"
        return answer

    def split_shard(
        self,
        *,
        ShardToSplit: str,
        NewStartingHashKey: str,
        StreamName: str | None = None,
        StreamARN: str | None = None,
    ) -> dict[str, Any]:
        """Split at a hash key."""
        stream = self._stream(StreamName, StreamARN, "SplitShard")
        _refusing("SplitShard", lambda: stream.split_shard(ShardToSplit, NewStartingHashKey))
        return {}

    def merge_shards(
        self,
        *,
        ShardToMerge: str,
        AdjacentShardToMerge: str,
        StreamName: str | None = None,
        StreamARN: str | None = None,
    ) -> dict[str, Any]:
        """Merge two adjacent shards."""
        stream = self._stream(StreamName, StreamARN, "MergeShards")
        _refusing("MergeShards", lambda: stream.merge_shards(ShardToMerge, AdjacentShardToMerge))
        return {}

    def _stream(self, name: str | None, arn: str | None, operation: str) -> MemoryStream:
        wanted = name or (arn or "").rpartition("/")[2]
        stream = self.streams.get(wanted)
        if stream is None:
            raise _client_error("ResourceNotFoundException", f"stream {wanted}", operation)
        return stream


def _entry(record: dict[str, Any]) -> Entry:
    data = record["Data"]
    return Entry(
        data.encode() if isinstance(data, str) else bytes(data),
        record["PartitionKey"],
        record.get("ExplicitHashKey"),
    )


def _shard(shard: MemoryShard) -> dict[str, Any]:
    numbers: dict[str, Any] = {"StartingSequenceNumber": str(shard.starts_at)}
    if shard.ends_at is not None:
        numbers["EndingSequenceNumber"] = str(shard.ends_at)
    answer: dict[str, Any] = {
        "ShardId": shard.info.shard_id,
        "HashKeyRange": {"StartingHashKey": str(shard.first_hash), "EndingHashKey": str(shard.last_hash)},
        "SequenceNumberRange": numbers,
    }
    answer |= dict(zip(("ParentShardId", "AdjacentParentShardId"), shard.info.parents, strict=False))
    return answer


def _refusing(operation: str, call: Callable[[], T]) -> T:
    try:
        return call()
    except StreamError as err:
        raise _client_error(err.code, err.message, operation) from err


def _client_error(code: str, message: str, operation: str) -> ClientError:
    return ClientError({"Error": {"Code": code, "Message": message}}, operation)
