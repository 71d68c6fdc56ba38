"""CSV blocks to columns of text. Every line is accounted for, and its number is exact."""

from __future__ import annotations

import csv
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv as pacsv

from levada.clean.decode import LINE
from levada.ingest.blocks import Block
from levada.ingest.dialect import BLANK, QUOTE, Dialect
from levada.ingest.parts import BadLine, Part, text_of, too_long

SEVERAL_BLANKS = re.compile(rb" {2,}")
EDGE_BLANKS = re.compile(rb"^ +| +(?=\r?$)", re.MULTILINE)


def read_block(block: Block, first_line: int, dialect: Dialect) -> Part:
    """The lines of a block, the first of which is line first_line of the file.

    Values stay the text they are. A line without any value is empty. A line that differs from the header line only in
    how many empty fields it ends with is good.
    """
    if block.too_long:
        return Part(block.end, first_line + 1, bad=[too_long(first_line, block.data)])
    data = block.data if block.data.endswith(b"\n") else block.data + b"\n"
    if dialect.delimiter == BLANK and QUOTE.encode() not in data:  # columns of one width: several blanks are one
        data = SEVERAL_BLANKS.sub(b" ", EDGE_BLANKS.sub(b"", data))
    part = Part(block.end, first_line + data.count(b"\n"))
    tables = list(_good(data, first_line, dialect, part)) or [_no_rows(dialect)]
    rows = pa.concat_tables(tables).combine_chunks()
    if len(tables) > 1:
        rows = rows.take(pc.sort_indices(rows, [(LINE, "ascending")]))
    part.bad.sort(key=lambda b: b.line)
    part.rows = _without_padding(_without_empty(rows, part), dialect)
    return part


