"""A Kinesis stream in memory: real routing, limits, iterators, resharding; the clock is handed in.

``MemoryStream`` is the stream itself. ``MemoryKinesis`` (memory_client.py) gives it the shape of a boto3 client.
"""

from __future__ import annotations

import base64
import hashlib
import json
from bisect import bisect_left
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any, Literal

from levadactl.triggers.errors import StreamError
from levadactl.triggers.model import Record, ShardInfo

MAX_HASH = 2**128 - 1
MAX_ENTRIES = 500
MAX_RECORD_BYTES = 1024 * 1024
MAX_REQUEST_BYTES = 5 * 1024 * 1024
MAX_READ_BYTES = 10 * 1024 * 1024
MAX_READ_RECORDS = 10_000
ITERATOR_LIFE_S = 300
FIRST_NUMBER = 495 * 10**53
"""Sequence numbers have 56 digits, grow over the whole stream, and have gaps, as on AWS."""

IteratorKind = Literal["TRIM_HORIZON", "LATEST", "AT_SEQUENCE_NUMBER", "AFTER_SEQUENCE_NUMBER", "AT_TIMESTAMP"]


@dataclass(frozen=True, slots=True)
class Entry:
    """One entry of a PutRecords request."""

    data: bytes
    partition_key: str
    explicit_hash_key: str | None = None

    @property
    def hash_key(self) -> int:
        """128-bit hash that picks the shard."""
        if self.explicit_hash_key is not None:
            return int(self.explicit_hash_key)
        return int.from_bytes(hashlib.md5(self.partition_key.encode(), usedforsecurity=False).digest(), "big")


@dataclass(frozen=True, slots=True)
class PutResult:
    """What became of one entry: a place in a shard, or an error code."""

    shard_id: str = ""
    sequence_number: str = ""
    error: str = ""


@dataclass(frozen=True, slots=True)
class Page:
    """One answer of GetRecords; ``next_iterator`` is None at the end of a closed shard."""

    records: tuple[Record, ...]
    next_iterator: str | None
    behind_ms: int


@dataclass(slots=True)
class MemoryShard:
    """One shard: a hash range ``[first_hash, last_hash]`` and its records in order."""

    info: ShardInfo
    first_hash: int
    last_hash: int
    starts_at: int
    ends_at: int | None = None
    """Sequence number of its end once it is closed."""
    closed_s: float = 0.0
    records: list[Record] = field(default_factory=list)


