"""A small domain of events for tests of the stage, and its rows as clean publishes them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pyarrow as pa

from levada.aggregate.derive import event_schema
from levada.core import columns, packs
from levada.core.packs import ARROW_ZSTD, Header
from levada.core.positions import pad_sequence
from levada.domains.declaration import Domain, Rollup, Time
from levada.ports import Entry

ORDERS = Domain(
    name="orders",
    time=Time(columns=("at",), formats=("%Y-%m-%dT%H:%M:%SZ",)),
    events={"entity_type": "entity", "entity_id": "id", "event_type": "event"},
    fields={"amount": "number", "customer": "text", "category": "text"},
    rollups=(
        Rollup(metric="events", distinct="customer"),
        Rollup(
            metric="revenue", by=("site", "category", "event_type"), value="amount", where={"event_type": ("paid",)}
        ),
    ),
    latest=("order",),
    ranks={"paid": 1, "shipped": 2},
    lateness_s=60,
)
TOKEN = "6553f100-000000000000"


def events(rows: Sequence[dict[str, Any]], *, tenant: str = "default") -> pa.Table:
    """Canonical events; each row names time_s and what else it wants, ``n`` is its place in the raw stream."""
    made = []
    for i, row in enumerate(rows):
        n = row.get("n", i)
        full: dict[str, Any] = dict.fromkeys(event_schema(ORDERS).names)
        full |= {"domain": "orders", "tenant": tenant, "site": "", "unit": "", "entity_type": "order"}
        full |= {"entity_id": "", "parent_id": "", "event_type": "paid", "severity": "", "quality": 0, "shard": TOKEN}
        full |= {"sequence": pad_sequence(n), "source": f"s{n}", "position": 0, "row": 0, "item": 0}
        time_s = row.get("time_s")
        full |= {"time": None if time_s is None else int(time_s * 1_000_000)}
        made.append(full | {name: value for name, value in row.items() if name not in ("time_s", "n")})
    arrays = []
    for f in event_schema(ORDERS):
        values = [row[f.name] for row in made]
        storage = pa.string() if pa.types.is_dictionary(f.type) else pa.int64() if f.name == "time" else f.type
        arrays.append(pa.array(values, storage).cast(f.type))
    return pa.table(arrays, schema=event_schema(ORDERS))


def entry(table: pa.Table, *, tenant: str = "default", lane: int = 1) -> Entry:
    """The clean stream's record of these rows."""
    first, last = ([table["sequence"][i].as_py(), table["row"][i].as_py()] for i in (0, table.num_rows - 1))
    header = Header(
        domain="orders",
        tenant=tenant,
        source=f"{TOKEN}#orders#{tenant}#e{lane:02d}",
        position=0,
        count=table.num_rows,
        codec=ARROW_ZSTD,
        extra={"first": first, "last": last, "kind": "event"},
    )
    return Entry(packs.partition_key(lane), packs.encode(header, columns.to_bytes(table)))