def _good(data: bytes, first_line: int, dialect: Dialect, part: Part) -> Iterator[pa.Table]:
    """Tables of all columns and ``__line``; bad lines go to the part.

    When the parser has made as many rows of the lines as there are, each line was read by itself. When not, a quote
    swallowed line ends (or a stray carriage return made some): halve until the line that did it stands alone.
    """
    n = data.count(b"\n")
    parsed = _parse(data, n, dialect)
    if parsed is not None:
        yield _with_lines(parsed.rows, parsed.lines(first_line, n))
        if parsed.odd:
            yield from _settle_odd(data, first_line, parsed.odd, dialect, part)
    elif n == 1:
        part.bad.append(BadLine(first_line, text_of(data), _why(data)))
    else:
        middle = data.find(b"\n", len(data) // 2) + 1
        if middle == len(data):
            middle = data.rfind(b"\n", 0, len(data) - 1) + 1
        head = data[:middle]
        yield from _good(head, first_line, dialect, part)
        yield from _good(data[middle:], first_line + head.count(b"\n"), dialect, part)


@dataclass(frozen=True, slots=True)
class _Parsed:
    rows: pa.Table
    odd: list[tuple[int, int]]
    """(index of the line, how many fields it has) where that is not what the header line has."""

    def lines(self, first_line: int, n: int) -> pa.Array:
        numbers: Sequence[int] = range(first_line, first_line + n)
        if self.odd:
            skip = {i for i, _ in self.odd}
            numbers = [line for i, line in enumerate(numbers) if i not in skip]
        return pa.array(numbers, pa.int64())


def _parse(data: bytes, n: int, dialect: Dialect) -> _Parsed | None:
    """None when the parser does not make one row of each of the n lines."""
    if data.count(b"\r") != data.count(b"\r\n") or not _is_utf8(data):
        return None
    odd: list[tuple[int, int]] = []

    def note(row: pacsv.InvalidRow) -> str:
        odd.append((row.number - 1, row.actual_columns))
        return "skip"

    # An open quote in the last line would end with the data unnoticed: it swallows one more line here.
    guarded = b"".join((data, dialect.delimiter.encode() * (len(dialect.columns) - 1), b"\n"))
    try:
        table = pacsv.read_csv(
            pa.py_buffer(guarded),
            # one parser block, or its own cuts would decide what a quote can swallow
            read_options=pacsv.ReadOptions(
                column_names=dialect.columns, use_threads=False, block_size=len(guarded) + 1
            ),
            parse_options=pacsv.ParseOptions(
                delimiter=dialect.delimiter, ignore_empty_lines=False, invalid_row_handler=note
            ),
            convert_options=pacsv.ConvertOptions(
                column_types=dict.fromkeys(dialect.columns, pa.string()), strings_can_be_null=False, null_values=[]
            ),
        )
    except pa.ArrowInvalid:
        return None
    if table.num_rows + len(odd) != n + 1:
        return None
    return _Parsed(table.slice(0, table.num_rows - 1), odd)


def _is_utf8(data: bytes) -> bool:
    if data.isascii():
        return True
    try:
        data.decode()
    except UnicodeDecodeError:
        return False
    return True


def _why(line: bytes) -> str:
    try:
        text = line.decode()
    except UnicodeDecodeError as err:
        return f"not_utf8: byte {err.start} of the line, 0x{line[err.start]:02x}"
    if "\r" in text.removesuffix("\n").removesuffix("\r"):
        return "stray_carriage_return: inside the line"
    return "unbalanced_quote: a quoted field has no end"


def _settle_odd(
    data: bytes, first_line: int, odd: list[tuple[int, int]], dialect: Dialect, part: Part
) -> Iterator[pa.Table]:
    """Lines with too few or too many fields: empty, or good but for empty fields at the end, or bad."""
    lines = data.split(b"\n")
    wide, named = len(dialect.columns), dialect.named
    good: list[tuple[int, list[str]]] = []
    for index, count in odd:
        text = text_of(lines[index])
        fields = _fields(text, dialect.delimiter)
        if fields and not any(f.strip() for f in fields):
            part.empty += 1
        elif len(fields) >= named and not any(f.strip() for f in fields[wide:]):
            good.append((first_line + index, (fields + [""] * wide)[:wide]))
        else:
            reason = f"too_few_fields: expected {named}" if count < named else f"too_many_fields: expected {wide}"
            part.bad.append(BadLine(first_line + index, text, f"{reason} fields, got {count}"))
    if good:
        columns = zip(*(fields for _, fields in good), strict=True)
        arrays = [pa.array(column, pa.string()) for column in columns]
        yield _with_lines(
            pa.Table.from_arrays(arrays, names=list(dialect.columns)), pa.array([n for n, _ in good], pa.int64())
        )


def _fields(text: str, delimiter: str) -> list[str]:
    try:
        return next(csv.reader([text], delimiter=delimiter), [])
    except csv.Error:  # a field of more than 128 KiB
        return []


def _no_rows(dialect: Dialect) -> pa.Table:
    none = pa.array([], pa.string())
    rows = pa.Table.from_arrays([none] * len(dialect.columns), names=list(dialect.columns))
    return _with_lines(rows, pa.array([], pa.int64()))


def _with_lines(rows: pa.Table, lines: pa.Array) -> pa.Table:
    return rows.append_column(LINE, lines)


def _without_empty(rows: pa.Table, part: Part) -> pa.Table:
    empty: pa.ChunkedArray | None = None
    for name in rows.column_names:
        if name == LINE:
            continue
        blank = _blank(rows[name])
        empty = blank if empty is None else pc.and_(empty, blank)
        if not pc.any(empty, min_count=0).as_py():  # as a rule after the first column
            return rows
    if empty is None:
        return rows
    part.empty += pc.sum(empty, min_count=0).as_py()
    return rows.filter(pc.invert(empty))


def _without_padding(rows: pa.Table, dialect: Dialect) -> pa.Table:
    """Leave out the nameless columns at the end, where they hold nothing."""
    padding = dialect.columns[dialect.named :]
    return rows.drop_columns([name for name in padding if pc.all(_blank(rows[name]), min_count=0).as_py()])


def _blank(column: pa.ChunkedArray) -> pa.ChunkedArray:
    return pc.equal(pc.utf8_trim_whitespace(column), "")
