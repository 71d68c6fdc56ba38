"""Domains of other shapes in the simulation: one value per row, and events with items, rollups and latest states."""

from __future__ import annotations

import json
import math
import random
from collections import Counter, defaultdict
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Any

import pyarrow as pa

from levada.aggregate.latest import entity_pk, state_of
from levada.core import packs, parquet
from levada.core.packs import NDJSON_GZIP, Header
from levada.core.partials import merge
from levada.domains.declaration import Derived, Domain, Long, Metric, Rollup, Time
from levada.domains.registry import registered
from levada.ports import Entry
from tests.simulation import counting
from tests.simulation.world import START_S, World

FORMAT = "%Y-%m-%dT%H:%M:%SZ"
WINDOW_S = 60


def pieces(rows: pa.Table) -> Derived:
    """Each order is an event; so is each of its ``n`` pieces."""
    counts = [int(n) for n in rows["n"].to_pylist()]
    at = [i for i, n in enumerate(counts) for _ in range(n + 1)]
    first = [j == 0 for n in counts for j in range(n + 1)]
    value = rows["value"].to_pylist()
    made = {
        "at": pa.array(at, pa.int32()),
        "entity_type": ["order" if own else "piece" for own in first],
        "entity_id": [rows["entity_id"][i].as_py() for i in at],
        "event_type": [rows["event_type"][i].as_py() if own else "piece" for i, own in zip(at, first, strict=True)],
        "value": pa.array([value[i] if own else 1.0 for i, own in zip(at, first, strict=True)], pa.float64()),
        "kind": [rows["kind"][i].as_py() for i in at],
    }
    return Derived(events=pa.table(made))


LONG = Domain(
    name="simlong",
    time=Time(columns=("t",), formats=("iso",)),
    keys={"series": "sensor"},
    long=Long(metric="m", value="v"),
    metrics={"a": Metric("a", -1000, 1000), "b": Metric("b")},
    window_s=WINDOW_S,
    lateness_s=60,
)
EVENTS = Domain(
    name="simevents",
    time=Time(columns=("t",), formats=("iso",)),
    constants={"entity_type": "order"},
    events={"entity_id": "order", "event_type": "what", "value": "amount"},
    event_types=("placed", "paid", "sent"),
    fields={"kind": "text"},
    further={"n": "number"},
    derive=pieces,
    needed=("n",),
    latest=("order",),
    ranks={"placed": 0, "paid": 1, "sent": 2},
    rollups=(
        Rollup(metric="amount", value="value", where={"entity_type": ("order",)}),
        Rollup(metric="pieces", by=("kind",), where={"event_type": ("piece",)}),
    ),
    window_s=WINDOW_S,
    lateness_s=60,
)


@dataclass(slots=True)
class Input:
    """Distinct rows of a schedule."""

    long: list[dict[str, Any]] = field(default_factory=list)
    events: list[dict[str, Any]] = field(default_factory=list)
    lost: list[dict[str, Any]] = field(default_factory=list)
    """Events of a type that the domain knows only when it has changed; they are among the bad ones too."""
    bad: list[str] = field(default_factory=list)
    """Payloads that must end in quarantine, canonical."""


def feed(world: World) -> Input:
    """Files, packs and plain records of both domains; returns what the tables must hold in the end."""
    rng, truth = world.rng, Input()
    for domain, make in (("simlong", _long_rows), ("simevents", _event_rows)):
        if rng.random() < 0.3:
            continue
        first_s = int(START_S) - 7200
        world.land(
            f"landing/{domain}/a.csv", _csv(_noted(make(rng, rng.randrange(4, 12), first_s, "f"), truth, domain))
        )
        rows = _noted(make(rng, rng.randrange(3, 9), first_s - 20_000 * world.spread, "p"), truth, domain)
        world.produce(_packs(rows, domain))
        if rng.random() < 0.5:
            rows = _noted(make(rng, rng.randrange(2, 5), first_s - 40_000 * world.spread, "r"), truth, domain)
            world.produce_plain([json.dumps({"domain": domain} | row).encode() for row in rows])
            truth.bad = [_with_domain(text, rows, domain) for text in truth.bad]
    return truth


