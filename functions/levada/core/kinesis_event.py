"""A Kinesis batch as Lambda delivers it, turned into columns: positions, arrival times, data."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
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
    sequences: Sequence[str]
    """Sequence numbers as they came: decimal digits."""
    arrived_s: Sequence[float]
    """Approximate arrival at the stream, seconds since 1970-01-01 UTC."""
    data: Sequence[bytes]
    partition_keys: Sequence[str]

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
        raw = _in_order(raw)
        shards = {r["eventID"][:_SHARD_LENGTH] for r in raw}
        kinesis = [r["kinesis"] for r in raw]
        batch = Batch(
            raw[0]["eventSourceARN"],
            min(shards),
            [k["sequenceNumber"] for k in kinesis],
            [k["approximateArrivalTimestamp"] for k in kinesis],
            [b64decode(k["data"]) for k in kinesis],
            [k["partitionKey"] for k in kinesis],
        )
        int(batch.sequences[0]), float(batch.arrived_s[0])
    except (KeyError, TypeError, ValueError) as err:
        raise ConfigError(f"event record is not of Kinesis: {type(err).__name__} {err}") from err
    if len(shards) != 1:
        raise ConfigError(f"event mixes shards {sorted(shards)}: a batch comes from one shard")
    return batch


def _in_order(raw: list[Any]) -> list[Any]:
    """Lambda delivers in order; numbers of one length compare as text."""
    numbers = [r["kinesis"]["sequenceNumber"] for r in raw]
    if len(set(map(len, numbers))) == 1 and sorted(numbers) == numbers:
        return raw
    return sorted(raw, key=lambda r: int(r["kinesis"]["sequenceNumber"]))
