"""The one truth: what silver, windows and quarantine must hold, computed from the distinct input alone."""

from __future__ import annotations

import json
import math
import random
from collections import Counter, defaultdict
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Any

from levada.core import lineage, packs, parquet, segment_reads, segments
from levada.core.checkpoint import Checkpoint
from levada.core.packs import NDJSON_GZIP, Header
from levada.core.partials import merge
from levada.core.records import SERIES
from levada.domains.declaration import Domain, Metric, Time, Watch
from levada.domains.registry import registered
from levada.ports import Entry
from tests.simulation import counting, findings, orders, rolled_up
from tests.simulation.world import START_S, World

OTHERS = ("quarantine/stage=clean/domain=simlong/", "quarantine/stage=clean/domain=simevents/")
"""Checked in ``shapes``."""
FORMAT = "%Y-%m-%dT%H:%M:%SZ"
WINDOW_S = 60
SIM = Domain(
    name="sim",
    time=Time(columns=("t",), formats=(FORMAT,)),
    metrics={"a": Metric("a", -1000, 1000), "b": Metric("b")},
    sentinels=(-999.0,),
    keys={"series": "sensor"},
    window_s=WINDOW_S,
    lateness_s=60,
    watch=(Watch(zscore=1.5, weight=0.3, warmup=2, estimate=3),),
)


@dataclass(slots=True)
class Input:
    """Distinct events of a schedule: what a batch query would read."""

    good: list[dict[str, Any]] = field(default_factory=list)
    """sensor, time_s, a, b; a and b are None where missing, whatever the domain holds to be valid."""
    orders: list[orders.Event] = field(default_factory=list)
    bad: list[str] = field(default_factory=list)
    """Payloads that must end in quarantine, as text."""


def _rows(rng: random.Random, n: int, first_s: int) -> list[dict[str, str]]:
    times = rng.sample(range(first_s, first_s + 600), n)
    if rng.random() < 0.5:
        times.sort()
    rows = []
    for t in times:
        row = {"sensor": f"s{rng.randrange(5)}", "t": datetime.fromtimestamp(t, UTC).strftime(FORMAT)}
        row |= {"a": str(rng.choice([rng.randrange(-50, 50), -999, 5000])), "b": str(rng.randrange(10**6) / 8)}
        if rng.random() < 0.1:
            row["b"] = rng.choice(["x", "", "1e400"])
        rows.append(row)
    return rows


def _note(row: dict[str, str], into: Input) -> None:
    if row["b"] in ("x", "1e400"):
        into.bad.append(_canonical(json.dumps(row)))
        return
    a, b = float(row["a"]), float(row["b"]) if row["b"] else None
    time_s = int(datetime.strptime(row["t"], FORMAT).replace(tzinfo=UTC).timestamp())
    into.good.append({"sensor": row["sensor"], "time_s": time_s, "a": a if a > -999 else None, "b": b})


def feed(world: World) -> Input:
    """Land files and start producers; returns what the tables must hold in the end."""
    rng, truth = world.rng, Input()
    truth.orders = orders.feed(world)
    first_s = int(START_S) - 3600
    for n in range(rng.choice([1, 2])):
        rows = _rows(rng, rng.randrange(5, 25), first_s - n * _apart(world, 1_000))
        lines = ["sensor,t,a,b", *(",".join(row.values()) for row in rows)]
        for row in rows:
            _note(row, truth)
        if rng.random() < 0.3:
            lines.append("s1,short")
            truth.bad.append("s1,short")
        body = ("\n".join(lines) + "\n").encode()
        for copy in range(rng.choice([1, 1, 2])):  # the same content under another name changes nothing
            world.land(f"landing/sim/file {n}-{copy}.csv", body)
    for n in range(rng.choice([0, 1, 2])):
        rows = _rows(rng, rng.randrange(3, 12), first_s - _apart(world, 20_000) - n * 10_000)
        for row in rows:
            _note(row, truth)
        world.produce(_packs(rows, n))
    if rng.random() < 0.5:
        rows = [{"domain": "sim"} | row for row in _rows(rng, rng.randrange(3, 12), first_s - _apart(world, 60_000))]
        for row in rows:
            _note(row, truth)
        world.produce_plain(_plain(rng, rows))
    return truth


def _apart(world: World, seconds: int) -> int:
    """Further where the input is to lie on several days; some of it then has midnight in it."""
    return seconds if world.spread == 1 else (seconds * world.spread) // 86_400 * 86_400 + 82_800


def _plain(rng: random.Random, rows: list[dict[str, str]]) -> list[bytes]:
    """The rows as other producers send them: one object, an array, or lines."""
    bodies, left = [], [json.dumps(row).encode() for row in rows]
    while left:
        n = rng.choice([1, 1, 2, 3])
        some, left = left[:n], left[n:]
        forms = [b"[" + b",".join(some) + b"]", b"\n".join(some)]
        bodies.append(some[0] if len(some) == 1 else rng.choice(forms))
    return bodies


def _packs(rows: list[dict[str, str]], producer: int) -> list[Entry]:
    lanes: dict[int, list[dict[str, str]]] = defaultdict(list)
    for row in rows:
        lanes[packs.lane_of(row["sensor"])].append(row)
    entries = []
    for lane, mine in lanes.items():
        for n, start in enumerate(range(0, len(mine), 2)):
            chunk = mine[start : start + 2]
            source = f"producer/{producer}#{lane:02d}"
            body = packs.compress(b"\n".join(json.dumps(r).encode() for r in chunk), NDJSON_GZIP)
            header = Header(
                domain="sim", tenant="default", source=source, position=n, count=len(chunk), codec=NDJSON_GZIP
            )
            entries.append(Entry(packs.partition_key(lane), packs.encode(header, body)))
    return entries


