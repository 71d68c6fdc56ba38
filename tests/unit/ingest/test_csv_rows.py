"""Every line of a CSV file is a row, a bad line or an empty one, and its number is exact."""

from __future__ import annotations

import io
from dataclasses import dataclass

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from levada.clean.decode import LINE
from levada.ingest.blocks import Block, blocks
from levada.ingest.csv_rows import read_block
from levada.ingest.dialect import Dialect
from tests.unit.ingest.support import table_of

PLAIN = Dialect(";", ("t", "id", "a", "b"), 4)
PADDED = Dialect(";", ("t", "id", "a", "b", "column_5", "column_6"), 4)
Row = tuple[str, ...]


@dataclass(frozen=True)
class Line:
    """A line and what must become of it: values, a slug, or neither for an empty one."""

    text: bytes
    row: Row | None = None
    slug: str = ""


VALUE = st.sampled_from(["1", "2,6", "-200", "", " x ", "é", '5"', "'", "a b"])
QUOTED = st.sampled_from(["2;6", 'say "hi"', "", "plain", "'", "x;;"])


def _good(values: list[str]) -> Line:
    return Line(";".join(["1", *values]).encode(), ("1", *values))


def _quoted(values: list[str]) -> Line:
    fields = ['"' + v.replace('"', '""') + '"' for v in ["1", *values]]
    return Line(";".join(fields).encode(), ("1", *values))


LINES = st.one_of(
    st.lists(VALUE, min_size=3, max_size=3).map(_good),
    st.lists(QUOTED, min_size=3, max_size=3).map(_quoted),
    st.sampled_from(
        [
            Line(b"1;2;3", slug="too_few_fields"),
            Line(b"1", slug="too_few_fields"),
            Line(b'"1;2;3;4"', slug="too_few_fields"),
            Line(b"1;2;3;4;5;6;7", slug="too_many_fields"),
            Line(b"1;2;3;4;;;;;9", slug="too_many_fields"),
            Line(b"1;2;3;4;;;;;;", ("1", "2", "3", "4")),
            Line(b""),
            Line(b"   "),
            Line(b";;;"),
            Line(b"; ;;;;;;;;;"),
            Line(b";"),
            Line(b'"";"";"";""'),
            Line(b'1;"2;3;4', slug="unbalanced_quote"),
            Line(b'1;2;3;"', slug="unbalanced_quote"),
            Line(b'"', slug="unbalanced_quote"),
            Line(b"1;\xff;3;4", slug="not_utf8"),
            Line(b"\xc3", slug="not_utf8"),
            Line(b"1;2\r;3;4", slug="stray_carriage_return"),
            Line(b"\r1;2;3;4", slug="stray_carriage_return"),
        ]
    ),
)


@dataclass
class Read:
    rows: list[tuple[int, Row]]
    bad: list[tuple[int, str, str]]
    empty: int
    next_line: int


def read(data: bytes, block_bytes: int, dialect: Dialect = PLAIN) -> Read:
    out, line = Read([], [], 0, 2), 2
    for block in blocks(io.BytesIO(data), start=0, block_bytes=block_bytes):
        part = read_block(block, line, dialect)
        assert part.end == block.end
        for row in table_of(part).to_pylist():
            out.rows.append((row[LINE], tuple(row[name] for name in dialect.columns[: dialect.named])))
        out.bad += [(b.line, b.reason.partition(": ")[0], b.raw) for b in part.bad]
        out.empty += part.empty
        line = out.next_line = part.next_line
    return out


@given(
    lines=st.lists(LINES, max_size=14),
    end=st.sampled_from([b"\n", b"\r\n"]),
    closed=st.booleans(),
    block_bytes=st.sampled_from([1, 7, 20, 64, 4096]),
    dialect=st.sampled_from([PLAIN, PADDED]),
)
@example([Line(b'1;"2;3;4', slug="unbalanced_quote"), _quoted(["a", "b", "c"])], b"\n", True, 4096, PLAIN)
@example(
    [Line(b"1;2\r;3;4", slug="stray_carriage_return"), Line(b'"', slug="unbalanced_quote")], b"\n", True, 64, PLAIN
)
def test_every_line_is_accounted_for_with_its_number_whatever_the_blocks(
    lines: list[Line], end: bytes, closed: bool, block_bytes: int, dialect: Dialect
) -> None:
    data = end.join(line.text for line in lines) + (end if closed and lines else b"")
    if not closed and lines and not lines[-1].text:  # nothing behind the last line end is no line
        lines = lines[:-1]

    found = read(data, block_bytes, dialect)

    numbered = list(enumerate(lines, 2))
    blank = {n for n, line in numbered if line.row is not None and not any(v.strip() for v in line.row)}
    assert found.rows == [(n, line.row) for n, line in numbered if line.row is not None and n not in blank]
    assert [(n, slug) for n, slug, _ in found.bad] == [(n, line.slug) for n, line in numbered if line.slug]
    assert found.next_line == len(lines) + 2
    assert len(found.rows) + len(found.bad) + found.empty == len(lines)


@given(lines=st.lists(LINES, max_size=14))
def test_blocks_do_not_change_what_is_read(lines: list[Line]) -> None:
    data = b"".join(line.text + b"\n" for line in lines)

    whole = read(data, 1 << 20)

    assert all(read(data, block_bytes) == whole for block_bytes in (1, 16, 50))


def test_a_bad_line_is_kept_whole_and_says_what_was_expected() -> None:
    part = read_block(Block(0, 20, b"1;2;3\r\n1;\xff;3;4\n1;2;3;4;5\n"), 2, PLAIN)

    assert [(b.line, b.raw, b.reason) for b in part.bad] == [
        (2, "1;2;3", "too_few_fields: expected 4 fields, got 3"),
        (3, "1;\\xff;3;4", "not_utf8: byte 2 of the line, 0xff"),
        (4, "1;2;3;4;5", "too_many_fields: expected 4 fields, got 5"),
    ]


def test_nameless_columns_stay_away_unless_they_hold_something() -> None:
    without = read_block(Block(0, 20, b"1;2;3;4;;\n"), 2, PADDED)
    with_value = read_block(Block(0, 20, b"1;2;3;4;;\n1;2;3;4;x;\n"), 2, PADDED)

    assert table_of(without).column_names == ["t", "id", "a", "b", LINE]
    assert table_of(with_value).to_pydict()["column_5"] == ["", "x"]


@pytest.mark.parametrize("field", [200_000, 140_000])
def test_a_very_long_field_is_read_like_any_other(field: int) -> None:
    data = b"1;2;" + b"x" * field + b";4\n" + b"1;" + b"y" * field + b"\n"

    part = read_block(Block(0, len(data), data), 2, PLAIN)

    assert table_of(part)["a"].to_pylist() == ["x" * field]
    assert [(b.line, b.reason) for b in part.bad] == [(3, "too_few_fields: expected 4 fields, got 2")]


def test_one_column_is_a_table_too() -> None:
    part = read_block(Block(0, 9, b"1\n\n2\n;\n\n"), 2, Dialect(";", ("a",), 1))

    assert table_of(part).to_pydict() == {"a": ["1", "2"], LINE: [2, 4]}
    assert part.empty == 3
