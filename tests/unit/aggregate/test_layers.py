"""Layers of open windows: whenever windows close, they are what one merge of all their partials would have been."""

from __future__ import annotations

import math
from collections import defaultdict
from typing import Any

import pyarrow as pa
from hypothesis import given
from hypothesis import strategies as st

from levada.aggregate import layers
from levada.aggregate.layers import MOST, Layer, Stream
from levada.aggregate.state import AggregateState, Windowed
from levada.core.checkpoint import Checkpoint
from levada.core.partials import merge
from levada.core.parts import PARTIAL, Parts
from levada.core.records import TEXT
from tests.unit.core.test_partials import Row, partials

US = 1_000_000
ROW = st.tuples(st.sampled_from("abc"), st.integers(-100, 700), st.none() | st.integers(-50, 50).map(float))
BATCH = st.tuples(st.sampled_from("xy"), st.lists(ROW, min_size=1, max_size=8), st.none() | st.integers(-200, 800))
"""(tenant, rows, how far the watermark of that tenant moves after them, seconds)"""


def of_tenant(tenant: str, rows: list[Row]) -> Parts:
    table = partials(rows)
    names = pa.array([tenant] * table.num_rows, pa.string()).cast(TEXT)
    return Parts.of(table.set_column(PARTIAL.get_field_index("tenant"), "tenant", names))


def key(row: dict[str, Any]) -> tuple[str, str, int]:
    return row["tenant"], row["series"], int(row["window_start"].timestamp())


def facts(row: dict[str, Any]) -> tuple[Any, ...]:
    names = ("count", "missing", "min", "max", "first", "last", "first_time", "last_time", "bin_keys", "bin_counts")
    return tuple(row[name] if not isinstance(row[name], list) else tuple(row[name]) for name in names)


@given(st.lists(BATCH, min_size=1, max_size=30))
def test_what_closes_and_what_stays_open_is_the_merge_of_all_its_partials(batches: list[Any]) -> None:
    """Late rows open a further partial of a window that has closed; each partial leaves once, whatever the order."""
    known: list[Layer] = []
    model: dict[Any, list[pa.Table]] = defaultdict(list)
    number = 0
    for tenant, drawn, until_s in batches:
        rows: list[Row] = [(*row, number + i) for i, row in enumerate(drawn)]
        number += len(rows)
        parts = of_tenant(tenant, rows)
        for one in range(len(parts)):
            table = parts.table().slice(one, 1)
            model[key(table.to_pylist()[0])].append(table)
        ends: dict[Stream, int] = {} if until_s is None else {("", tenant): until_s * US}

        gone, left = layers.closed(layers.laid(known, [parts]), ends)
        known, again = layers.read(layers.stored(left, gone))

        assert again.rows == gone.rows
        assert again.table.to_pylist() == gone.table.to_pylist(), (
            "what a crash leaves to the next invocation is what the first had seen"
        )
        wanted = [one for one in model if until_s is not None and one[0] == tenant and one[2] + 60 <= until_s]
        _same(again.parts, [table for one in wanted for table in model.pop(one)])
        assert sum(layer.rows for layer in known) >= len(model)
        assert bool(known) == bool(model)
    _same(layers.open_parts(known), [table for tables in model.values() for table in tables])
    last: dict[Stream, int] = {}
    for tenant, _, start in model:
        last["", tenant] = max(last.get(("", tenant), start * US), (start + 60) * US)
    assert layers.last_ends(known) == last


def _same(found: Parts | None, tables: list[pa.Table]) -> None:
    expected = {key(row): row for row in merge(tables).to_pylist()}
    rows = {key(row): row for row in (found.table() if found is not None else merge([])).to_pylist()}
    assert rows.keys() == expected.keys()
    for one, row in rows.items():
        assert facts(row) == facts(expected[one])
        for name in ("sum", "mean", "m2"):
            want = expected[one][name]
            assert row[name] == want or math.isclose(row[name], want, rel_tol=1e-9, abs_tol=1e-9)


def test_what_has_closed_is_written_only_as_the_layers_that_hold_it() -> None:
    (layer,) = layers.laid([], [Parts.of(partials(rows_of(500)))])

    gone, left = layers.closed([layer], {("", ""): 600 * US})

    stored = layers.stored(left, gone)
    assert (gone.rows, left) == (500, [])
    assert stored["bodies"] == [len(layer.held.to_bytes())]


def rows_of(count: int, first: int = 0) -> list[Row]:
    return [(f"s{i}", 0, 1.0, first + i) for i in range(count)]


def test_a_batch_leaves_the_bytes_of_the_layers_below_it_alone() -> None:
    large = layers.laid([], [Parts.of(partials(rows_of(500)))])

    more = layers.laid(large, [Parts.of(partials(rows_of(3)))])

    assert more[0] is large[0]
    assert [layer.rows for layer in more] == [500, 3]


def test_small_layers_are_merged_when_there_are_too_many_and_a_large_one_stays() -> None:
    found = layers.laid([], [Parts.of(partials(rows_of(500)))])
    large = found[0]
    for _ in range(4 * MOST):
        found = layers.laid(found, [Parts.of(partials(rows_of(3)))])
        assert len(found) <= MOST

    assert found[0] is large
    whole = layers.open_parts(found)
    assert whole is not None
    assert sorted(whole.table()["count"].to_pylist()) == [1] * 497 + [1 + 4 * MOST] * 3


def test_a_layer_of_which_little_is_open_is_written_anew() -> None:
    rows: list[Row] = [("a", 60 * i, 1.0, i) for i in range(100)]
    (layer,) = layers.laid([], [Parts.of(partials(rows))])

    _, some = layer.close({("", ""): 60 * 50 * US})
    _, few = layer.close({("", ""): 60 * 90 * US})

    assert some is not None
    assert few is not None
    assert (some.rows, few.rows) == (50, 10)
    assert some.held is layer.held
    assert len(few.held.to_bytes()) < len(layer.held.to_bytes())


def test_open_windows_are_counted_as_partials_and_come_back_from_a_checkpoint_merged() -> None:
    state = AggregateState()
    for i in range(3):
        state.add(Windowed(partials=[Parts.of(partials(rows_of(2, first=10 * i)))]))

    again = AggregateState.from_checkpoint(Checkpoint.from_bytes(state.to_checkpoint().to_bytes()))

    assert (again.open_rows, again.open.num_rows) == (6, 2)
    assert again.open["count"].to_pylist() == [3, 3]
