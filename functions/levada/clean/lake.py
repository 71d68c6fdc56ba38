"""What clean writes into the lake: bronze as it came, silver and events by day, quarantine for what was refused."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import UTC, datetime

import pyarrow as pa
import pyarrow.compute as pc

from levada.clean.shapes import Origin
from levada.core import keys, parquet, quarantine
from levada.core.keys import Span
from levada.core.kinesis_event import Batch, microseconds
from levada.core.packs import is_pack
from levada.core.quarantine import Quarantined
from levada.core.records import TIME

BRONZE = pa.schema(
    [
        pa.field("shard", pa.string()),
        pa.field("sequence", pa.string()),
        pa.field("arrived", TIME),
        pa.field("partition_key", pa.string()),
        pa.field("tenant", pa.string()),
        pa.field("payload", pa.binary()),
    ]
)
TEXT_COLUMNS = ["shard", "sequence", "partition_key", "tenant"]


def bronze_object(domain: str, span: Span, batch: Batch, records: Sequence[int], origin: Origin) -> tuple[str, bytes]:
    """(key, Parquet) of the unmodified payloads of these records of the batch.

    The day in the key is that of the first one's arrival, UTC: a property of the record, so a retry gives the same.
    """
    arrived, partition_keys = list(batch.arrived_s), list(batch.partition_keys)
    date = datetime.fromtimestamp(arrived[records[0]], UTC).date().isoformat()
    table = pa.table(
        [
            pa.array([origin.shard] * len(records), pa.string()),
            pa.array([origin.sequences[i] for i in records], pa.string()),
            pa.array([microseconds(arrived[i]) for i in records], pa.int64()).cast(TIME),
            pa.array([partition_keys[i] for i in records], pa.string()),
            pa.array([origin.tenants[i] for i in records], pa.string()),
            pa.array([batch.data[i] for i in records], pa.binary()),
        ],
        schema=BRONZE,
    )
    # packs are compressed already: a second pass costs time and gains nothing
    packed = is_pack(batch.data[records[0]])
    codecs = {name: "none" if name == "payload" and packed else "zstd" for name in BRONZE.names}
    return keys.bronze(domain, date, span), parquet.to_bytes(table, dictionary=TEXT_COLUMNS, codecs=codecs)


def silver_objects(domain: str, span: Span, rows: pa.Table, *, redrive: bool = False) -> Iterator[tuple[str, bytes]]:
    """One (key, Parquet) per day of event time; rows sorted by series, metric, time. redrive: see ``keys.silver``."""
    for date, some in by_day(rows, ("series", "metric")):
        yield keys.silver(domain, date, span, redrive=redrive), parquet.to_bytes(some)


def event_objects(domain: str, span: Span, rows: pa.Table, *, redrive: bool = False) -> Iterator[tuple[str, bytes]]:
    """The same of events, sorted by entity and time."""
    for date, some in by_day(rows, ("entity_type", "entity_id")):
        yield keys.events(domain, date, span, redrive=redrive), parquet.to_bytes(some)


def by_day(rows: pa.Table, names: Sequence[str]) -> Iterator[tuple[str, pa.Table]]:
    """(day of event time or ``__undated__``, its rows) in order, rows sorted by these texts and time."""
    days = pc.cast(rows["time"], pa.date32(), safe=False)
    sortable = rows.append_column("__day", days)
    for name in names:
        sortable = sortable.append_column(f"__{name}", _plain_text(rows[name]))
    order = [("__day", "ascending"), *((f"__{name}", "ascending") for name in names), ("time", "ascending")]
    indices = pc.sort_indices(sortable, sort_keys=order)
    rows, days = rows.take(indices), days.take(indices).combine_chunks()
    runs = pc.run_end_encode(days)
    start = 0
    for day, end in zip(runs.values.to_pylist(), runs.run_ends.to_pylist(), strict=True):
        yield keys.UNDATED if day is None else str(day), rows.slice(start, end - start)
        start = end


def quarantine_objects(stage: str, span: Span, rows: Sequence[Quarantined]) -> Iterator[tuple[str, bytes]]:
    """One (key, Parquet) per domain."""
    by_domain: dict[str, list[Quarantined]] = {}
    for row in rows:
        by_domain.setdefault(row.domain, []).append(row)
    for domain, refused in by_domain.items():
        table = quarantine.to_table(refused)
        yield keys.quarantine(stage, domain, span), parquet.to_bytes(table, dictionary=["stage", "reason", "domain"])


def _plain_text(column: pa.ChunkedArray) -> pa.ChunkedArray:
    return column.cast(pa.string())
