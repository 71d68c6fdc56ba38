"""A Kinesis batch as Lambda delivers it, turned into columns: positions, arrival times, data."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import repeat
from operator import itemgetter
from typing import Any, NamedTuple

from pybase64 import b64decode

from levada.core.errors import ConfigError

_SHARD_LENGTH = len("shardId-000000000000")


class StreamRecord(NamedTuple):
    """One stream record."""

    sequence: int
    arrived_us: int
    """Approximate arrival at the stream, microseconds since 1970-01-01 UTC."""
    data: bytes
    partition_key: str = ""


@dataclass(frozen=True, slots=True)
class Batch:
    """The records of one invocation, column by column: all of one shard, ascending by sequence number."""

    arn: str
    shard_id: str
    sequences: list[str]
    """Sequence numbers as they came: decimal digits."""
    arrived_s: list[float]
    """Approximate arrival at the stream, seconds since 1970-01-01 UTC."""
    data: list[bytes]
    partition_keys: list[str]

    def __len__(self) -> int:
        return len(self.sequences)

    def record(self, i: int) -> StreamRecord:
        return StreamRecord(int(self.sequences[i]), self.arrived_us(i), self.data[i], self.partition_keys[i])

    def arrived_us(self, i: int) -> int:
        return round(self.arrived_s[i] * 1_000_000)

    def first_after(self, mark: int) -> int:
        """Index of the first record whose sequence number is greater than mark; their number when there is none."""
        low, high = 0, len(self.sequences)
        while low < high:
            middle = (low + high) // 2
            if int(self.sequences[middle]) <= mark:
                low = middle + 1
            else:
                high = middle
        return low


def parse(event: Mapping[str, Any]) -> Batch | None:
    """None when the event holds no records.

    Raises:
        ConfigError: the event is no Kinesis batch, or mixes shards: the function is wired to a wrong source.
    """
    raw = event.get("Records")
    if not isinstance(raw, list):
        raise ConfigError(f"event has keys {sorted(event)}: a Kinesis batch has Records")
    if not raw:
        return None
    try:
        batch, ids = _columns(raw)
        if not _ascending(batch.sequences):
            batch, ids = _columns(sorted(raw, key=lambda r: int(r["kinesis"]["sequenceNumber"])))
        int(batch.sequences[0]), float(batch.arrived_s[0])
    except (KeyError, TypeError, ValueError) as err:
        raise ConfigError(f"event record is not of Kinesis: {type(err).__name__} {err}") from err
    shards = {text[:_SHARD_LENGTH] for text in ids}
    if len(shards) != 1:
        raise ConfigError(f"event mixes shards {sorted(shards)}: a batch comes from one shard")
    return batch


_BLOCK = 512
"""Records that are taken apart at a time: few enough to stay in a core's own cache while field after field is."""


def _columns(raw: list[Any]) -> tuple[Batch, list[str]]:
    """(the batch, event ids among which every shard occurs that the batch holds)."""
    batch = Batch(raw[0]["eventSourceARN"], raw[0]["eventID"][:_SHARD_LENGTH], [], [], [], [])
    extremes: list[str] = []
    for start in range(0, len(raw), _BLOCK):
        block = raw[start : start + _BLOCK]
        kinesis = list(map(itemgetter("kinesis"), block))
        batch.sequences.extend(map(itemgetter("sequenceNumber"), kinesis))
        batch.arrived_s.extend(map(itemgetter("approximateArrivalTimestamp"), kinesis))
        batch.partition_keys.extend(map(itemgetter("partitionKey"), kinesis))
        batch.data.extend(_decoded(list(map(itemgetter("data"), kinesis))))
        ids = sorted(map(itemgetter("eventID"), block))  # nearly always in order already
        extremes += ids[0], ids[-1]  # all from one shard when these two are: what begins alike sorts together
    return batch, extremes


def _decoded(texts: list[str]) -> list[bytes]:
    try:
        return list(map(b64decode, texts, repeat(None), repeat(True)))
    except ValueError:  # line breaks, say, in an event that somebody wrote by hand: slower to skip than to refuse
        return list(map(b64decode, texts))


def _ascending(numbers: Sequence[str]) -> bool:
    """Lambda delivers in order; numbers of one length compare as text."""
    return len(set(map(len, numbers))) == 1 and sorted(numbers) == numbers
