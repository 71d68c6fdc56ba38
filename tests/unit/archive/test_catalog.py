"""The catalog's types: what Athena is told of silver and gold."""

from __future__ import annotations

import pyarrow as pa
import pytest

from levada.archive.catalog import KEYS, LAYERS, athena_types


def test_every_column_has_a_type_and_partition_columns_stand_only_once() -> None:
    for schema in LAYERS.values():
        types = athena_types(schema)
        assert set(types) == set(schema.names) - set(KEYS)
    assert athena_types(LAYERS["silver"])["time"] == "timestamp"
    assert athena_types(LAYERS["silver"])["quality"] == "smallint"
    assert athena_types(LAYERS["gold"])["generation"] == "bigint"


def test_a_type_without_counterpart_is_refused() -> None:
    with pytest.raises(ValueError, match="type int8"):
        athena_types(pa.schema([pa.field("x", pa.list_(pa.int8()))]))
