"""Partials as bytes: whatever they hold comes back, and in few bytes (D17, idea 4)."""

from __future__ import annotations

from typing import Any

import msgspec
import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given

from levada.core import narrow, partbytes
from levada.core.errors import ConfigError
from levada.core.partials import PARTIAL, merge
from levada.core.parts import Parts
from levada.core.vectors import coded
from tests.unit.core.test_partials import ROWS, Row, partials


def back(table: pa.Table) -> list[Any]:
    rows: list[Any] = partbytes.of_bytes(partbytes.to_bytes(Parts.of(table))).table().to_pylist()
    return rows


@given(ROWS.filter(bool))
def test_partials_come_back_as_they_were(rows: list[Row]) -> None:
    """Windows without values, negative values, several rows or one: NaN, NO_TIME and absent texts are told apart."""
    table = partials(rows)

    assert back(table) == table.to_pylist()
    assert back(merge([table, partials(rows[:1])])) == merge([table, partials(rows[:1])]).to_pylist()


def test_sketches_and_texts_of_any_script_come_back() -> None:
    table = partials([("ü", 0, 1.0, 0), ("日本", 0, None, 1), ("", 5, 2.0, 2)])
    sketches = pa.array([b"\x00sketch", None, b""][: table.num_rows], pa.binary())
    table = table.set_column(PARTIAL.get_field_index("distinct_sketch"), "distinct_sketch", sketches)

    assert back(table) == table.to_pylist()


def test_columns_are_aligned_wherever_the_bytes_begin() -> None:
    """Layers stand one behind the other in a checkpoint; Arrow's kernels warn of columns that are not aligned."""
    body = partbytes.to_bytes(Parts.of(partials([("a", 60 * i, i / 3, i) for i in range(9)])))

    for lead in range(8):
        parts = partbytes.of_bytes(memoryview(bytes(lead) + body)[lead:])
        assert all(values.flags.aligned for values in (parts.whole, parts.real, parts.bins.keys, parts.bins.counts))


def test_none_at_all_come_back() -> None:
    assert back(partials([])) == []


def test_numbers_of_any_size_come_back() -> None:
    """Each integer column is as narrow as its range: 1, 2, 4 and 8 bytes."""
    rows: list[Row] = [("a", t, float(t), i) for i, t in enumerate((0, 60, 3600, 40_000_000, -9_000_000_000))]
    table = partials(rows)
    for name, numbers in {
        "count": [0, 255, 1, 2, 3],
        "late": [0, 65_535, 1, 2, 3],
        "missing": [-(2**62), 1, 2, 3, 2**62],
    }.items():
        table = table.set_column(PARTIAL.get_field_index(name), name, pa.array(numbers, pa.int64()))

    assert back(table) == table.to_pylist()


def test_texts_that_no_partial_has_any_more_are_left_behind() -> None:
    """Layers are merged and filtered for as long as a shard lives: its dictionaries must not grow with it."""
    many = Parts.of(partials([(f"series {i}", 0, 1.0, i) for i in range(1000)]))

    few = partbytes.of_bytes(partbytes.to_bytes(many.take(np.array([3, 998]))))

    assert few.table()["series"].to_pylist() == many.table()["series"].take([3, 998]).to_pylist()
    assert len(few.texts["series"].dictionary) == 2


def test_bytes_of_a_later_version_are_refused_with_its_number() -> None:
    later = msgspec.msgpack.encode((partbytes.VERSION + 1, "what nobody knows yet"))
    packed = pa.Codec("lz4").compress(later, asbytes=True)
    data = len(later).to_bytes(4, "little") + len(packed).to_bytes(4, "little") + packed

    with pytest.raises(ConfigError, match=rf"v={partbytes.VERSION + 1}: this version reads \(2, 3\)"):
        partbytes.of_bytes(data)


def test_bytes_of_version_2_are_read() -> None:
    """It wrote the keys of bins as they are: a layer may lie in a checkpoint for as long as its windows are open."""
    table = partials([("a", 0, -3.5, 0), ("a", 1, 20.0, 1), ("b", 2, 0.0, 2), ("b", 70, -0.1, 3)])
    body = partbytes.to_bytes(Parts.of(table))
    size, end = int.from_bytes(body[:4], "little"), 8 + int.from_bytes(body[4:8], "little")
    rest = msgspec.msgpack.decode(pa.Codec("lz4").decompress(body[8:end], size))[1:]
    m, gap, lengths, _, counts = rest[4]
    assert m == 4
    assert 0 not in gap, "else there is nothing to tell the versions apart by"
    rest[4] = [m, lengths, *narrow.in_numpy([Parts.of(table).bins.keys.astype(np.int64)]), counts]
    packed = msgspec.msgpack.encode((2, *rest))
    old = pa.Codec("lz4").compress(packed, asbytes=True)
    data = len(packed).to_bytes(4, "little") + len(old).to_bytes(4, "little") + old + body[end:]

    assert partbytes.of_bytes(data).table().to_pylist() == table.to_pylist()


@pytest.mark.parametrize("texts", [[None], ["b", None, "a"]])
def test_a_null_in_a_dictionary_is_none_among_the_codes(texts: list[str | None]) -> None:
    column = pa.DictionaryArray.from_arrays(pa.array(range(len(texts)), pa.int32()), pa.array(texts, pa.string()))

    found = coded([column])

    assert found.array().to_pylist() == texts
    assert found.codes[texts.index(None)] == -1
    assert not found.dictionary.null_count
