"""The canonical rows, of a measurement and of an event: their Arrow schemas, identities and quality flags."""

from __future__ import annotations

from collections.abc import Mapping
from enum import IntFlag

import pyarrow as pa

TEXT = pa.dictionary(pa.int32(), pa.string())
TIME = pa.timestamp("us", tz="UTC")


class Quality(IntFlag):
    """Why a measurement is as it is. A row without a value has at least one flag."""

    GOOD = 0
    MISSING = 1
    """The field was empty or absent."""
    SENTINEL = 2
    """The source's own mark for "no value" (such as -200)."""
    OUT_OF_RANGE = 4
    """Outside the domain's limits: the value is null here and stands in bronze as it came."""
    UNDATED = 8
    """No time: the row is kept under date=__undated__ and takes part in no window."""
    FORCED_TIME = 16
    """The time was shifted on purpose (replay --shift-to-now)."""


IDENTITY = (
    pa.field("shard", TEXT),  # token of the raw shard
    pa.field("sequence", TEXT),  # of the raw stream, padded to 56 digits
    pa.field("source", TEXT),  # of the pack; <shard>/<sequence> for a plain record
    pa.field("position", pa.int64()),  # n of the pack; 0 for a plain record
    pa.field("row", pa.int32()),  # of the pack, or of the plain record's body
)
"""Where a row came from. ``(source, position, row, metric)`` is the row's identity: the same for every attempt at its
stream record, and for every time its pack was sent."""

SERIES = ("domain", "tenant", "site", "unit", "series", "metric")
"""What names a time series."""

MEASUREMENT = pa.schema(
    [
        pa.field("time", TIME),
        *(pa.field(name, TEXT) for name in SERIES),
        pa.field("value", pa.float64()),
        pa.field("quality", pa.uint8()),
        pa.field("event_id", pa.string()),
        *IDENTITY,
    ]
)

ITEM = pa.field("item", pa.int32())
"""Which of the events of one source row: 0 for its own, 1, 2, … for those derived from it (the lines of an order)."""

EVENT = pa.schema(
    [
        pa.field("time", TIME),
        *(pa.field(name, TEXT) for name in ("domain", "tenant", "site", "unit")),
        pa.field("entity_type", TEXT),  # what it happened to: job, device, customer …
        pa.field("entity_id", TEXT),
        pa.field("parent_id", TEXT),  # the entity that this one is part of; empty for none
        pa.field("event_type", TEXT),
        pa.field("severity", TEXT),  # info, warning, error, critical; empty where a source has none
        pa.field("value", pa.float64()),
        pa.field("attributes", pa.string()),  # JSON object text, null for none
        pa.field("quality", pa.uint8()),
        pa.field("event_id", pa.string()),
        *IDENTITY,
        ITEM,
    ]
)
"""Columns that every event has; behind them stand the fields that its domain declares, as float64 or TEXT.
``(source, position, row, item)`` is an event's identity."""


def event_schema(fields: Mapping[str, str]) -> pa.Schema:
    """EVENT, and behind it the fields that a domain declares: name → ``number`` or ``text``."""
    return pa.schema([*EVENT, *(pa.field(n, pa.float64() if kind == "number" else TEXT) for n, kind in fields.items())])
