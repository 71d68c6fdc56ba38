"""Quarantine: what can never be read, kept with payload, reason, stage and position. It counts as handled."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import pyarrow as pa

from levada.core.keys import UNKNOWN_DOMAIN

SCHEMA = pa.schema(
    [
        pa.field("stage", pa.string()),
        pa.field("reason", pa.string()),
        pa.field("detail", pa.string()),
        pa.field("domain", pa.string()),
        pa.field("tenant", pa.string()),
        pa.field("payload", pa.binary()),
        pa.field("shard", pa.string()),
        pa.field("sequence", pa.string()),
        pa.field("source", pa.string()),
        pa.field("position", pa.int64()),
        pa.field("row", pa.int32()),
        pa.field("line", pa.int64()),
        pa.field("arrived", pa.timestamp("us", tz="UTC")),
        pa.field("trace", pa.string()),
    ]
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Quarantined:
    """One record, or one row of a record, that was refused."""

    stage: str
    reason: str
    """A short fixed slug, such as ``too_few_fields`` or ``not_a_number``."""
    detail: str
    payload: bytes
    """The record, or the row, as it came."""
    shard: str
    sequence: str
    """Padded sequence number on the shard's stream."""
    arrived_us: int
    """Approximate arrival at the stream, microseconds since 1970-01-01 UTC."""
    domain: str = UNKNOWN_DOMAIN
    tenant: str = ""
    source: str = ""
    position: int | None = None
    row: int = 0
    line: int | None = None
    """Line of the file it came from, 1 = the first line, where a file it was."""
    trace: str = ""


def to_table(rows: Sequence[Quarantined]) -> pa.Table:
    """n rows, in the order given."""
    values = {name: [getattr(r, name) for r in rows] for name in SCHEMA.names if name != "arrived"}
    values["arrived"] = [r.arrived_us for r in rows]
    return pa.table({f.name: pa.array(values[f.name], f.type) for f in SCHEMA}, schema=SCHEMA)
