"""Parquet files to the columns that a domain reads; numbers stay numbers, everything else becomes text."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from levada.clean.decode import LINE
from levada.core.errors import BadRecordError
from levada.domains.declaration import Domain
from levada.ingest.blocks import MAX_LINE_BYTES
from levada.ingest.parts import BadLine, Part

READABLE = [
    pa.types.is_integer,
    pa.types.is_floating,
    pa.types.is_decimal,
    pa.types.is_string,
    pa.types.is_large_string,
    pa.types.is_string_view,
    pa.types.is_boolean,
    pa.types.is_date,
    pa.types.is_time,
    pa.types.is_timestamp,
    pa.types.is_null,
]


MAX_CHUNK_BYTES = 1 << 28
"""What one column of a row group may inflate to: a page is inflated at once, and nobody says how large pages are."""
MAX_BLOCK_TEXT = 1 << 27
"""Bytes of text in one block: a dictionary holds a text once, but a block once per row."""


def check(path: Path, domain: Domain) -> None:
    """Raises BadRecordError naming what is wrong: ``corrupt_parquet``, ``missing_columns``, ``repeated_column``,
    ``column_type``, or ``file_too_large`` for row groups that no function can hold."""
    file = _open(path)
    try:
        schema, wanted = file.schema_arrow, set(_wanted(file.schema_arrow, domain))
        _check_groups(file.metadata, wanted)
    except UnicodeDecodeError as err:
        raise BadRecordError("corrupt_parquet", f"a column's name is no UTF-8: {err}") from err
    if missing := [name for name in domain.required if not schema.get_all_field_indices(name)]:
        detail = f"the file lacks {', '.join(missing)}; it has {', '.join(schema.names)}"
        raise BadRecordError("missing_columns", detail)
    for name in domain.required:
        if len(schema.get_all_field_indices(name)) > 1:
            raise BadRecordError("repeated_column", f"the file has {name} more than once")
        kind = schema.field(name).type
        if not _holds(kind):
            raise BadRecordError("column_type", f"{name} is {kind}: must be a number, a text, a time or a boolean")


def _check_groups(metadata: pq.FileMetaData, wanted: set[str]) -> None:
    for number in range(metadata.num_row_groups):
        group = metadata.row_group(number)
        for chunk in (group.column(i) for i in range(group.num_columns)):
            size = chunk.total_uncompressed_size
            if chunk.path_in_schema in wanted and size > MAX_CHUNK_BYTES:
                what = f"{chunk.path_in_schema} of row group {number} inflates to {size} bytes"
                raise BadRecordError("file_too_large", f"{what}: at most {MAX_CHUNK_BYTES}; write smaller row groups")


def parts(path: Path, domain: Domain, *, start: int, block_rows: int) -> Iterator[Part]:
    """Rows from row number ``start`` (0 = the first) on, at most block_rows a part; ``__line`` counts rows from 1.

    Raises:
        BadRecordError: ``corrupt_parquet``, or ``file_too_large`` for more text in a block than a function can hold.
    """
    for at, table in _blocks(path, domain, start, block_rows):
        _check_text(table, at)
        rows = pa.table({name: _column(table[name]) for name in table.schema.names})
        rows = rows.append_column(LINE, pa.array(range(at + 1, at + 1 + table.num_rows), pa.int64()))
        end = at + table.num_rows
        yield _judged(rows, Part(end, end + 1))


def _check_text(table: pa.Table, at: int) -> None:
    size = 0
    for column in table.columns:
        for chunk in column.chunks if pa.types.is_dictionary(column.type) else ():
            if pa.types.is_string(chunk.type.value_type):
                lengths = pc.binary_length(chunk.dictionary).cast(pa.int64())
                size += pc.sum(lengths.take(chunk.indices), min_count=0).as_py()
    if size > MAX_BLOCK_TEXT:
        where = f"rows {at + 1} to {at + table.num_rows}"
        raise BadRecordError("file_too_large", f"{where} decode to {size} bytes of text: at most {MAX_BLOCK_TEXT}")


def _open(path: Path, coded: Sequence[str] = ()) -> pq.ParquetFile:
    """coded: columns of text to read as dictionaries, as large as they are in the file and no larger."""
    try:
        return pq.ParquetFile(path, read_dictionary=list(coded))
    except (pa.ArrowException, OSError, ValueError) as err:
        raise BadRecordError("corrupt_parquet", str(err)) from err


def _blocks(path: Path, domain: Domain, start: int, block_rows: int) -> Iterator[tuple[int, pa.Table]]:
    """(row number, table): the i-th block of a row group holds its rows [i * block_rows, (i + 1) * block_rows)."""
    with _open(path) as plain:
        schema = plain.schema_arrow
    texts = [name for name in _wanted(schema, domain) if pa.types.is_string(schema.field(name).type)]
    with _open(path, texts) as file:
        first = 0
        for group in range(file.num_row_groups):
            after = first + file.metadata.row_group(group).num_rows
            at = first
            for table in _of_group(file, group, domain, block_rows) if after > start else ():
                if at >= start:
                    yield at, table
                at += table.num_rows
            first = after


def _of_group(file: pq.ParquetFile, group: int, domain: Domain, block_rows: int) -> Iterator[pa.Table]:
    waiting: list[pa.RecordBatch] = []
    have = 0
    read = _wanted(file.schema_arrow, domain)
    try:
        for batch in file.iter_batches(block_rows, row_groups=[group], columns=read):
            for column in batch.columns:
                if pa.types.is_dictionary(column.type):  # what the reader leaves unchecked: indices beyond its end
                    column.validate(full=True)
            waiting.append(batch)
            have += batch.num_rows
            while have >= block_rows:  # the reader promises no more than a largest size
                table = pa.Table.from_batches(waiting)
                yield table.slice(0, block_rows)
                waiting = table.slice(block_rows).to_batches()
                have -= block_rows
    except (pa.ArrowException, OSError) as err:
        raise BadRecordError("corrupt_parquet", str(err)) from err
    if have:
        yield pa.Table.from_batches(waiting)


def _wanted(schema: pa.Schema, domain: Domain) -> list[str]:
    """The columns that the domain reads: those it declares, and with open metrics whatever can hold a number."""
    there = [name for name in dict.fromkeys(schema.names) if len(schema.get_all_field_indices(name)) == 1]
    if domain.open_metrics and domain.long is None:
        return [n for n in there if n in domain.columns or (not n.startswith("__") and _holds(schema.field(n).type))]
    return [name for name in domain.columns if name in there]


def _holds(kind: pa.DataType) -> bool:
    return _readable(kind.value_type if pa.types.is_dictionary(kind) else kind)


def _readable(kind: pa.DataType) -> bool:
    if pa.types.is_dictionary(kind):  # text that is read as such
        kind = kind.value_type
    return any(is_kind(kind) for is_kind in READABLE)


def _column(column: pa.ChunkedArray) -> pa.ChunkedArray:
    if pa.types.is_dictionary(column.type):
        column = column.cast(column.type.value_type)
    kind = column.type
    if pa.types.is_integer(kind) or pa.types.is_floating(kind) or pa.types.is_decimal(kind):
        return column
    if pa.types.is_timestamp(kind):  # without a fraction where there is none, and with Z where it says what zone it is
        text = _whole_seconds(column.cast(pa.timestamp(kind.unit)), pa.timestamp("s")).cast(pa.string())
        return pc.binary_join_element_wise(text, pa.scalar("Z" if kind.tz else ""), "")
    elif pa.types.is_time(kind):
        column = _whole_seconds(column, pa.time32("s"))
    return column.cast(pa.string())


def _whole_seconds(column: pa.ChunkedArray, kind: pa.DataType) -> pa.ChunkedArray:
    try:
        return column.cast(kind)
    except pa.ArrowInvalid:
        return column


def _judged(rows: pa.Table, part: Part) -> Part:
    """Leave out rows without any value, and set aside those with more text than a pack takes."""
    empty, size = pa.scalar(True), pa.scalar(0, pa.int64())
    for name in rows.column_names:
        if name == LINE:
            continue
        column = rows[name]
        blank = pc.is_null(column)
        if pa.types.is_string(column.type):
            blank = pc.or_(blank, pc.fill_null(pc.equal(pc.utf8_trim_whitespace(column), ""), True))
            size = pc.add(size, pc.fill_null(pc.binary_length(column), 0))
        empty = pc.and_(empty, blank)
    huge = pc.greater(size, MAX_LINE_BYTES)
    if pc.any(huge, min_count=0).as_py():
        part.bad = [_too_large(row) for row in rows.filter(huge).to_pylist()]
        empty = pc.and_(empty, pc.invert(huge))
    part.empty = pc.sum(empty, min_count=0).as_py()
    if part.empty or part.bad:
        rows = rows.filter(pc.invert(pc.or_(empty, huge)))
    part.rows = rows.combine_chunks()
    return part


def _too_large(row: dict[str, object]) -> BadLine:
    line = row.pop(LINE)
    reason = f"row_too_large: more than {MAX_LINE_BYTES} bytes of text, cut here"
    return BadLine(int(str(line)), json.dumps(row, default=str, ensure_ascii=False)[: MAX_LINE_BYTES // 4], reason)
