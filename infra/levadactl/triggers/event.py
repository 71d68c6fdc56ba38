"""The Lambda event of a Kinesis batch, and its exact size."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from levadactl.triggers.model import Record

PAYLOAD_LIMIT_BYTES = 6 * 1024 * 1024
"""The largest request of a synchronous invocation."""
FRAME_BYTES = len('{"Records":[]}')


def encode(event: dict[str, Any]) -> bytes:
    """The event as it goes over the wire: compact JSON, ASCII."""
    return json.dumps(event, separators=(",", ":")).encode("ascii")


@dataclass(frozen=True, slots=True)
class Envelope:
    """What all records of one shard have in common in an event."""

    shard_id: str
    stream_arn: str
    region: str
    role_arn: str

    def event(self, records: Iterable[Record]) -> dict[str, Any]:
        """``{"Records": [...]}`` in the order given; data is base64 text."""
        return {"Records": [self.record(record) for record in records]}

    def record(self, record: Record) -> dict[str, Any]:
        """One entry of the event."""
        return {
            "kinesis": {
                "kinesisSchemaVersion": "1.0",
                "partitionKey": record.partition_key,
                "sequenceNumber": record.sequence_number,
                "data": base64.b64encode(record.data).decode("ascii"),
                "approximateArrivalTimestamp": record.arrival_s,
            },
            "eventSource": "aws:kinesis",
            "eventVersion": "1.0",
            "eventID": f"{self.shard_id}:{record.sequence_number}",
            "eventName": "aws:kinesis:record",
            "invokeIdentityArn": self.role_arn,
            "awsRegion": self.region,
            "eventSourceARN": self.stream_arn,
        }

    def constant_bytes(self) -> int:
        """Size of a record's JSON without its own key, number (twice), data and time."""
        empty = self.record(Record("0", "", b"", 0.0))
        return len(encode(empty)) - len('0""00.0')

    def record_bytes(self, record: Record, constant_bytes: int) -> int:
        """Exact size of this record's JSON, without building it; pass ``constant_bytes()`` once per shard."""
        return (
            constant_bytes
            + len(json.dumps(record.partition_key))
            + 2 * len(record.sequence_number)
            + 4 * ((len(record.data) + 2) // 3)
            + len(repr(record.arrival_s))
        )
