"""Who is late: per series how many rows came after their window had closed, by how much, and when the last one did.

A row is *late* when its window has closed. Its delay is how far its event time lies behind the highest one that its
(shard, domain, tenant) had seen before the batch. Up to the domain's lateness it is *within* (the schedule had closed
the window because nothing came), above it *beyond*. Both open a revision of the window: nothing is dropped.
"""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from levada.core import columns
from levada.core.parts import Parts
from levada.core.records import SERIES, TEXT, TIME
from levada.core.vectors import NO_TIME, to_arrow

LATE = pa.schema(
    [
        *(pa.field(name, TEXT) for name in SERIES),
        pa.field("within", pa.int64()),  # late rows whose delay was at most the lateness
        pa.field("beyond", pa.int64()),  # those behind it
        pa.field("largest_us", pa.int64()),  # largest delay, microseconds; that of a window's first value
        pa.field("last_time", TIME),  # latest event time among the late windows
        pa.field("since_s", pa.int64()),  # when the first late row came, seconds
        pa.field("last_s", pa.int64()),  # when the last one did
    ]
)
"""One row per series that was ever late, of one shard."""
MAX_SERIES = 256
"""Of more, those with the most late rows are kept in a shard's checkpoint; the others still count in its totals."""


def noted(partials: Parts, *, highest_us: int, lateness_s: int, now_s: int) -> pa.Table | None:
    """LATE rows of those partials of one (domain, tenant) that hold late rows, not merged; None when none does.

    Args:
        partials: of one batch.
        highest_us: highest event time before that batch, microseconds.
        lateness_s: the domain's.
    """
    at = np.flatnonzero(partials["late"])
    if not len(at):
        return None
    first, starts, last, late = (partials[name][at] for name in ("first_time", "window_start", "last_time", "late"))
    delay = np.maximum(highest_us - np.where(first == NO_TIME, starts, first), 0)
    beyond = delay > lateness_s * 1_000_000
    now = np.full(len(late), now_s)
    values = {
        "within": np.where(beyond, 0, late),
        "beyond": np.where(beyond, late, 0),
        "largest_us": delay,
        "last_time": np.where(last == NO_TIME, starts, last),
        "since_s": now,
        "last_s": now,
    }
    texts = {name: partials.texts[name].take(at).array() for name in SERIES}
    arrays = [texts[f.name] if f.name in texts else to_arrow(values[f.name], f.type) for f in LATE]
    return pa.table(arrays, schema=LATE)


def merge(tables: list[pa.Table], *, most: int | None = MAX_SERIES) -> pa.Table:
    """One LATE row per series: at most so many (None: all), those with the most late rows first, ties by name."""
    tables = [table for table in tables if table.num_rows]
    if not tables:
        return columns.empty(LATE)
    table = pa.concat_tables(tables)
    plain = pa.table({f.name: table[f.name].cast(pa.string()) if f.type == TEXT else table[f.name] for f in LATE})
    how = {"within": "sum", "beyond": "sum", "largest_us": "max", "last_time": "max", "since_s": "min", "last_s": "max"}
    found = plain.group_by(list(SERIES)).aggregate(list(how.items()))
    found = found.append_column("rows", pc.add(found["within_sum"], found["beyond_sum"]))
    found = found.sort_by([("rows", "descending"), *((name, "ascending") for name in SERIES)]).slice(0, most)
    arrays = [found[f.name if f.name in SERIES else f"{f.name}_{how[f.name]}"].cast(f.type) for f in LATE]
    return pa.table(arrays, schema=LATE).combine_chunks()