def check(world: World, truth: Input) -> None:
    """Raises AssertionError with the first difference between the tables and the truth."""
    domain = registered()["sim"]
    truth = replace(truth, good=[_judged(row, domain) for row in truth.good])
    _check_silver(world, truth)
    _check_quarantine(world, truth)
    expected = _windows(truth, domain.window_s)
    _same_windows(_gold(world), expected, "gold")
    _same_windows(_served(world), expected, "serving")
    rolled_up.check(world, truth.good)
    _check_counters(world, truth)
    orders.check(world, truth.orders)
    if not world.plan.changes:  # what was found in windows of before stays
        findings.check(world, domain, {key: _mean(window) for key, window in expected.items()})


def _judged(row: dict[str, Any], domain: Domain) -> dict[str, Any]:
    valid = {name: counting.valid(row[name], domain.metrics[name]) for name in ("a", "b")}
    return row | valid


def _mean(window: dict[str, Any]) -> float | None:
    return window["sum"] / window["count"] if window["count"] else None


def _check_silver(world: World, truth: Input) -> None:
    found: Counter[tuple[Any, ...]] = Counter()
    for row in counting.silver(world, "sim"):
        found[row["series"], int(row["time"].timestamp()), row["metric"], row["value"]] += 1
    expected = Counter((r["sensor"], r["time_s"], m, r[m]) for r in truth.good for m in ("a", "b"))
    assert found == expected, f"silver: {_difference(found, expected)}"


def _check_quarantine(world: World, truth: Input) -> None:
    rows = [
        r
        for b in world.blobs.list("quarantine/")
        if not b.key.startswith(OTHERS)
        for r in parquet.from_bytes(world.blobs.get(b.key)[0]).to_pylist()
    ]
    refused = {(r["source"], r["position"], r["row"]): _canonical(r["payload"].decode()) for r in rows}
    found = Counter(refused.values())
    expected = Counter(truth.bad)
    assert found == expected, f"quarantine: {_difference(found, expected)}"


def _canonical(payload: str) -> str:
    """A JSON object with its fields in order, so that it does not matter how its producer ordered them."""
    return json.dumps(json.loads(payload), sort_keys=True) if payload.startswith("{") else payload


def _difference(found: Counter[Any], expected: Counter[Any]) -> str:
    return f"too many {dict(found - expected)}, missing {dict(expected - found)}"


def _windows(truth: Input, width_s: int) -> dict[tuple[str, str, int], dict[str, Any]]:
    groups: dict[tuple[str, str, int], list[tuple[int, float | None]]] = defaultdict(list)
    for row in truth.good:
        for metric in ("a", "b"):
            groups[row["sensor"], metric, row["time_s"] // width_s * width_s].append((row["time_s"], row[metric]))
    return {key: _statistics(sorted(group, key=lambda r: r[0])) for key, group in groups.items()}


def _statistics(rows: list[tuple[int, float | None]]) -> dict[str, Any]:
    values = [v for _, v in rows if v is not None]
    return {
        "count": len(values),
        "missing": len(rows) - len(values),
        "sum": math.fsum(values),
        "min": min(values, default=None),
        "max": max(values, default=None),
        "first": values[0] if values else None,
        "last": values[-1] if values else None,
    }


def _gold(world: World) -> list[dict[str, Any]]:
    tables = counting.gold(world, "sim")
    assert not (lost := _open(world)), f"windows are still open: {lost}"
    rows: list[dict[str, Any]] = merge(tables).to_pylist()
    return rows


def _open(world: World) -> int:
    return sum(
        Checkpoint.peek(world.blobs.get(f"checkpoints/aggregate/{token}")[0])["open"]
        for token in lineage.tokens(world.blobs, "aggregate")
    )


def _served(world: World) -> list[dict[str, Any]]:
    tables = []
    for item in world.serving.query(segments.series_pk("default", "sim")):
        series = {name: item[name] for name in SERIES}
        tables.append(segment_reads.to_partials(segment_reads.of_series(world.serving, series), series))
    rows: list[dict[str, Any]] = merge(tables).to_pylist()
    return rows


def _same_windows(rows: list[dict[str, Any]], expected: dict[tuple[str, str, int], dict[str, Any]], where: str) -> None:
    found = {(r["series"], r["metric"], int(r["window_start"].timestamp())): r for r in rows}
    assert found.keys() == expected.keys(), f"{where}: windows {sorted(found.keys() ^ expected.keys())[:5]}"
    for key, want in expected.items():
        got = {name: found[key][name] for name in want}
        assert math.isclose(got.pop("sum"), want["sum"], rel_tol=1e-9, abs_tol=1e-9), f"{where}: sum of {key}"
        rest = {name: value for name, value in want.items() if name != "sum"}
        assert got == rest, f"{where}: {key}: {got}, not {rest}"


def _check_counters(world: World, truth: Input) -> None:
    totals: Counter[str] = Counter()
    for token in lineage.tokens(world.blobs, "clean"):
        totals.update(Checkpoint.peek(world.blobs.get(f"checkpoints/clean/{token}")[0])["counters"].get("sim", {}))
    assert totals["rows"] == len(truth.good), f"counter rows: {totals['rows']}, not {len(truth.good)}"
    assert totals["quarantined"] == len(truth.bad), f"counter quarantined: {totals['quarantined']}"
