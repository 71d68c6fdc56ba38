"""The in-memory stream does what Kinesis does."""

from __future__ import annotations

import hashlib
from typing import Any

import pytest
from botocore.exceptions import ClientError

from levadactl.triggers import Entry, MemoryStream, StreamError, VirtualClock
from levadactl.triggers.memory import MAX_HASH
from levadactl.triggers.memory_client import MemoryKinesis

FIRST, SECOND = "shardId-000000000000", "shardId-000000000001"


def stream(shards: int = 1, **settings: Any) -> tuple[MemoryStream, VirtualClock]:
    clock = VirtualClock()
    return MemoryStream(shards=shards, clock=clock, **settings), clock


def test_a_partition_key_goes_to_the_shard_of_its_md5() -> None:
    kinesis, _ = stream(4)
    for n in range(50):
        shard_id = kinesis.put(b"x", f"key-{n}").shard_id
        expected = int(hashlib.md5(f"key-{n}".encode()).hexdigest(), 16) * 4 // 2**128  # noqa: S324  # Kinesis's own hash
        assert shard_id == f"shardId-{expected:012d}"


def test_an_explicit_hash_key_wins() -> None:
    kinesis, _ = stream(2)

    results = kinesis.put_records([Entry(b"x", "a", "0"), Entry(b"x", "a", str(MAX_HASH))])

    assert [result.shard_id for result in results] == [FIRST, SECOND]


def test_sequence_numbers_have_56_digits_and_grow() -> None:
    kinesis, _ = stream(2)

    numbers = [kinesis.put(b"x", f"{n}").sequence_number for n in range(100)]

    assert {len(number) for number in numbers} == {56}
    assert numbers == sorted(set(numbers))


def test_a_stream_made_again_has_other_numbers() -> None:
    first, clock = stream()
    clock.advance(1)
    second = MemoryStream(clock=clock)

    assert first.created_s != second.created_s
    assert first.put(b"x").sequence_number != second.put(b"x").sequence_number


@pytest.mark.parametrize(
    ("entries", "part"),
    [
        pytest.param([], "0 entries", id="no entry"),
        pytest.param([Entry(b"", "k")] * 501, "501 entries", id="too many entries"),
        pytest.param([Entry(b"x" * 1024 * 1024, "k")], "1048577 bytes", id="a record over 1 MiB with its key"),
        pytest.param([Entry(b"x" * 1_000_000, "k")] * 6, "a request of", id="a request over 5 MiB"),
        pytest.param([Entry(b"x", "")], "PartitionKey", id="no partition key"),
        pytest.param([Entry(b"x", "k" * 257)], "PartitionKey", id="a long partition key"),
        pytest.param([Entry(b"x", "k", str(2**128))], "ExplicitHashKey", id="a hash key out of range"),
        pytest.param([Entry(b"x", "k", "-1")], "ExplicitHashKey", id="a negative hash key"),
    ],
)
def test_the_limits_of_put_records_are_enforced(entries: list[Entry], part: str) -> None:
    kinesis, _ = stream()

    with pytest.raises(StreamError, match=part):
        kinesis.put_records(entries)


def test_entries_fail_one_by_one_where_the_hook_says_so() -> None:
    kinesis, _ = stream(fail=lambda index, entry: "ProvisionedThroughputExceededException" if index % 2 else None)

    results = kinesis.put_records([Entry(b"a", "k"), Entry(b"b", "k"), Entry(b"c", "k")])

    assert [bool(result.error) for result in results] == [False, True, False]
    page = kinesis.read(kinesis.iterator(FIRST, "TRIM_HORIZON"))
    assert [record.data for record in page.records] == [b"a", b"c"]


