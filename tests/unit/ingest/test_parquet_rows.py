"""Parquet rows: numbers stay numbers, times become the text that the domain reads, rows are numbered from 1."""

from __future__ import annotations

import io
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from levada.clean.decode import LINE
from levada.core.errors import BadRecordError
from levada.ingest.blocks import MAX_LINE_BYTES
from levada.ingest.parquet_rows import check, parts
from tests.unit.ingest.support import TINY, table_of

EVENING = datetime(2024, 2, 29, 18, tzinfo=UTC)
NAIVE = EVENING.replace(tzinfo=None)


def write(path: Path, *, rows_per_group: int = 1000, **columns: Any) -> Path:
    n = len(next(iter(columns.values())))
    table = pa.table({"t": ["2024-01-01"] * n, "id": ["s"] * n, "a": [1.0] * n, "b": [2] * n} | columns)
    pq.write_table(table, path, row_group_size=rows_per_group)
    return path


def column(path: Path, name: str) -> list[Any]:
    (part,) = parts(path, TINY, start=0, block_rows=100)
    values: list[Any] = table_of(part)[name].to_pylist()
    return values


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        (pa.array([1.5, None]), [1.5, None]),
        (pa.array([1, 2], pa.int16()), [1, 2]),
        (pa.array([Decimal("1.25")]), [Decimal("1.25")]),
        (pa.array(["2,6", ""]), ["2,6", ""]),
        (pa.array(["x", "y", "x"]).dictionary_encode(), ["x", "y", "x"]),
        (pa.array(["x"], pa.large_string()), ["x"]),
        (pa.array([True]), ["true"]),
        (pa.array([date(2024, 2, 29)]), ["2024-02-29"]),
        (pa.array([time(18, 30)], pa.time64("us")), ["18:30:00"]),
        (pa.array([NAIVE], pa.timestamp("us")), ["2024-02-29 18:00:00"]),
        (pa.array([EVENING], pa.timestamp("ns", "UTC")), ["2024-02-29 18:00:00Z"]),
        (pa.array([NAIVE + timedelta(milliseconds=500)], pa.timestamp("ms")), ["2024-02-29 18:00:00.500"]),
    ],
)
def test_values_arrive_as_what_clean_reads(tmp_path: Path, values: pa.Array, expected: list[object]) -> None:
    path = write(tmp_path / "x.parquet", a=values)
    check(path, TINY)

    assert column(path, "a") == expected


def test_other_columns_stay_behind(tmp_path: Path) -> None:
    (part,) = parts(write(tmp_path / "x.parquet", other=[1]), TINY, start=0, block_rows=9)

    assert table_of(part).column_names == ["t", "id", "a", "b", LINE]


def test_rows_without_a_value_are_empty_and_huge_ones_are_set_aside(tmp_path: Path) -> None:
    path = write(
        tmp_path / "x.parquet",
        t=["2024-01-01", None, " ", "x" * (MAX_LINE_BYTES + 1)],
        id=["s", None, "", "s"],
        a=[1.0, None, None, 1.0],
        b=[2, None, None, 2],
    )

    (part,) = parts(path, TINY, start=0, block_rows=9)

    assert (table_of(part)[LINE].to_pylist(), part.empty, part.next_line) == ([1], 2, 5)
    assert [(b.line, b.reason.partition(":")[0]) for b in part.bad] == [(4, "row_too_large")]


@settings(max_examples=25)  # every example writes and reads files
@given(n=st.integers(0, 40), group=st.integers(1, 15), block=st.integers(1, 15))
def test_every_start_makes_the_same_parts_from_there(
    tmp_path_factory: pytest.TempPathFactory, n: int, group: int, block: int
) -> None:
    path = write(tmp_path_factory.mktemp("p") / "x.parquet", rows_per_group=group, a=pa.array(range(n), pa.float64()))

    whole = [(p.end, table_of(p).to_pylist()) for p in parts(path, TINY, start=0, block_rows=block)]

    assert [row[LINE] for _, rows in whole for row in rows] == list(range(1, n + 1))
    assert all(len(rows) <= block for _, rows in whole)
    for i, (end, _) in enumerate(whole):
        later = [(p.end, table_of(p).to_pylist()) for p in parts(path, TINY, start=end, block_rows=block)]
        assert later == whole[i + 1 :]


@pytest.mark.parametrize(
    ("columns", "says"),
    [
        ({"t": pa.array([[1]])}, "column_type: t is list"),
        ({"b": pa.array([b"x"])}, "column_type: b is binary"),
        ({"a": pa.array([{"x": 1}])}, "column_type: a is struct"),
    ],
)
def test_a_column_that_no_domain_reads_refuses_the_file(tmp_path: Path, columns: dict[str, Any], says: str) -> None:
    with pytest.raises(BadRecordError, match=says):
        check(write(tmp_path / "x.parquet", **columns), TINY)


def test_missing_and_repeated_columns_refuse_the_file(tmp_path: Path) -> None:
    pq.write_table(pa.table({"t": ["x"], "a": [1]}), tmp_path / "few.parquet")
    pq.write_table(pa.table([["x"]] * 5, names=["t", "id", "a", "b", "a"]), tmp_path / "twice.parquet")

    with pytest.raises(BadRecordError, match="missing_columns: the file lacks id, b; it has t, a"):
        check(tmp_path / "few.parquet", TINY)
    with pytest.raises(BadRecordError, match="repeated_column: the file has a more than once"):
        check(tmp_path / "twice.parquet", TINY)


def test_a_cut_file_is_refused(tmp_path: Path) -> None:
    whole = write(tmp_path / "x.parquet", a=[1.0] * 100).read_bytes()
    (tmp_path / "cut.parquet").write_bytes(whole[:-10])

    with pytest.raises(BadRecordError, match="corrupt_parquet"):
        check(tmp_path / "cut.parquet", TINY)


def test_a_damaged_index_into_a_dictionary_is_a_corrupt_file(tmp_path: Path) -> None:
    """The reader hands such columns over unchecked; fuzzing found it."""
    sink = io.BytesIO()
    row = {"t": ["2024-01-01"], "id": ["s"], "a": [1.0], "b": [2.0]}
    pq.write_table(pa.table(row), sink, compression="none", use_dictionary=["t", "id"])
    index = b"\x02\x00\x00\x00\x02\x01\x01\x02\x00"  # a value is there; of one bit each: once the text 0
    assert sink.getvalue().count(index) == 2
    path = tmp_path / "file.parquet"
    path.write_bytes(sink.getvalue().replace(index, index[:-1] + b"\x01", 1))

    with pytest.raises(BadRecordError, match="out of bounds") as caught:
        list(parts(path, TINY, start=0, block_rows=10))

    assert caught.value.reason == "corrupt_parquet"


def test_a_column_whose_path_is_no_text_is_a_corrupt_file(tmp_path: Path) -> None:
    """Fuzzing found it."""
    sink = io.BytesIO()
    pq.write_table(pa.table({"t": ["2024-01-01"], "id": ["s"], "a": [1.0], "bbbb": [2.0], "b": [2.0]}), sink)
    path = tmp_path / "file.parquet"
    path.write_bytes(sink.getvalue().replace(b"\x19\x18\x04bbbb", b"\x19\x18\x04\xff\xff\xff\xff"))

    with pytest.raises(BadRecordError, match="no UTF-8") as caught:
        check(path, TINY)

    assert caught.value.reason == "corrupt_parquet"
