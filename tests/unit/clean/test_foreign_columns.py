"""Arrow packs of producers that are not ours: whatever their columns are, the records behind them are read (B9)."""

from __future__ import annotations

from typing import Any

import pyarrow as pa
import pytest

from levada.clean import stage
from levada.clean.handler import stage_deps
from levada.clean.state import CleanState
from levada.core import columns, packs
from levada.core.checkpoint import Checkpoint
from levada.core.packs import ARROW_ZSTD, Header
from levadactl.memory import MemoryDeps
from tests.builders import batch, pack, source_row, source_table

NOT_UTF8 = pa.Array.from_buffers(pa.string(), 1, [None, pa.py_buffer(b"\0\0\0\0\2\0\0\0"), pa.py_buffer(b"\xff\xfe")])
BEYOND = pa.DictionaryArray.from_arrays(pa.array([1000], pa.int32()), pa.array(["a"]), safe=False)
REFUSED: dict[str, tuple[str, pa.Array]] = {
    "a struct": ("pack_columns", pa.array([{"a": 1}])),
    "a list": ("pack_columns", pa.array([[1.0]])),
    "bytes": ("pack_columns", pa.array([b"\xff"])),
    "text that is not UTF-8": ("body_corrupt", NOT_UTF8),
    "a code beyond its dictionary": ("body_corrupt", BEYOND),
}


def _foreign(**changes: pa.Array) -> bytes:
    table = source_table([source_row(0)])
    by_name = {name: table[name].combine_chunks() for name in table.schema.names} | changes
    return _packed(pa.table(by_name))


def _packed(table: pa.Table) -> bytes:
    header = Header(domain="air_quality", tenant="t", source="x#01", position=0, count=table.num_rows, codec=ARROW_ZSTD)
    return packs.encode(header, columns.to_bytes(table))


def _run(body: bytes) -> tuple[int, list[str]]:
    """(good rows of the foreign pack; reasons of what was refused): a good pack stands before and behind it."""
    memory = MemoryDeps()
    summary = stage.run(batch([pack([source_row(0)]), body, pack([source_row(1)], n=1)]), stage_deps(memory))
    counts = {n: c for n, c in _counters(memory).items() if n.startswith("quarantined:")}
    return summary.rows - 2, [name.partition(":")[2] for name, n in counts.items() for _ in range(n)]


def _counters(memory: MemoryDeps) -> dict[str, int]:
    body = memory.blobs.objects["checkpoints/clean/6553f100-000000000000"]
    return dict(CleanState.from_header(Checkpoint.peek(body)).counters["air_quality"])


@pytest.mark.parametrize("column", ["T", "Date"])
@pytest.mark.parametrize("kind", REFUSED)
def test_a_column_of_a_strange_type_refuses_its_own_pack_only(kind: str, column: str) -> None:
    reason, values = REFUSED[kind]

    assert _run(_foreign(**{column: values})) == (0, [reason])


READ: dict[str, pa.Array] = {
    "a dictionary": pa.array(["1,5"]).dictionary_encode(),
    "large text": pa.array(["1,5"], pa.large_string()),
    "a whole number beyond 2^53": pa.array([2**60 + 1]),
    "a decimal": pa.array(["1.5"]).cast(pa.decimal128(5, 2)),
    "half a float": pa.array([1.5]).cast(pa.float16()),
}


@pytest.mark.parametrize("kind", READ)
def test_a_metric_may_come_as_any_number_or_text(kind: str) -> None:
    assert _run(_foreign(T=READ[kind])) == (1, [])


def test_a_date_that_came_as_a_decimal_is_quarantined_as_a_row() -> None:
    assert _run(_foreign(Date=READ["a decimal"])) == (0, ["not_a_time"])


@pytest.mark.parametrize("name", ["__row", "__rec", "__raw", "__reason", "__line"])
def test_a_column_with_a_name_of_our_own_refuses_the_pack(name: str) -> None:
    assert _run(_foreign(**{name: pa.array([1.5])})) == (0, ["pack_columns"])


def test_a_column_that_stands_twice_refuses_the_pack() -> None:
    table = source_table([source_row(0)])

    assert _run(_packed(table.append_column("T", table["T"]))) == (0, ["pack_columns"])


def test_half_a_time_is_no_time() -> None:
    assert _run(_packed(source_table([source_row(0)]).drop_columns(["Time"]))) == (0, ["not_a_time"])


def test_columns_that_forbid_null_stand_beside_columns_that_allow_it() -> None:
    table = source_table([source_row(0)])
    fields: list[Any] = [pa.field(name, pa.string(), nullable=False) for name in table.schema.names]

    assert _run(_packed(table.cast(pa.schema(fields)))) == (1, [])