def test_iterators_of_all_kinds() -> None:
    kinesis, clock = stream()
    numbers = []
    for letter in b"abc":
        numbers.append(kinesis.put(bytes([letter])).sequence_number)
        clock.advance(1)
    start_s = clock() - 3

    def data(*args: Any, **named: Any) -> bytes:
        return b"".join(r.data for r in kinesis.read(kinesis.iterator(FIRST, *args, **named)).records)

    assert data("TRIM_HORIZON") == b"abc"
    assert data("AT_SEQUENCE_NUMBER", sequence_number=numbers[1]) == b"bc"
    assert data("AFTER_SEQUENCE_NUMBER", sequence_number=numbers[1]) == b"c"
    assert data("AT_TIMESTAMP", timestamp_s=start_s + 0.5) == b"bc"
    assert data("AT_TIMESTAMP", timestamp_s=start_s + 99) == b""
    latest = kinesis.iterator(FIRST, "LATEST")
    assert kinesis.read(latest).records == ()
    kinesis.put(b"d")
    assert [r.data for r in kinesis.read(latest).records] == [b"d"]


def test_pages_follow_each_other_without_gaps() -> None:
    kinesis, _ = stream()
    for n in range(10):
        kinesis.put(bytes([n]))
    iterator: str | None = kinesis.iterator(FIRST, "TRIM_HORIZON")
    seen = b""
    while len(seen) < 12:
        assert iterator is not None
        page = kinesis.read(iterator, 3)
        seen += b"".join(r.data for r in page.records)
        iterator = page.next_iterator
        if len(seen) == 10:
            kinesis.put(b"\x0a\x0b"[:1])
            kinesis.put(b"\x0b")

    assert seen == bytes(range(12))


def test_a_page_holds_at_most_10_mib() -> None:
    kinesis, _ = stream()
    for _ in range(12):
        kinesis.put(b"x" * 1_000_000)

    page = kinesis.read(kinesis.iterator(FIRST, "TRIM_HORIZON"))

    assert len(page.records) == 10


def test_an_iterator_lives_five_minutes() -> None:
    kinesis, clock = stream()
    iterator = kinesis.iterator(FIRST, "TRIM_HORIZON")
    clock.advance(301)

    with pytest.raises(StreamError, match="ExpiredIteratorException"):
        kinesis.read(iterator)


def test_records_older_than_the_retention_are_gone() -> None:
    kinesis, clock = stream(retention_s=3600)
    kinesis.put(b"old")
    clock.advance(3601)
    kinesis.put(b"new")

    page = kinesis.read(kinesis.iterator(FIRST, "TRIM_HORIZON"))

    assert [record.data for record in page.records] == [b"new"]


def test_a_split_closes_the_parent_and_opens_two_children_over_its_range() -> None:
    kinesis, _ = stream()
    before = kinesis.put(b"before").sequence_number
    low, high = kinesis.split_shard(FIRST)
    after = kinesis.put_records([Entry(b"low", "a", "0"), Entry(b"high", "a", str(MAX_HASH))])

    shards = {s.info.shard_id: s for s in kinesis.list_shards()}
    assert [shards[child].info.parents for child in (low, high)] == [(FIRST,), (FIRST,)]
    assert (shards[low].first_hash, shards[high].last_hash) == (0, MAX_HASH)
    assert shards[low].last_hash + 1 == shards[high].first_hash
    assert [result.shard_id for result in after] == [low, high]
    assert all(int(result.sequence_number) > int(before) for result in after)
    page = kinesis.read(kinesis.iterator(FIRST, "TRIM_HORIZON"))
    assert ([r.data for r in page.records], page.next_iterator) == ([b"before"], None)


def test_a_merge_joins_two_neighbours() -> None:
    kinesis, _ = stream(3)

    child = kinesis.merge_shards(SECOND, FIRST)

    shards = {s.info.shard_id: s for s in kinesis.list_shards()}
    assert set(shards[child].info.parents) == {FIRST, SECOND}
    assert (shards[child].first_hash, shards[child].last_hash) == (0, shards[SECOND].last_hash)


