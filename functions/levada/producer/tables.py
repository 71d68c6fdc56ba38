"""Arrow tables to packs by lane: for callers that hold columns. The only module of the producer that needs pyarrow."""

from __future__ import annotations

from collections.abc import Iterator

import pyarrow as pa
import pyarrow.compute as pc

from levada.core import columns
from levada.core.packs import ARROW_ZSTD
from levada.domains.declaration import Domain
from levada.ingest.lanes import lane_columns, lane_of_item
from levada.producer.batching import MAX_BODY_BYTES, Maker

MAX_INFLATED_BYTES = 32 * 1024 * 1024
"""A pack inflates to half of what readers allow, at most."""


def add_table(table: pa.Table, domain: Domain, tenant: str, pack_rows: int, maker: Maker) -> None:
    """Rows of a lane keep their order. Raises ValueError for a row that no pack can hold."""
    for lane, rows in by_lane(table, domain, tenant):
        for start in range(0, rows.num_rows, pack_rows):
            for n, body in _bodies(rows.slice(start, pack_rows)):
                maker.add(lane, n, ARROW_ZSTD, body)


def by_lane(table: pa.Table, domain: Domain, tenant: str) -> Iterator[tuple[int, pa.Table]]:
    """(lane, its rows in order), ascending; one lane a distinct key, asked once."""
    if not table.num_rows:
        return
    names = [name for name in lane_columns(domain) if name in table.column_names]
    keys = _distinct(table, names)
    firsts = pc.index_in(columns.count_up(len(keys.dictionary)), keys.indices)
    items = table.select(names).take(firsts).to_pylist() if names else [{}]
    lanes = pa.array([lane_of_item(item, domain, tenant) for item in items], pa.int8())
    if len(lanes.unique()) == 1:
        yield lanes[0].as_py(), table
        return
    of_row = lanes.take(keys.indices)
    order = pc.sort_indices(of_row)  # stable
    table, runs = table.take(order), pc.run_end_encode(of_row.take(order))
    start = 0
    for lane, end in zip(runs.values.to_pylist(), runs.run_ends.to_pylist(), strict=True):
        yield lane, table.slice(start, end - start)
        start = end


def _distinct(table: pa.Table, names: list[str]) -> pa.DictionaryArray:
    """Each row's key as a code, 0, 1, … of distinct ones."""
    codes = columns.zeros(table.num_rows, pa.int64())
    for name in names:
        column = table[name].combine_chunks()
        if not pa.types.is_dictionary(column.type):
            column = column.dictionary_encode(null_encoding="encode")
        found = pc.fill_null(column.indices.cast(pa.int64()), len(column.dictionary))
        codes = pc.add(pc.multiply(codes, len(column.dictionary) + 1), found)
        codes = codes.dictionary_encode().indices.cast(pa.int64())
    return codes.dictionary_encode()


def _bodies(rows: pa.Table) -> Iterator[tuple[int, bytes]]:
    n = rows.num_rows
    body = columns.to_bytes(_own_dictionaries(rows)) if n == 1 or rows.nbytes <= MAX_INFLATED_BYTES else None
    if body is not None and len(body) <= MAX_BODY_BYTES:
        yield n, body
    elif n == 1:
        raise ValueError(f"row of {len(body or b'')} bytes: at most {MAX_BODY_BYTES}")
    else:
        yield from _bodies(rows.slice(0, n // 2))
        yield from _bodies(rows.slice(n // 2))


def _own_dictionaries(rows: pa.Table) -> pa.Table:
    """A slice shares the dictionary of the whole table; a pack shall not carry texts that none of its rows has."""
    for i, field in enumerate(rows.schema):
        if pa.types.is_dictionary(field.type):
            column = rows.column(i).combine_chunks()
            if len(column.dictionary) > len(column):
                again = column.dictionary_decode().dictionary_encode()
                rows = rows.set_column(i, field.name, again)
    return rows
