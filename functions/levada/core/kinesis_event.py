"""A Kinesis batch as Lambda delivers it, turned into columns: positions, arrival times, data."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import repeat
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
    arrived_s: Sequence[float]
    """Approximate arrival at the stream, seconds since 1970-01-01 UTC."""
    data: list[bytes]
    partition_keys: Sequence[str]

    def __len__(self) -> int:
        return len(self.sequences)

    def record(self, i: int) -> StreamRecord:
        return StreamRecord(int(self.sequences[i]), self.arrived_us(i), self.data[i], self.partition_keys[i])

    def arrived_us(self, i: int) -> int:
        return microseconds(self.arrived_s[i])

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


def microseconds(seconds: float) -> int:
    return round(seconds * 1_000_000)


class _Field(Sequence[Any]):
    """A field of each record, looked up when it is asked for: of most records nobody does. All together: made once.

    Raises ConfigError where a record has no such field.
    """

    def __init__(self, records: Sequence[Any], name: str) -> None:
        self._records, self._name = records, name
        self._all: list[Any] | None = None

    def __len__(self) -> int:
        return len(self._records)

    def __getitem__(self, i: Any) -> Any:
        return self._of([self._records[i]])[0] if self._all is None else self._all[i]

    def __iter__(self) -> Iterator[Any]:
        if self._all is None:
            self._all = self._of(self._records)
        return iter(self._all)

    def _of(self, records: Sequence[Any]) -> list[Any]:
        try:
            return [record["kinesis"][self._name] for record in records]
        except (KeyError, TypeError) as err:
            raise _not_of_kinesis(err) from err


def _not_of_kinesis(err: Exception) -> ConfigError:
    return ConfigError(f"event record is not of Kinesis: {type(err).__name__} {err}")


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
        batch, ids, in_order = _columns(raw)
        if not in_order:
            batch, ids, _ = _columns(sorted(raw, key=lambda r: int(r["kinesis"]["sequenceNumber"])))
        int(batch.sequences[0]), float(batch.arrived_s[0])
    except (KeyError, TypeError, ValueError) as err:
        raise _not_of_kinesis(err) from err
    shards = {text[:_SHARD_LENGTH] for text in ids}
    if len(shards) != 1:
        raise ConfigError(f"event mixes shards {sorted(shards)}: a batch comes from one shard")
    return batch


_BLOCK = 512
"""Records that are taken apart at a time: few enough to stay in a core's own cache while field after field is."""


def _columns(raw: list[Any]) -> tuple[Batch, list[str], bool]:
    """(the batch, event ids among which every shard of it occurs, whether the records are known to be in order)."""
    arrived, keys = _Field(raw, "approximateArrivalTimestamp"), _Field(raw, "partitionKey")
    batch = Batch(raw[0]["eventSourceARN"], raw[0]["eventID"][:_SHARD_LENGTH], [], arrived, [], keys)
    extremes: list[str] = []
    edges: list[str] = []
    in_order = True
    for start in range(0, len(raw), _BLOCK):
        block = raw[start : start + _BLOCK]
        kinesis = [record["kinesis"] for record in block]
        sequences = [record["sequenceNumber"] for record in kinesis]
        batch.sequences.extend(sequences)
        in_order = in_order and _ascending(sequences)
        edges += sequences[0], sequences[-1]
        batch.data.extend(_decoded([record["data"] for record in kinesis]))
        ids = sorted([record["eventID"] for record in block])  # nearly always in order already
        extremes += ids[0], ids[-1]  # all from one shard when these two are: what begins alike sorts together
    return batch, extremes, in_order and _ascending(edges)


def _decoded(texts: list[str]) -> list[bytes]:
    try:
        return list(map(b64decode, texts, repeat(None), repeat(True)))
    except ValueError:  # line breaks, say, in an event that somebody wrote by hand: slower to skip than to refuse
        return list(map(b64decode, texts))


def _ascending(numbers: Sequence[str]) -> bool:
    """Lambda delivers in order; numbers of one length compare as text."""
    return len(set(map(len, numbers))) == 1 and sorted(numbers) == numbers
