"""The Glue catalog: silver, events and gold as tables that Athena reads. The only module that uses awswrangler."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import pyarrow as pa

from levada.core import lake
from levada.core.partials import PARTIAL
from levada.core.records import MEASUREMENT, event_schema
from levada.domains.registry import registered
from levada.ports import BlobStore

KEYS = {"domain": "string", "date": "string"}
"""Partition columns, in the order of the object keys."""
_FIELDS = {name: kind for domain in registered().values() for name, kind in domain.fields.items()}
LAYERS: Mapping[str, pa.Schema] = {
    "silver": MEASUREMENT,
    "events": event_schema(_FIELDS),
    "gold": PARTIAL.append(pa.field("shard", pa.string())).append(pa.field("generation", pa.int64())),
}


def athena_types(schema: pa.Schema) -> dict[str, str]:
    """Column → Athena's type; without the columns of KEYS, which Athena takes from the partition only.

    Raises ValueError for a type that has no counterpart here.
    """
    return {f.name: _athena_type(f.type) for f in schema if f.name not in KEYS}


def _athena_type(kind: pa.DataType) -> str:
    if pa.types.is_dictionary(kind):
        return _athena_type(kind.value_type)
    if pa.types.is_timestamp(kind):
        return "timestamp"
    names = {
        "string": "string",
        "double": "double",
        "int64": "bigint",
        "int32": "int",
        "uint8": "smallint",
        "binary": "binary",
    }
    if pa.types.is_list(kind):
        return f"array<{_athena_type(kind.value_type)}>"
    if str(kind) not in names:
        raise ValueError(f"type {kind}: must be one of {', '.join(names)}")
    return names[str(kind)]


def register(blobs: BlobStore, bucket: str, database: str) -> dict[str, int]:
    """Make the database and its tables where they are missing, and add partitions that are new.

    Returns the number of partitions added per layer. Running it again changes nothing.

    Raises botocore's errors: the catalog has no port, because nothing else talks to it.
    """
    import awswrangler as wr

    wr.catalog.create_database(name=database, exist_ok=True)
    added = {}
    for layer, schema in LAYERS.items():
        if not wr.catalog.does_table_exist(database=database, table=layer):
            wr.catalog.create_parquet_table(
                database=database,
                table=layer,
                path=f"s3://{bucket}/{layer}/",
                columns_types=athena_types(schema),
                partitions_types=dict(KEYS),
                compression="zstd",
            )
        known = set(wr.catalog.get_parquet_partitions(database=database, table=layer))
        new = {
            place: values
            for place, values in _places(blobs, bucket, layer)
            if place not in known and place + "/" not in known
        }
        added[layer] = len(new)
        if new:
            wr.catalog.add_parquet_partitions(
                database=database,
                table=layer,
                partitions_values=new,
                compression="zstd",
                columns_types=athena_types(schema),
            )
    return added


def _places(blobs: BlobStore, bucket: str, layer: str) -> Iterable[tuple[str, list[str]]]:
    for domain, date, _ in lake.partitions(blobs.list(f"{layer}/")):
        yield f"s3://{bucket}/{layer}/domain={domain}/date={date}/", [domain, date]