def _times(rng: random.Random, n: int, first_s: int) -> list[str]:
    return [datetime.fromtimestamp(t, UTC).strftime(FORMAT) for t in rng.sample(range(first_s, first_s + 600), n)]


def _long_rows(rng: random.Random, n: int, first_s: int, _: str) -> list[dict[str, str]]:
    return [
        {
            "t": t,
            "sensor": f"s{rng.randrange(4)}",
            "m": rng.choice(["a", "a", "b", "b", "b", "unknown"] if rng.random() < 0.3 else ["a", "b"]),
            "v": rng.choice([str(rng.randrange(10**6) / 8), str(rng.randrange(50)), "5000", "", "x"]),
        }
        for t in _times(rng, n, first_s)
    ]


def _event_rows(rng: random.Random, n: int, first_s: int, way: str) -> list[dict[str, str]]:
    """Times of one order differ, so that which event is its newest does not hang on the way it came."""
    return [
        {
            "t": t,
            "order": f"{way}{rng.randrange(3)}",
            "what": rng.choice(["placed", "paid", "sent", "sent", "lost" if rng.random() < 0.2 else "paid"]),
            "amount": str(rng.randrange(1000) / 4),
            "n": str(rng.randrange(4)) if rng.random() < 0.9 else "",
            "kind": rng.choice("xyz"),
        }
        for t in _times(rng, n, first_s)
    ]


def _noted(rows: list[dict[str, str]], truth: Input, domain: str) -> list[dict[str, str]]:
    for row in rows:
        time_s = int(datetime.strptime(row["t"], FORMAT).replace(tzinfo=UTC).timestamp())
        if domain == "simlong":
            if row["m"] == "unknown" or row["v"] == "x":
                truth.bad.append(_canonical(row))
                continue
            value = float(row["v"]) if row["v"] else None
            truth.long.append({"time_s": time_s, "series": row["sensor"], "metric": row["m"], "value": value})
        elif row["what"] == "lost" or not row["n"]:
            truth.bad.append(_canonical(row))
            if row["n"]:
                truth.lost.append(row | {"time_s": time_s})
        else:
            truth.events.append(row | {"time_s": time_s})
    return rows


def _with_domain(text: str, rows: list[dict[str, str]], domain: str) -> str:
    row = json.loads(text)
    return _canonical({"domain": domain} | row) if row in rows else text


def _canonical(row: dict[str, Any]) -> str:
    return json.dumps(row, sort_keys=True)


def _csv(rows: list[dict[str, str]]) -> bytes:
    return "\n".join([",".join(rows[0]), *(",".join(row.values()) for row in rows), ""]).encode()


def _packs(rows: list[dict[str, str]], domain: str) -> list[Entry]:
    lanes: dict[int, list[dict[str, str]]] = defaultdict(list)
    for row in rows:
        lanes[packs.lane_of(row.get("sensor", row.get("order", "")))].append(row)
    entries = []
    for lane, mine in lanes.items():
        for n, start in enumerate(range(0, len(mine), 2)):
            chunk = mine[start : start + 2]
            header = Header(
                domain=domain,
                tenant="default",
                source=f"{domain}#{lane:02d}",
                position=n,
                count=len(chunk),
                codec=NDJSON_GZIP,
            )
            body = packs.compress(b"\n".join(json.dumps(r).encode() for r in chunk), NDJSON_GZIP)
            entries.append(Entry(packs.partition_key(lane), packs.encode(header, body)))
    return entries


def check(world: World, truth: Input) -> None:
    """Raises AssertionError with the first difference between the tables and the truth."""
    metrics = registered()["simlong"].metrics
    judged = [row | {"value": counting.valid(row["value"], metrics[row["metric"]])} for row in truth.long]
    events = truth.events + (truth.lost if "lost" in registered()["simevents"].event_types else [])
    truth = replace(truth, long=judged, events=events)
    _check_silver(world, truth)
    _check_events(world, truth)
    _check_quarantine(world, truth)
    _check_windows(world, truth)
    _check_latest(world, truth)


