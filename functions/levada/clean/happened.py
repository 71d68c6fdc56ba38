"""Events: source rows whose columns say what happened to whom. Pure columns."""

from __future__ import annotations

from collections.abc import Mapping

import pyarrow as pa
import pyarrow.compute as pc

from levada.clean.shapes import flat
from levada.clean.source import Fault, of_kind
from levada.core import columns
from levada.core.records import EVENT, IDENTITY, ITEM, TEXT, Quality, event_schema
from levada.domains.declaration import EVENT_TEXTS, KEY_PARTS, Domain

_SET_LATER = {"domain", "tenant", *(field.name for field in IDENTITY)} - {"row"}
KNOWN = tuple(name for name in EVENT.names if name not in {*_SET_LATER, ITEM.name, "quality", "row"})
"""Columns of an event that a source row, or a domain's function, decides."""


def source(domain: Domain, table: pa.Table, rows: pa.Table, faults: list[Fault]) -> pa.Table:
    """What a domain's function gets of n source rows: ``declaration.Derive`` says what that is.

    Args:
        table: the source columns.
        rows: what has been validated of them: rec, row, time, site, unit, series.
    """
    if not domain.events and domain.derive is None:
        return rows.slice(0, 0)
    read: dict[str, pa.Array] = {}
    for name, kind in domain.columns.items():
        if name in domain.time.columns:
            read[name] = of_kind(table, name, "text", domain)[0]
            continue
        read[name], fault = of_kind(table, name, kind, domain)
        if fault is not None and name not in domain.metrics:  # those of metrics are known already
            faults.append(fault)
    view = {"time": flat(rows, "time")} | {part: flat(rows, part).cast(pa.string()) for part in KEY_PARTS}
    view |= {part: read[name] for part, name in domain.event_columns.items()}
    return pa.table(view | {name: values for name, values in read.items() if name not in view})


def of(domain: Domain, view: pa.Table, rows: pa.Table, faults: list[Fault]) -> list[pa.Table]:
    """The events that the columns say, without ``item``; what is wrong with some goes to the faults."""
    if not domain.events:
        return []
    parts = {part: flat(view, part) for part in domain.event_columns}
    if domain.event_types and "event_type" in parts:
        known = pc.is_in(parts["event_type"], pa.array(domain.event_types, pa.string()))
        faults.append(Fault("unknown_event_type", domain.events["event_type"], pc.invert(known)))
    return [assembled(domain, rows, parts)]


def assembled(domain: Domain, rows: pa.Table, given: Mapping[str, pa.Array]) -> pa.Table:
    """Rows of ``shapes.Happened`` without ``item``.

    Args:
        rows: rec, row, time, site, unit of n rows.
        given: columns of the events by name; what is left out is the row's own, a constant, or nothing.
    """
    n = rows.num_rows
    out = {"rec": flat(rows, "rec"), "row": flat(rows, "row")}
    for field in event_schema(domain.fields):
        name = field.name
        if name in (*_SET_LATER, "row", "item", "quality"):
            continue
        if name in given:
            out[name] = _as(given[name], field.type)
        elif name in ("time", "site", "unit"):
            out[name] = flat(rows, name)
        elif name in domain.constants and name in EVENT_TEXTS:
            out[name] = _as(columns.constant(domain.constants[name], n), field.type)
        else:
            out[name] = columns.constant("", n) if field.type == TEXT else pa.nulls(n, field.type)
    undated = pc.is_null(out["time"])
    out["quality"] = pc.if_else(undated, pa.scalar(int(Quality.UNDATED), pa.uint8()), pa.scalar(0, pa.uint8()))
    return pa.table(out)


def _as(values: pa.Array | pa.ChunkedArray, kind: pa.DataType) -> pa.Array:
    found = values.combine_chunks() if isinstance(values, pa.ChunkedArray) else values
    if kind == TEXT:
        return columns.coded(found if pa.types.is_dictionary(found.type) else found.cast(pa.string()))
    if pa.types.is_string(kind):  # event_id, attributes: empty is none
        found = found.cast(pa.string())
        return pc.if_else(pc.equal(found, ""), pa.scalar(None, pa.string()), found)
    if pa.types.is_floating(kind):
        found = found.cast(pa.float64())
        return pc.if_else(pc.is_finite(found), found, pa.scalar(None, pa.float64()))
    return found.cast(kind)


def numbered(events: pa.Table) -> pa.Table:
    """With ``item``: 0, 1, 2 … over the events of each source row, which stand together."""
    place = pc.add(pc.shift_left(flat(events, "rec").cast(pa.int64()), 32), flat(events, "row").cast(pa.int64()))
    index = columns.count_up(len(place))
    first = pc.if_else(pc.not_equal(place[1:], place[:-1]), index[1:], pa.scalar(0, pa.int32()))
    starts = pc.cumulative_max(pa.concat_arrays([pa.array([0], pa.int32()), first])[: len(place)])
    return events.append_column("item", pc.subtract(index, starts))
