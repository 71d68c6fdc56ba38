"""What clean writes into the lake: bronze as it came, silver by day, quarantine for what was refused."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import pyarrow as pa
import pyarrow.compute as pc

from levada.core import keys, parquet, quarantine
from levada.core.keys import Span
from levada.core.kinesis_event import StreamRecord
from levada.core.positions import pad_sequence
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


def arrival_date(record: StreamRecord) -> str:
    """Day of arrival at the stream, UTC: a property of the record, so that a retry gives the same name."""
    return str(pa.scalar(record.arrived_us, pa.timestamp("us")).as_py().date())


def bronze_object(domain: str, span: Span, date: str, records: Sequence[tuple[StreamRecord, str]]) -> tuple[str, bytes]:
    """(key, Parquet) of the unmodified payloads of (record, tenant) pairs."""
    table = pa.table(
        [
            pa.array([str(span.token)] * len(records), pa.string()),
            pa.array([pad_sequence(r.sequence) for r, _ in records], pa.string()),
            pa.array([r.arrived_us for r, _ in records], pa.int64()).cast(TIME),
            pa.array([r.partition_key for r, _ in records], pa.string()),
            pa.array([tenant for _, tenant in records], pa.string()),
            pa.array([r.data for r, _ in records], pa.binary()),
        ],
        schema=BRONZE,
    )
    # payloads are compressed already: a second pass costs time and gains nothing
    codecs = {name: "none" if name == "payload" else "zstd" for name in BRONZE.names}
    return keys.bronze(domain, date, span), parquet.to_bytes(table, dictionary=TEXT_COLUMNS, codecs=codecs)


def silver_objects(domain: str, span: Span, rows: pa.Table) -> Iterator[tuple[str, bytes]]:
    """One (key, Parquet) per day of event time; rows sorted by series, metric, time."""
    days = pc.cast(rows["time"], pa.date32(), safe=False)
    sortable = rows.append_column("__day", days).append_column("__series", _plain_text(rows["series"]))
    sortable = sortable.append_column("__metric", _plain_text(rows["metric"]))
    order = [("__day", "ascending"), ("__series", "ascending"), ("__metric", "ascending"), ("time", "ascending")]
    indices = pc.sort_indices(sortable, sort_keys=order)
    rows, days = rows.take(indices), days.take(indices).combine_chunks()
    runs = pc.run_end_encode(days)
    start = 0
    for day, end in zip(runs.values.to_pylist(), runs.run_ends.to_pylist(), strict=True):
        date = keys.UNDATED if day is None else str(day)
        yield keys.silver(domain, date, span), parquet.to_bytes(rows.slice(start, end - start))
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
