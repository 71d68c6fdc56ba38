"""A Kinesis batch as Lambda delivers it, turned into records with positions."""

from __future__ import annotations

import base64
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from levada.core.errors import ConfigError


@dataclass(frozen=True, slots=True)
class StreamRecord:
    """One stream record."""

    sequence: int
    arrived_us: int
    """Approximate arrival at the stream, microseconds since 1970-01-01 UTC."""
    data: bytes
    partition_key: str = ""


@dataclass(frozen=True, slots=True)
class Batch:
    """The records of one invocation: all of one shard, ascending by sequence number."""

    arn: str
    shard_id: str
    records: tuple[StreamRecord, ...]


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
        shards = {r["eventID"].partition(":")[0] for r in raw}
        records = [
            StreamRecord(
                int(k["sequenceNumber"]),
                round(float(k["approximateArrivalTimestamp"]) * 1_000_000),
                base64.b64decode(k["data"]),
                str(k.get("partitionKey", "")),
            )
            for k in (r["kinesis"] for r in raw)
        ]
    except (KeyError, TypeError, ValueError) as err:
        raise ConfigError(f"event record is not of Kinesis: {type(err).__name__} {err}") from err
    if len(shards) != 1:
        raise ConfigError(f"event mixes shards {sorted(shards)}: a batch comes from one shard")
    records.sort(key=lambda r: r.sequence)
    return Batch(raw[0]["eventSourceARN"], shards.pop(), tuple(records))
