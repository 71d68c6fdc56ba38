"""Events in aggregate: rollups by type with sums and distinct counts, latest state per entity (D18, E8, E9, C4)."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from levada.aggregate import latest, stage
from levada.aggregate.derive import rows_of
from levada.core import distinct, parquet
from levada.core.partials import from_rows, merge
from levada.core.positions import pad_sequence
from levada.domains.declaration import Rollup
from levada.query import render
from levadactl.memory import MemoryDeps
from tests.builders import clean_batch
from tests.unit.aggregate.events import ORDERS, entry, events
from tests.unit.aggregate.test_stage import _deps, _state

T0 = 1_767_225_600
"""A whole minute."""


def run(memory: MemoryDeps, rows: list[dict[str, Any]], *, first: int = 1, **options: Any) -> stage.Summary:
    deps = _deps(memory)
    object.__setattr__(deps, "domains", {"orders": ORDERS})
    return stage.run(clean_batch([entry(events(rows, **options), **options)], first=first), deps)


def windows(memory: MemoryDeps) -> dict[tuple[str, str, str], dict[str, Any]]:
    """(site, series, metric) → the one window, closed and open partials merged."""
    closed = [parquet.from_bytes(memory.blobs.objects[b.key]) for b in memory.blobs.list("gold/")]
    return {(r["site"], r["series"], r["metric"]): r for r in merge([*closed, _state(memory).open]).to_pylist()}


def entities(memory: MemoryDeps) -> dict[str, dict[str, Any]]:
    found = memory.serving.query(latest.entity_pk("default", "orders", "order"))
    return {item["sk"]: latest.state_of(item) for item in found}


def test_events_become_windows_by_type_and_by_the_columns_that_a_rollup_names() -> None:
    memory = MemoryDeps()
    rows = [
        {"time_s": T0, "event_type": "viewed", "customer": "ann"},
        {"time_s": T0 + 1, "event_type": "viewed", "customer": "bob"},
        {"time_s": T0 + 2, "event_type": "viewed", "customer": "ann"},
        {"time_s": T0 + 3, "event_type": "paid", "customer": "ann", "category": "a/b", "amount": 2.5, "site": "x"},
        {"time_s": T0 + 4, "event_type": "paid", "customer": "", "category": "a/b", "amount": None, "site": "x"},
        {"time_s": T0 + 5, "event_type": "paid", "customer": "eve", "category": "a/b", "amount": 4.0, "site": "x"},
    ]

    run(memory, rows)

    found = windows(memory)
    assert found.keys() == {("", "paid", "events"), ("", "viewed", "events"), ("x", "a%2Fb/paid", "revenue")}
    assert (found["", "viewed", "events"]["count"], found["", "viewed", "events"]["sum"]) == (3, 3.0)
    revenue = found["x", "a%2Fb/paid", "revenue"]
    assert (revenue["count"], revenue["missing"], revenue["sum"], revenue["max"]) == (2, 1, 6.5, 4.0)
    assert revenue["distinct_sketch"] is None, "who does not ask for distinct values pays nothing"
    merged = merge(_state(memory).open)
    estimates = dict(zip(merged["series"].to_pylist(), distinct.estimates(merged["distinct_sketch"]), strict=True))
    assert (estimates["viewed"], estimates["paid"]) == (2, 2)


def test_latest_states_are_written_over_older_ones_only_whatever_comes_first() -> None:
    memory = MemoryDeps()
    run(memory, [{"time_s": T0 + 60, "entity_id": "o1", "event_type": "shipped", "attributes": '{"by":"van"}'}])

    run(memory, [{"time_s": T0, "entity_id": "o1", "n": 5}, {"time_s": T0, "entity_id": "o2", "n": 6}], first=2)

    found = entities(memory)
    assert (found["o1"]["event_type"], found["o1"]["attributes"]) == ("shipped", {"by": "van"})
    assert (found["o2"]["event_type"], found["o2"]["time"]) == ("paid", "2026-01-01T00:00:00Z")
    assert found["o2"].keys() >= {"site", "unit", "entity_type", "parent_id", "severity", "value", *ORDERS.fields}
    listed = memory.serving.by_time(latest.entity_pk("default", "orders", "order"), newest_first=True)
    assert [item["sk"] for item in listed] == ["o1", "o2"]


def test_of_equal_times_the_rank_decides_and_then_the_position() -> None:
    rows = [
        {"time_s": T0, "entity_id": "a", "event_type": "shipped", "n": 1},
        {"time_s": T0, "entity_id": "a", "event_type": "paid", "n": 2},
        {"time_s": T0, "entity_id": "b", "n": 3, "row": 1, "item": 1, "amount": 1.0},
        {"time_s": T0, "entity_id": "b", "n": 3, "row": 1, "item": 0, "amount": 2.0},
        {"time_s": T0 - 1, "entity_id": "b", "n": 9},
    ]

    found = {r["entity_id"]: r for r in latest.newest(events(rows), ORDERS).to_pylist()}

    assert '"event_type":"shipped"' in found["a"]["state"]
    assert '"amount":1.0' in found["b"]["state"]


def test_undated_events_and_those_of_no_entity_have_no_latest_state() -> None:
    rows: list[dict[str, Any]] = [{"time_s": None, "entity_id": "a"}, {"time_s": T0, "entity_id": ""}]
    rows.append({"time_s": T0, "entity_id": "c", "entity_type": "customer"})

    assert latest.newest(events(rows), ORDERS).num_rows == 0


EVENTS = st.lists(
    st.tuples(
        st.sampled_from(["o1", "o2", "o3"]), st.integers(-100, 100), st.sampled_from(["paid", "shipped", "viewed"])
    ),
    min_size=1,
    max_size=12,
)


@given(EVENTS, st.data())
def test_any_order_and_cut_of_the_events_leaves_the_same_latest_states(
    given_events: list[tuple[str, int, str]], data: st.DataObject
) -> None:
    rows: list[dict[str, Any]] = [
        {"entity_id": e, "time_s": T0 + t, "event_type": kind, "n": n} for n, (e, t, kind) in enumerate(given_events)
    ]
    shuffled = data.draw(st.permutations(rows))
    cut = data.draw(st.integers(0, len(rows)))

    parts = [latest.newest(events(part), ORDERS) for part in (shuffled[cut:], shuffled[:cut])]

    whole = latest.newest(events(rows), ORDERS)
    assert latest.merge(parts).to_pylist() == latest.merge([whole]).to_pylist()
    expected = {}
    for row in sorted(rows, key=lambda r: (r["time_s"], ORDERS.ranks.get(r["event_type"], 0), r["n"])):
        expected[row["entity_id"]] = row["time_s"]
    assert {r["entity_id"]: r["time"].timestamp() for r in whole.to_pylist()} == expected


def test_entities_are_emitted_though_no_window_closes_and_again_only_while_nobody_knows() -> None:
    memory = MemoryDeps()
    memory.serving.down = True
    summary = run(memory, [{"time_s": T0, "entity_id": "o1"}])
    assert (summary.entities, summary.closed) == (1, 0)
    assert "down" in summary.unemitted
    memory.serving.down = False

    run(memory, [{"time_s": T0 + 1, "entity_id": "o2", "n": 7}], first=2)

    assert entities(memory).keys() == {"o1", "o2"}


PAID = Rollup(metric="paid", by=("site",), where={"event_type": ("paid", "failed")}, success={"event_type": ("paid",)})
OUTCOMES = st.tuples(st.sampled_from(["paid", "failed", "viewed"]), st.integers(0, 600), st.sampled_from(["a", "b"]))


@given(st.lists(OUTCOMES, min_size=1, max_size=30), st.data())
def test_success_rates_merge_from_counts_however_the_events_are_cut_and_ordered(
    given_events: list[tuple[str, int, str]], data: st.DataObject
) -> None:
    """C14: wide windows of any cut have the rate of all their events, not a mean of rates."""
    rows = [
        {"event_type": kind, "time_s": T0 + t, "site": site, "n": n} for n, (kind, t, site) in enumerate(given_events)
    ]
    cuts = sorted(data.draw(st.lists(st.integers(0, len(rows)), max_size=4)))
    shuffled = data.draw(st.permutations(rows))
    batches = [shuffled[a:b] for a, b in pairwise([0, *cuts, len(rows)])]

    parts = [
        from_rows(rows_of(events(batch), PAID), width_s=3600, opened=pad_sequence(1), watermark_us=None)
        for batch in batches
        if batch
    ]
    merged = merge(parts).append_column("revisions", pa.nulls(merge(parts).num_rows, pa.int32()))

    shown = {(row["site"], row["start"]): row for row in render.windows(merged, rates={"paid"})}
    expected: dict[str, list[bool]] = {}
    for kind, _, site in given_events:
        if kind != "viewed":
            expected.setdefault(site, []).append(kind == "paid")
    assert {site: row["success_rate"] for (site, _), row in shown.items()} == {
        site: sum(good) / len(good) for site, good in expected.items()
    }
    assert all(row["success_rate"] is None for row in render.windows(merged))


def test_an_event_is_a_success_when_each_named_column_says_so() -> None:
    rollup = Rollup(metric="n", success={"event_type": ("paid",), "category": ("a", "b")})
    table = events([{"time_s": T0, "event_type": t, "category": c} for t in ("paid", "lost") for c in ("a", "c", None)])

    assert rows_of(table, rollup)["value"].to_pylist() == [1.0, 0.0, 0.0, 0.0, 0.0, 0.0]


@pytest.mark.parametrize("by", [(), ("event_type",), ("site",), ("category", "event_type")])
def test_series_of_a_rollup_tell_all_values_of_its_columns_apart(by: tuple[str, ...]) -> None:
    values = ["", "/", "a", "a/b", "b", "%2F", "b/c"]
    rows = [{"time_s": T0, "site": x, "category": x, "event_type": y} for x in values for y in values]
    table = events(rows)

    made = rows_of(table, Rollup(metric="n", by=by)).to_pylist()

    groups = {(r["site"], r["series"]) for r in made}
    assert len(groups) == len({tuple(row[name] for name in by) for row in table.to_pylist()})
