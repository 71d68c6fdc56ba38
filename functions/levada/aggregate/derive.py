"""Event rollups: events as measurement-like rows, so that their windows are windows as any other.

One row per event that takes part: its series is made of the values of the rollup's ``by`` columns, its metric is the
rollup's, its value the named number, 1 or 0 where the rollup says what is a success, else 1. A null number is a missing
value. So the sum of a window of successes is how many there were, and its count of how many.
"""

from __future__ import annotations

from collections.abc import Sequence

import pyarrow as pa
import pyarrow.compute as pc

from levada.core import columns
from levada.core.records import EVENT, TEXT
from levada.domains.declaration import Domain, Rollup

PLACES = ("site", "unit")
"""Columns of ``by`` that stay columns of their own, as measurements have them."""
FIELD_TYPES = {"number": pa.float64(), "text": TEXT}


def event_schema(domain: Domain) -> pa.Schema:
    """EVENT, and behind it the domain's fields."""
    return pa.schema([*EVENT, *(pa.field(name, FIELD_TYPES[kind]) for name, kind in domain.fields.items())])


def canonical(rows: pa.Table, domain: Domain) -> pa.Table:
    """Events as ``event_schema`` has them. A field that they lack is null; further columns are dropped.

    Raises:
        KeyError, pa.ArrowInvalid: a column of EVENT is missing, or of another type.
    """
    n, there = rows.num_rows, set(rows.schema.names)
    schema = event_schema(domain)
    arrays = [
        pa.nulls(n, f.type) if f.name in domain.fields and f.name not in there else rows[f.name].cast(f.type)
        for f in schema
    ]
    return pa.table(arrays, schema=schema)


def rows_of(events: pa.Table, rollup: Rollup, *, also: Sequence[str] = ()) -> pa.Table:
    """The rows that ``from_rows`` makes windows of, in the order of the events; ``distinct`` where the rollup asks.

    Args:
        also: further columns that stay.
    """
    events = _taking_part(events, rollup)
    n = events.num_rows
    by = [name for name in rollup.by if name not in PLACES]
    rows = {
        "time": events["time"],
        "domain": events["domain"],
        "tenant": events["tenant"],
        **{name: events[name] if name in rollup.by else columns.constant("", n) for name in PLACES},
        "series": _joined(events, by),
        "metric": columns.constant(rollup.metric, n),
        "value": _values(events, rollup),
        "sequence": events["sequence"],
        "row": events["row"],
    }
    rows |= {name: events[name] for name in also}
    if rollup.distinct:
        text = events[rollup.distinct].cast(pa.string())
        rows["distinct"] = pc.if_else(pc.equal(text, ""), pa.scalar(None, pa.string()), text)
    return pa.table(rows)


def _taking_part(events: pa.Table, rollup: Rollup) -> pa.Table:
    for name, allowed in rollup.where.items():
        events = events.filter(_is_one_of(events[name], allowed))
    return events


def _values(events: pa.Table, rollup: Rollup) -> pa.ChunkedArray | pa.Array:
    if rollup.value:
        return events[rollup.value]
    good = pa.repeat(pa.scalar(True), events.num_rows)
    for name, allowed in rollup.success.items():
        good = pc.and_(good, _is_one_of(events[name], allowed))
    return good.cast(pa.float64())


def _is_one_of(texts: pa.ChunkedArray, allowed: Sequence[str]) -> pa.ChunkedArray:
    found = pc.is_in(texts.cast(pa.string()), value_set=pa.array(list(allowed), pa.string()))
    return pc.fill_null(found, False)


def _joined(events: pa.Table, by: list[str]) -> pa.Array:
    """Texts joined by ``/``; of several, each is quoted first, so that no value can pose as two."""
    if not by:
        return columns.constant("", events.num_rows)
    texts = [pc.fill_null(events[name].cast(pa.string()), "") for name in by]
    if len(texts) == 1:
        return texts[0].combine_chunks().dictionary_encode()
    quoted = [pc.replace_substring(pc.replace_substring(text, "%", "%25"), "/", "%2F") for text in texts]
    return pc.binary_join_element_wise(*quoted, "/").combine_chunks().dictionary_encode()
