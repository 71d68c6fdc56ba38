"""Events in the simulation: a domain of orders, its producers, and what its windows and latest states must be."""

from __future__ import annotations

import json
import math
import random
from collections import defaultdict
from datetime import UTC, datetime
from typing import Any

from levada.aggregate import latest
from levada.core import distinct, packs, segment_reads, segments
from levada.core.packs import NDJSON_GZIP, Header
from levada.core.partials import merge
from levada.core.records import SERIES
from levada.domains.declaration import Domain, Rollup, Time
from levada.domains.registry import registered
from levada.ports import Entry
from tests.simulation import counting
from tests.simulation.world import START_S, World

FORMAT = "%Y-%m-%dT%H:%M:%SZ"
WINDOW_S = 60
KINDS = ("placed", "paid", "shipped")
ORDERS = Domain(
    name="orders",
    time=Time(columns=("t",), formats=(FORMAT,)),
    events={"entity_id": "order", "event_type": "kind"},
    constants={"entity_type": "order"},
    fields={"amount": "number", "customer": "text"},
    rollups=(
        Rollup(metric="events", distinct="customer"),
        Rollup(metric="revenue", by=("event_type",), value="amount", where={"event_type": ("paid",)}),
    ),
    latest=("order",),
    ranks={"paid": 1, "shipped": 2},
    window_s=WINDOW_S,
    lateness_s=30,
)
Event = dict[str, Any]


def feed(world: World) -> list[Event]:
    """Start producers of packs and of plain records; returns the distinct events."""
    rng = random.Random(f"orders {world.plan.seed}")
    back_s = 82_800 - 150 if world.spread > 1 else 0  # midnight lies in the middle then
    events = _events(rng, rng.randrange(0, 24), back_s)
    cut = rng.randrange(len(events) + 1)
    if cut:
        world.produce(_packs(events[:cut]))
    if bodies := [json.dumps(_row(event) | {"domain": "orders"}).encode() for event in events[cut:]]:
        world.produce(_plain(bodies))
    return events


def _events(rng: random.Random, n: int, back_s: int) -> list[Event]:
    """In no order. No two of one order have the same time and rank: where they stand then depends on the schedule."""
    taken: set[tuple[str, int, str]] = set()
    while len(taken) < n:
        taken.add((f"o{rng.randrange(6)}", int(START_S) - 3600 + rng.randrange(300) - back_s, rng.choice(KINDS)))
    events = sorted(taken)
    rng.shuffle(events)
    return [
        {
            "order": order,
            "time_s": time_s,
            "kind": kind,
            "amount": rng.choice([None, rng.randrange(1000) / 4]),
            "customer": f"c{rng.randrange(4)}",
        }
        for order, time_s, kind in events
    ]


def _row(event: Event) -> dict[str, Any]:
    row = {"order": event["order"], "t": datetime.fromtimestamp(event["time_s"], UTC).strftime(FORMAT)}
    return row | {name: event[name] for name in ("kind", "amount", "customer") if event[name] is not None}


def _packs(events: list[Event]) -> list[Entry]:
    lanes: dict[int, list[Event]] = defaultdict(list)
    for event in events:
        lanes[packs.lane_of(event["order"])].append(event)
    return [
        _pack([_row(event) for event in mine[start : start + 2]], f"orders/1#{lane:02d}", n, lane)
        for lane, mine in lanes.items()
        for n, start in enumerate(range(0, len(mine), 2))
    ]


def _plain(bodies: list[bytes]) -> list[Entry]:
    """One pack each, as ingest over HTTP makes them: a source of its own per request."""
    return [_pack([json.loads(body)], f"orders/http-{i}#00", 0, i % packs.LANES) for i, body in enumerate(bodies)]


def _pack(rows: list[dict[str, Any]], source: str, n: int, lane: int) -> Entry:
    body = packs.compress(b"\n".join(json.dumps(row).encode() for row in rows), NDJSON_GZIP)
    header = Header(domain="orders", tenant="default", source=source, position=n, count=len(rows), codec=NDJSON_GZIP)
    return Entry(packs.partition_key(lane), packs.encode(header, body))


def check(world: World, events: list[Event]) -> None:
    """Raises AssertionError with the first difference between rollups or latest states and the events."""
    expected = _windows(events, registered()["orders"].window_s)
    gold = counting.gold(world, "orders")
    served = []
    for item in world.serving.query(segments.series_pk("default", "orders")):
        series = {name: item[name] for name in SERIES}
        served.append(segment_reads.to_partials(segment_reads.of_series(world.serving, series), series))
    for where, tables in (("gold", gold), ("serving", served)):
        _same(merge(tables).to_pylist(), expected, where)
    found = {
        item["sk"]: latest.state_of(item)
        for item in world.serving.query(latest.entity_pk("default", "orders", "order"))
    }
    newest: dict[str, Event] = {}
    for event in sorted(events, key=lambda e: (e["time_s"], ORDERS.ranks.get(e["kind"], 0))):
        newest[event["order"]] = event
    states = {order: (state["event_type"], state["customer"], state["amount"]) for order, state in found.items()}
    wanted = {order: (event["kind"], event["customer"], event["amount"]) for order, event in newest.items()}
    assert states == wanted, f"latest states: {states}, not {wanted}"


def _windows(events: list[Event], width_s: int) -> dict[tuple[str, str, int], list[Event]]:
    groups: dict[tuple[str, str, int], list[Event]] = defaultdict(list)
    for event in events:
        start = event["time_s"] // width_s * width_s
        groups[event["kind"], "events", start].append(event)
        if event["kind"] == "paid":
            groups["paid", "revenue", start].append(event)
    return groups


def _same(rows: list[dict[str, Any]], expected: dict[tuple[str, str, int], list[Event]], where: str) -> None:
    found = {(r["series"], r["metric"], int(r["window_start"].timestamp())): r for r in rows}
    assert found.keys() == expected.keys(), f"orders, {where}: windows {sorted(found.keys() ^ expected.keys())[:5]}"
    for key, group in expected.items():
        row = found[key]
        values = [1.0 if key[1] == "events" else e["amount"] for e in group]
        there = [v for v in values if v is not None]
        assert (row["count"], row["missing"]) == (len(there), len(values) - len(there)), f"orders, {where}: {key}"
        assert math.isclose(row["sum"], math.fsum(there)), f"orders, {where}: sum of {key}"
        assert sum(row["bin_counts"]) == len(there), f"orders, {where}: bins of {key}"
        if key[1] == "events":
            (customers,) = distinct.estimates_of([row["distinct_sketch"]])
            assert customers == len({e["customer"] for e in group}), f"orders, {where}: customers of {key}"
