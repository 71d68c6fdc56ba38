"""Handlers and answers that the tests of the triggers share."""

from __future__ import annotations

import base64
from collections.abc import Callable, Iterable
from typing import Any

from levadactl.triggers import Machine, Read, Record, ShardInfo
from levadactl.triggers.testkit import START_S

SHARD = "shardId-000000000000"


def bodies(event: dict[str, Any]) -> list[bytes]:
    """The data of an event's records."""
    return [base64.b64decode(record["kinesis"]["data"]) for record in event["Records"]]


def fine(event: dict[str, Any], context: Any) -> dict[str, Any]:
    """Every record is fine."""
    return {"batchItemFailures": []}


def raising(poison: bytes = b"poison") -> Callable[[dict[str, Any], Any], None]:
    """Raises when one of the records is poison."""

    def handler(event: dict[str, Any], context: Any) -> None:
        if poison in bodies(event):
            raise ValueError("cannot read this")

    return handler


def reporting(*poison: bytes) -> Callable[[dict[str, Any], Any], dict[str, Any]]:
    """Reports every poison record as failed."""

    def handler(event: dict[str, Any], context: Any) -> dict[str, Any]:
        failed = [
            r["kinesis"]["sequenceNumber"] for r in event["Records"] if base64.b64decode(r["kinesis"]["data"]) in poison
        ]
        return {"batchItemFailures": [{"itemIdentifier": number} for number in failed]}

    return handler


def records(*positions: int, arrival_s: float = START_S, key: str = "key", data: bytes = b"x") -> list[Record]:
    """Records with these sequence numbers."""
    return [Record(str(position), key, data, arrival_s) for position in positions]


def opened(machine: Machine, shards: Iterable[ShardInfo] = (ShardInfo(SHARD),), now_s: float = START_S) -> list[Read]:
    """List shards and give the reads that follow."""
    machine.list_shards(shards, now_s)
    return machine.reads()
