"""Tables as Parquet bytes: one row group, zstd, dictionaries for text."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

ABOUT = "levada"
"""Key of the file's metadata under which an object tells what it was made from."""


def to_bytes(
    table: pa.Table,
    *,
    dictionary: bool | list[str] = True,
    codecs: str | dict[str, str] = "zstd",
    about: Mapping[str, Any] | None = None,
) -> bytes:
    """n rows.

    Args:
        dictionary: the columns to write with a dictionary; True for all.
        codecs: compression, one for all columns or one per column.
        about: JSON values to keep in the file beside the rows.
    """
    sink = pa.BufferOutputStream()
    options: dict[str, Any] = {"compression": codecs, "use_dictionary": dictionary, "store_schema": False}
    if about is None:
        pq.write_table(table, sink, **options)
    else:
        with pq.ParquetWriter(sink, table.schema, **options) as writer:
            writer.write_table(table)
            writer.add_key_value_metadata({ABOUT: json.dumps(about, separators=(",", ":"))})
    return bytes(sink.getvalue().to_pybytes())


def from_bytes(body: bytes, columns: list[str] | None = None) -> pa.Table:
    return pq.read_table(pa.BufferReader(body), columns=columns)


def about(body: bytes) -> dict[str, Any]:
    """What ``to_bytes`` was told about. Raises ValueError when the object is no Parquet, or tells nothing."""
    try:
        found: dict[str, Any] = json.loads((pq.read_metadata(pa.BufferReader(body)).metadata or {})[ABOUT.encode()])
    except (KeyError, ValueError, pa.ArrowInvalid, OSError) as err:
        raise ValueError(f"not an object that says what it was made from: {err}") from err
    return found