class MemoryStream:
    """One stream. All calls are refused with StreamError as Kinesis would refuse them."""

    def __init__(
        self,
        name: str = "memory",
        *,
        shards: int = 1,
        clock: Callable[[], float],
        fail: Callable[[int, Entry], str | None] | None = None,
        retention_s: float = 86_400.0,
        region: str = "us-east-1",
        account: str = "000000000000",
    ) -> None:
        """``clock`` gives epoch seconds; ``fail(index, entry)`` may give an error code for an entry of a put."""
        self.name = name
        self.arn = f"arn:aws:kinesis:{region}:{account}:stream/{name}"
        self.clock = clock
        self.fail = fail
        self.retention_s = retention_s
        self.created_s = float(int(clock()))
        self._puts = 0
        self._opened = 0
        self._shards: dict[str, MemoryShard] = {}
        width = (MAX_HASH + 1) // shards
        for n in range(shards):
            self._open(n * width, MAX_HASH if n == shards - 1 else (n + 1) * width - 1, ())

    # -- writing ---------------------------------------------------------------------------------------------------

    def put(self, data: bytes, partition_key: str = "key") -> PutResult:
        """Put one record; a refused one raises StreamError."""
        (result,) = self.put_records([Entry(data, partition_key)])
        if result.error:
            raise StreamError(result.error, "refused by the fail hook")
        return result

    def put_records(self, entries: Iterable[Entry]) -> list[PutResult]:
        """Put up to 500 entries of at most 1 MiB each and 5 MiB together; each may fail on its own."""
        batch = list(entries)
        _check_entries(batch)
        results = []
        for index, entry in enumerate(batch):
            error = self.fail(index, entry) if self.fail else None
            results.append(PutResult(error=error) if error else self._append(entry))
        return results

    # -- reading ---------------------------------------------------------------------------------------------------

    def list_shards(self) -> list[MemoryShard]:
        """Open shards, and those that were closed within the retention."""
        self._trim()
        return list(self._shards.values())

    def shard_infos(self) -> list[ShardInfo]:
        """The shards as the machine wants them."""
        return [shard.info for shard in self.list_shards()]

    def iterator(
        self,
        shard_id: str,
        kind: IteratorKind,
        *,
        sequence_number: str | None = None,
        timestamp_s: float | None = None,
    ) -> str:
        """A shard iterator, valid for five minutes."""
        shard = self._shard(shard_id)
        match kind:
            case "TRIM_HORIZON":
                start = 0
            case "LATEST":
                start = self._number()
            case "AT_SEQUENCE_NUMBER" | "AFTER_SEQUENCE_NUMBER":
                if sequence_number is None:
                    raise StreamError("InvalidArgumentException", f"{kind} needs StartingSequenceNumber")
                start = int(sequence_number) + (kind == "AFTER_SEQUENCE_NUMBER")
            case "AT_TIMESTAMP":
                if timestamp_s is None:
                    raise StreamError("InvalidArgumentException", "AT_TIMESTAMP needs Timestamp")
                later = (r.position for r in shard.records if r.arrival_s >= timestamp_s)
                start = next(later, self._number())
            case _:
                raise StreamError("InvalidArgumentException", f"ShardIteratorType {kind!r}")
        return self._token(shard_id, start)

    def read(self, iterator: str, limit: int = MAX_READ_RECORDS) -> Page:
        """Up to ``limit`` records and 10 MiB from an iterator on."""
        shard_id, start, made_s = _open_token(iterator)
        if self.clock() - made_s > ITERATOR_LIFE_S:
            raise StreamError("ExpiredIteratorException", "the iterator is older than five minutes")
        if not 1 <= limit <= MAX_READ_RECORDS:
            raise StreamError("InvalidArgumentException", f"Limit: {limit}; allowed: 1..{MAX_READ_RECORDS}")
        self._trim()
        shard = self._shard(shard_id)
        first = bisect_left(shard.records, start, key=lambda r: r.position)
        page = _page(shard.records, first, limit)
        after = first + len(page)
        if after < len(shard.records):
            behind_ms = int((self.clock() - shard.records[after].arrival_s) * 1000)
            return Page(page, self._token(shard_id, shard.records[after].position), max(0, behind_ms))
        if shard.ends_at is not None:
            return Page(page, None, 0)
        # Not the stream's next number: an iterator must not skip what another shard's put used up.
        return Page(page, self._token(shard_id, max(start, page[-1].position + 1 if page else 0)), 0)

    # -- resharding ------------------------------------------------------------------------------------------------

    def split_shard(self, shard_id: str, new_starting_hash_key: str | None = None) -> tuple[str, str]:
        """Close a shard and open two in its place; without a hash key it is halved. Returns the children's ids."""
        shard = self._open_shard(shard_id)
        middle = (shard.first_hash + shard.last_hash + 1) // 2
        start = int(new_starting_hash_key) if new_starting_hash_key is not None else middle
        if not shard.first_hash < start <= shard.last_hash:
            allowed = f"{shard.first_hash + 1}..{shard.last_hash}"
            raise StreamError("InvalidArgumentException", f"NewStartingHashKey: {start}; allowed: {allowed}")
        self._close(shard)
        low = self._open(shard.first_hash, start - 1, (shard_id,))
        return low, self._open(start, shard.last_hash, (shard_id,))

    def merge_shards(self, shard_id: str, adjacent_shard_id: str) -> str:
        """Close two adjacent shards and open one in their place; returns its id."""
        low, high = self._open_shard(shard_id), self._open_shard(adjacent_shard_id)
        if low.first_hash > high.first_hash:
            low, high = high, low
        if low.last_hash + 1 != high.first_hash:
            raise StreamError("InvalidArgumentException", f"{shard_id} and {adjacent_shard_id} are not adjacent")
        self._close(low)
        self._close(high)
        return self._open(low.first_hash, high.last_hash, (shard_id, adjacent_shard_id))

    # -- inside ----------------------------------------------------------------------------------------------------

    def _append(self, entry: Entry) -> PutResult:
        key = entry.hash_key
        shard = next(s for s in self._shards.values() if s.ends_at is None and s.first_hash <= key <= s.last_hash)
        number = str(self._number())
        self._puts += 1
        arrival_s = round(self.clock(), 3)
        shard.records.append(Record(number, entry.partition_key, entry.data, arrival_s))
        return PutResult(shard.info.shard_id, number)

    def _number(self) -> int:
        return FIRST_NUMBER + int(self.created_s) * 10**20 + self._puts * 7919

    def _open(self, first_hash: int, last_hash: int, parents: tuple[str, ...]) -> str:
        shard_id = f"shardId-{self._opened:012d}"
        self._opened += 1
        self._shards[shard_id] = MemoryShard(ShardInfo(shard_id, parents), first_hash, last_hash, self._number())
        return shard_id

    def _close(self, shard: MemoryShard) -> None:
        shard.ends_at, shard.closed_s = self._number(), self.clock()
        self._puts += 1

    def _shard(self, shard_id: str) -> MemoryShard:
        if shard_id not in self._shards:
            raise StreamError("ResourceNotFoundException", f"shard {shard_id} in stream {self.name}")
        return self._shards[shard_id]

    def _open_shard(self, shard_id: str) -> MemoryShard:
        shard = self._shard(shard_id)
        if shard.ends_at is not None:
            raise StreamError("InvalidArgumentException", f"shard {shard_id} is closed")
        return shard

    def _token(self, shard_id: str, start: int) -> str:
        return base64.b64encode(json.dumps([shard_id, start, self.clock()]).encode()).decode("ascii")

    def _trim(self) -> None:
        oldest_s = self.clock() - self.retention_s
        for shard in list(self._shards.values()):
            expired = 0
            while expired < len(shard.records) and shard.records[expired].arrival_s < oldest_s:
                expired += 1
            del shard.records[:expired]
        for shard_id in [s.info.shard_id for s in list(self._shards.values()) if s.ends_at and s.closed_s < oldest_s]:
            del self._shards[shard_id]