@pytest.mark.parametrize(
    "call",
    [
        pytest.param(
            lambda s: s.merge_shards(FIRST, "shardId-000000000002"), id="merge of shards that are not neighbours"
        ),
        pytest.param(lambda s: s.split_shard(FIRST, "0"), id="split at the edge"),
        pytest.param(lambda s: s.split_shard("shardId-000000000009"), id="split of an unknown shard"),
        pytest.param(lambda s: [s.split_shard(FIRST), s.split_shard(FIRST)], id="split of a closed shard"),
        pytest.param(lambda s: s.iterator(FIRST, "AT_SEQUENCE_NUMBER"), id="iterator without its number"),
        pytest.param(lambda s: s.iterator(FIRST, "AT_TIMESTAMP"), id="iterator without its time"),
        pytest.param(lambda s: s.iterator(FIRST, "SOMEWHERE"), id="unknown kind of iterator"),
        pytest.param(lambda s: s.read("nonsense"), id="no iterator"),
        pytest.param(lambda s: s.read(s.iterator(FIRST, "LATEST"), 10_001), id="too large a page"),
    ],
)
def test_calls_that_kinesis_refuses_are_refused(call: Any) -> None:
    kinesis, _ = stream(3)

    with pytest.raises(StreamError):
        call(kinesis)


def test_closed_shards_are_listed_until_the_retention_is_over() -> None:
    kinesis, clock = stream()
    kinesis.split_shard(FIRST)
    clock.advance(86_399)
    assert FIRST in [s.info.shard_id for s in kinesis.list_shards()]
    clock.advance(2)
    assert FIRST not in [s.info.shard_id for s in kinesis.list_shards()]


def test_the_client_speaks_as_boto3_does() -> None:
    clock = VirtualClock()
    client = MemoryKinesis(clock)
    client.create_stream(StreamName="s", ShardCount=2)
    client.streams["s"].fail = lambda index, entry: "InternalFailure" if index == 1 else None
    answer = client.put_records(StreamName="s", Records=[{"Data": b"a", "PartitionKey": "k"}] * 2)
    arn = client.describe_stream_summary(StreamName="s")["StreamDescriptionSummary"]["StreamARN"]
    shards = client.list_shards(StreamARN=arn)["Shards"]
    shard_id = answer["Records"][0]["ShardId"]
    iterator = client.get_shard_iterator(StreamARN=arn, ShardId=shard_id, ShardIteratorType="TRIM_HORIZON")
    page = client.get_records(ShardIterator=iterator["ShardIterator"])

    assert answer["FailedRecordCount"] == 1
    assert answer["Records"][1]["ErrorCode"] == "InternalFailure"
    assert [shard["ShardId"] for shard in shards] == [FIRST, SECOND]
    assert [(r["Data"], r["PartitionKey"]) for r in page["Records"]] == [(b"a", "k")]
    assert page["Records"][0]["ApproximateArrivalTimestamp"].timestamp() == clock()


def test_the_client_refuses_as_boto3_does() -> None:
    client = MemoryKinesis(VirtualClock())
    client.create_stream(StreamName="s")
    client.streams["s"].fail = lambda index, entry: "ProvisionedThroughputExceededException"

    with pytest.raises(ClientError, match="ResourceNotFoundException"):
        client.describe_stream_summary(StreamName="other")
    with pytest.raises(ClientError, match="ResourceInUseException"):
        client.create_stream(StreamName="s")
    with pytest.raises(ClientError, match="ProvisionedThroughputExceededException"):
        client.put_record(StreamName="s", Data="text", PartitionKey="k")
    with pytest.raises(ClientError, match="InvalidArgumentException"):
        client.split_shard(StreamName="s", ShardToSplit=FIRST, NewStartingHashKey="0")


def test_the_client_names_parents_and_the_end_of_closed_shards() -> None:
    client = MemoryKinesis(VirtualClock())
    client.create_stream(StreamName="s", ShardCount=2)
    client.merge_shards(StreamName="s", ShardToMerge=FIRST, AdjacentShardToMerge=SECOND)

    first, _, child = client.list_shards(StreamName="s")["Shards"]

    assert (child["ParentShardId"], child["AdjacentParentShardId"]) == (FIRST, SECOND)
    assert "EndingSequenceNumber" in first["SequenceNumberRange"]
    assert "EndingSequenceNumber" not in child["SequenceNumberRange"]
    client.delete_stream(StreamName="s")
    assert client.streams == {}
