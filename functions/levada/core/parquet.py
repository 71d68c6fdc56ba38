"""Tables as Parquet bytes: one row group, zstd, dictionaries for text."""

from __future__ import annotations

import pyarrow as pa
import pyarrow.parquet as pq


def to_bytes(table: pa.Table, *, dictionary: bool | list[str] = True, codecs: str | dict[str, str] = "zstd") -> bytes:
    """n rows.

    Args:
        dictionary: the columns to write with a dictionary; True for all.
        codecs: compression, one for all columns or one per column.
    """
    sink = pa.BufferOutputStream()
    pq.write_table(table, sink, compression=codecs, use_dictionary=dictionary, store_schema=False)
    return bytes(sink.getvalue().to_pybytes())


def from_bytes(body: bytes, columns: list[str] | None = None) -> pa.Table:
    return pq.read_table(pa.BufferReader(body), columns=columns)
