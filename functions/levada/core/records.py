"""The canonical row of a measurement: its Arrow schema, its identity, its quality flags."""

from __future__ import annotations

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
