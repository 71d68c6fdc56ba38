"""The catalog's types: what Athena is told of silver, events and gold."""

from __future__ import annotations

import pyarrow as pa
import pytest

from levada.archive.catalog import KEYS, LAYERS, athena_types
from levada.core.records import event_schema
from levada.domains.registry import registered


def test_every_column_has_a_type_and_partition_columns_stand_only_once() -> None:
    for schema in LAYERS.values():
        types = athena_types(schema)
        assert set(types) == set(schema.names) - set(KEYS)
    assert athena_types(LAYERS["silver"])["time"] == "timestamp"
    assert athena_types(LAYERS["silver"])["quality"] == "smallint"
    assert athena_types(LAYERS["gold"])["generation"] == "bigint"
    assert athena_types(LAYERS["events"])["item"] == "int"


def test_events_have_the_fields_of_all_domains_and_none_means_two_things() -> None:
    """E5: one table of events, its columns those of every domain."""
    for domain in registered().values():
        schema = event_schema(domain.fields)
        assert [LAYERS["events"].field(f.name).type for f in schema] == [f.type for f in schema]


def test_a_type_without_counterpart_is_refused() -> None:
    with pytest.raises(ValueError, match="type int8"):
        athena_types(pa.schema([pa.field("x", pa.list_(pa.int8()))]))