def _open_token(iterator: str) -> tuple[str, int, float]:
    try:
        shard_id, start, made_s = json.loads(base64.b64decode(iterator))
    except ValueError:
        raise StreamError("InvalidArgumentException", "not an iterator") from None
    return str(shard_id), int(start), float(made_s)


def _page(records: list[Record], first: int, limit: int) -> tuple[Record, ...]:
    page: list[Record] = []
    size = 0
    for record in records[first : first + limit]:
        size += len(record.data) + len(record.partition_key)
        if page and size > MAX_READ_BYTES:
            break
        page.append(record)
    return tuple(page)


def _check_entries(entries: list[Entry]) -> None:
    if not 1 <= len(entries) <= MAX_ENTRIES:
        raise StreamError("InvalidArgumentException", f"Records: {len(entries)} entries; allowed: 1..{MAX_ENTRIES}")
    total = 0
    for entry in entries:
        if not 1 <= len(entry.partition_key) <= 256:
            allowed = "1..256 characters"
            raise StreamError("InvalidArgumentException", f"PartitionKey: {entry.partition_key!r}; allowed: {allowed}")
        if entry.explicit_hash_key is not None and not _is_hash(entry.explicit_hash_key):
            raise StreamError("InvalidArgumentException", f"ExplicitHashKey: {entry.explicit_hash_key}; 0..2^128-1")
        size = len(entry.data) + len(entry.partition_key.encode())
        if size > MAX_RECORD_BYTES:
            raise StreamError("InvalidArgumentException", f"a record of {size} bytes; allowed: {MAX_RECORD_BYTES}")
        total += size
    if total > MAX_REQUEST_BYTES:
        raise StreamError("InvalidArgumentException", f"a request of {total} bytes; allowed: {MAX_REQUEST_BYTES}")


def _is_hash(text: str) -> bool:
    return text.isdecimal() and int(text) <= MAX_HASH


def open_shards(shards: Iterable[MemoryShard]) -> list[str]:
    """Ids of the shards that take records."""
    return [shard.info.shard_id for shard in shards if shard.ends_at is None]


def as_api(result: PutResult) -> dict[str, Any]:
    """One entry of the answer of PutRecords."""
    if result.error:
        return {"ErrorCode": result.error, "ErrorMessage": f"{result.error} (injected)"}
    return {"SequenceNumber": result.sequence_number, "ShardId": result.shard_id}
