"""The words of the stream triggers: records, shards, positions, commands, and answers to commands."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, Literal


@dataclass(frozen=True, slots=True)
class Record:
    """One stream record as GetRecords returns it."""

    sequence_number: str
    """Decimal digits (56 on AWS, 30 on MiniStack): compare ``position``, never the text."""
    partition_key: str
    data: bytes
    arrival_s: float
    """Approximate arrival, seconds since 1970-01-01 UTC."""
    position: int = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "position", int(self.sequence_number))


@dataclass(frozen=True, slots=True)
class ShardInfo:
    """One shard as ListShards names it; ``parents`` holds zero, one (split) or two (merge) shard ids."""

    shard_id: str
    parents: tuple[str, ...] = ()


class Start(StrEnum):
    """Where a mapping begins in a shard that it has not read yet."""

    TRIM_HORIZON = "TRIM_HORIZON"
    LATEST = "LATEST"
    AT_TIMESTAMP = "AT_TIMESTAMP"


@dataclass(frozen=True, slots=True)
class Position:
    """Where to read next; the fields are those of GetShardIterator."""

    kind: Literal["TRIM_HORIZON", "AT_TIMESTAMP", "AFTER_SEQUENCE_NUMBER"]
    """LATEST is not among them: it becomes AT_TIMESTAMP at the moment the shard is seen first, so a restart cannot
    move it forward past records that nobody has read."""
    sequence_number: str | None = None
    timestamp_s: float | None = None


@dataclass(frozen=True, slots=True)
class Read:
    """The machine has room for ``limit`` more records of this shard, from ``position`` on."""

    shard_id: str
    position: Position
    limit: int


class Condition(StrEnum):
    """Why records were discarded, as the on-failure message says it."""

    RETRIES = "RetryAttemptsExhausted"
    AGE = "RecordAgeExceeded"


@dataclass(frozen=True, slots=True)
class Invoke:
    """Call the function with these records, then ``answer(id, ...)``. At most one per lane is open."""

    id: int
    shard_id: str
    lane: int
    records: tuple[Record, ...]
    attempt: int
    """Invocations of these records so far, this one included (1 = first try)."""
    event: dict[str, Any] = field(repr=False)
    """The Lambda event, ready for ``json.dumps``."""


@dataclass(frozen=True, slots=True)
class Discard:
    """Send ``body`` to ``destination`` (None: nowhere), then ``discarded(id, ...)``; only then the lane goes on."""

    id: int
    shard_id: str
    lane: int
    records: tuple[Record, ...]
    condition: Condition
    destination: str | None
    body: dict[str, Any] = field(repr=False)


Command = Invoke | Discard


@dataclass(frozen=True, slots=True)
class Returned:
    """The function ran and gave an answer."""

    payload: Any = None
    """The decoded JSON of the response."""
    request_id: str | None = None
    executed_version: str = "$LATEST"


@dataclass(frozen=True, slots=True)
class Failed:
    """The function was called and failed: it raised, crashed, or ran into its timeout."""

    error: str = "Unhandled"
    """The header X-Amz-Function-Error."""
    request_id: str | None = None
    executed_version: str = "$LATEST"
    detail: str = ""
    """For logs only."""


@dataclass(frozen=True, slots=True)
class Throttled:
    """The function could not be called for lack of concurrency; uses up no retry."""

    detail: str = ""


@dataclass(frozen=True, slots=True)
class Unavailable:
    """The call did not come through, or its response was lost; uses up no retry."""

    detail: str = ""


Answer = Returned | Failed | Throttled | Unavailable


@dataclass(frozen=True, slots=True)
class Backoff:
    """Wait ``first_s * factor**n`` seconds, at most ``max_s``, before the next try; no jitter, so runs repeat."""

    first_s: float = 1.0
    factor: float = 2.0
    max_s: float = 60.0

    def delay_s(self, failures: int) -> float:
        """Seconds to wait after the given number of failures in a row (1 = the first)."""
        exponent = min(max(failures - 1, 0), 64)
        return min(self.first_s * self.factor**exponent, self.max_s)
