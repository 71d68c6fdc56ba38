"""Latest state per entity: of all events of a job, a device … the newest, by event time, rank and position.

Each batch's newest events leave through the outbox as items that are written only over older ones, so that neither
order nor repetition matters.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from levada.core import columns
from levada.core.groups import heads_of
from levada.core.instants import instant
from levada.core.item_keys import PARTITION_BYTES, bounded, quoted
from levada.core.records import IDENTITY, TIME
from levada.core.retention import Expiry
from levada.core.segments import sort_time
from levada.core.vectors import ranks, to_numpy
from levada.domains.declaration import Domain

LATEST = pa.schema(
    [
        *(pa.field(name, pa.string()) for name in ("domain", "tenant", "entity_type", "entity_id")),
        pa.field("time", TIME),
        pa.field("version", pa.string()),  # sorts as the events do: the largest is the newest
        pa.field("state", pa.string()),  # JSON object: the event
    ]
)
"""One row per entity."""
ENTITY = ("domain", "tenant", "entity_type", "entity_id")
HIDDEN = frozenset({*(field.name for field in IDENTITY), "item", "quality", "domain", "tenant"})
"""Columns of an event that its entity's state does not show."""
YEAR_0_US = 62_167_219_200_000_000
"""Microseconds from the year 0 to 1970."""


def newest(events: pa.Table, domain: Domain) -> pa.Table:
    """LATEST rows of those entities whose type the domain names in ``latest``; undated events take no part.

    Args:
        events: of this domain, as ``derive.event_schema`` has them.
    """
    wanted = pc.is_in(events["entity_type"].cast(pa.string()), value_set=pa.array(domain.latest, pa.string()))
    named = pc.not_equal(events["entity_id"].cast(pa.string()), "")
    there = pc.and_(pc.and_(wanted, named), pc.is_valid(events["time"]))
    events = events.filter(pc.fill_null(there, False)).unify_dictionaries().combine_chunks()
    if not events.num_rows:
        return columns.empty(LATEST)
    kinds = events["event_type"].cast(pa.string()).combine_chunks().dictionary_encode()
    by_kind = np.array([domain.ranks.get(kind, 0) for kind in kinds.dictionary.to_pylist()] or [0], np.int64)
    rank = by_kind[to_numpy(kinds.indices.fill_null(0))]
    entity = np.zeros(events.num_rows, np.int64)
    for name in ENTITY:
        codes = ranks(events[name])
        entity = entity * (int(codes.max()) + 1) + codes
    row, item = to_numpy(events["row"]), to_numpy(events["item"])
    order = np.lexsort((item, row, ranks(events["sequence"]), rank, to_numpy(events["time"]), entity))
    last = order[np.append(heads_of(entity[order])[1:], len(order)) - 1]
    return _states(events.take(pa.array(last)), rank[last])


def merge(tables: list[pa.Table]) -> pa.Table:
    """One LATEST row per entity: that of the highest version."""
    table = pa.concat_tables(tables)
    if table.num_rows < 2:
        return table.combine_chunks()
    order = pc.sort_indices(table, [*((name, "ascending") for name in ENTITY), ("version", "ascending")])
    table = table.take(order).combine_chunks()
    ends = np.zeros(table.num_rows, bool)
    ends[-1] = True
    for name in ENTITY:
        column = table[name].combine_chunks()
        ends[:-1] |= np.asarray(pc.not_equal(column.slice(1), column.slice(0, len(column) - 1)))
    return table.filter(pa.array(ends))


def items(latest: pa.Table, expiry: Expiry | None = None) -> Iterator[dict[str, Any]]:
    """Items for ``put_newer``, by entity; ``list_pk`` and ``list_sk`` list them by time. expiry: None for never."""
    times = latest["time"].cast(pa.int64()).to_pylist()
    for row, time_us in zip(latest.drop_columns("time").to_pylist(), times, strict=True):
        pk = entity_pk(row["tenant"], row["domain"], row["entity_type"])
        item = {
            "pk": pk,
            "sk": bounded(row["entity_id"]),
            "version": row["version"],
            "list_pk": pk,
            "list_sk": bounded(f"{sort_time(time_us)}#{row['entity_id']}"),
            "state": row["state"],
        }
        yield item if expiry is None else item | {"expires_at": expiry.at("events", row["domain"], time_us)}


def entity_pk(tenant: str, domain: str, entity_type: str) -> str:
    """Partition key of a domain's entities of one type, in the table and in the index that lists them by time."""
    return bounded(f"entity#{quoted(tenant)}#{quoted(domain)}#{quoted(entity_type)}", PARTITION_BYTES)


def state_of(item: Mapping[str, Any]) -> dict[str, Any]:
    """The event that an entity's item shows: site, unit, entity_type … attributes (an object), the domain's fields."""
    state: dict[str, Any] = json.loads(item["state"])
    return state


def _states(events: pa.Table, rank: np.ndarray[Any, Any]) -> pa.Table:
    times = to_numpy(events["time"]).tolist()
    versions = [
        f"{time + YEAR_0_US:020d}#{kind + 1_000_000:07d}#{sequence}#{row:010d}#{item:06d}"
        for time, kind, sequence, row, item in zip(
            times, rank.tolist(), *(events[name].to_pylist() for name in ("sequence", "row", "item")), strict=True
        )
    ]
    shown = events.select([name for name in events.schema.names if name not in HIDDEN and name != "time"])
    states = []
    for time, state in zip(times, shown.to_pylist(), strict=True):  # over entities of a batch, not over its rows
        state["attributes"] = _object(state["attributes"])
        states.append(json.dumps({"time": instant(time), **state}, ensure_ascii=False, separators=(",", ":")))
    arrays = [events[name].cast(pa.string()) for name in ENTITY]
    return pa.table([*arrays, events["time"], pa.array(versions), pa.array(states)], schema=LATEST)


def _object(text: str | None) -> Any:
    try:
        return None if text is None else json.loads(text)
    except ValueError:  # whoever wrote the row has put something else there: shown as it is
        return text