def _same(found: Counter[Any], expected: Counter[Any], what: str) -> None:
    assert found == expected, f"{what}: too many {dict(found - expected)}, missing {dict(expected - found)}"


def _check_silver(world: World, truth: Input) -> None:
    rows = counting.silver(world, "simlong")
    found = Counter((r["series"], r["metric"], int(r["time"].timestamp()), r["value"]) for r in rows)
    _same(found, Counter((r["series"], r["metric"], r["time_s"], r["value"]) for r in truth.long), "silver of simlong")


def _items(truth: Input) -> list[tuple[str, str, str, int, int, float]]:
    """(order, event type, kind, item, time_s, value) of all events that must come of the rows."""
    out = []
    for row in truth.events:
        out.append((row["order"], row["what"], row["kind"], 0, row["time_s"], float(row["amount"])))
        out += [(row["order"], "piece", row["kind"], i, row["time_s"], 1.0) for i in range(1, int(row["n"]) + 1)]
    return out


def _check_events(world: World, truth: Input) -> None:
    rows = counting.events(world, "simevents")
    found = Counter(
        (r["entity_id"], r["event_type"], r["kind"], r["item"], int(r["time"].timestamp()), r["value"]) for r in rows
    )
    _same(found, Counter(_items(truth)), "events")


def _check_quarantine(world: World, truth: Input) -> None:
    rows = [
        r
        for domain in ("simlong", "simevents")
        for b in world.blobs.list(f"quarantine/stage=clean/domain={domain}/")
        for r in parquet.from_bytes(world.blobs.get(b.key)[0]).to_pylist()
    ]
    refused = {(r["source"], r["position"], r["row"]): _canonical(json.loads(r["payload"])) for r in rows}
    found, expected = Counter(refused.values()), Counter(truth.bad)
    if world.changed:  # what came later was not refused
        found, expected = (Counter({t: n for t, n in c.items() if not _is_lost(t)}) for c in (found, expected))
    _same(found, expected, "quarantine")


def _is_lost(payload: str) -> bool:
    row = json.loads(payload)
    return row.get("what") == "lost" and bool(row["n"])


def _check_windows(world: World, truth: Input) -> None:
    expected: dict[tuple[str, str, str, int], list[float | None]] = defaultdict(list)
    width_s = registered()["simlong"].window_s
    for r in truth.long:
        expected["simlong", r["series"], r["metric"], r["time_s"] // width_s * width_s].append(r["value"])
    for _, kind, group, _, time_s, value in _items(truth):
        name, metric = (group, "pieces") if kind == "piece" else (kind, "amount")
        expected["simevents", name, metric, time_s // width_s * width_s].append(value)
    tables = [table for domain in ("simlong", "simevents") for table in counting.gold(world, domain)]
    rows = merge(tables).to_pylist() if tables else []
    found = {(r["domain"], r["series"], r["metric"], int(r["window_start"].timestamp())): r for r in rows}
    assert found.keys() == expected.keys(), f"windows: {sorted(found.keys() ^ expected.keys())[:5]}"
    for key, values in expected.items():
        good = [value for value in values if value is not None]
        row = found[key]
        assert (row["count"], row["missing"]) == (len(good), len(values) - len(good)), f"{key}: {row}"
        assert math.isclose(row["sum"], math.fsum(good), rel_tol=1e-9, abs_tol=1e-9), f"sum of {key}"


def _check_latest(world: World, truth: Input) -> None:
    newest: dict[str, dict[str, Any]] = {}
    for row in sorted(truth.events, key=lambda r: r["time_s"]):
        newest[row["order"]] = row
    items = [state_of(item) for item in world.serving.query(entity_pk("default", "simevents", "order"))]
    found = {one["entity_id"]: (one["event_type"], one["value"], one["kind"]) for one in items}
    expected = {order: (r["what"], float(r["amount"]), r["kind"]) for order, r in newest.items()}
    assert found == expected, f"latest states: {found}, not {expected}"
