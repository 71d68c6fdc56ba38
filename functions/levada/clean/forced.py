"""Times that were moved on purpose: packs whose header says ``shift_us``, so that old rows play as new ones (A27).

The body keeps the time that the source wrote, and bronze with it; rows carry the moved one, and FORCED_TIME.
"""

from __future__ import annotations

from collections.abc import Mapping

import pyarrow as pa
import pyarrow.compute as pc

from levada.core.errors import BadRecordError
from levada.core.packs import Header
from levada.core.records import Quality

SHIFT = "shift_us"
"""Field of a pack's header: microseconds that are added to the time of each of its rows."""
MAX_SHIFT_US = 200 * 366 * 86_400_000_000
"""Two centuries: the sum stays a time."""


def shift_of(header: Header) -> int:
    """0 where the header says nothing. Raises BadRecordError ``pack_header`` for what is no shift."""
    value = (header.extra or {}).get(SHIFT, 0)
    if type(value) is not int or abs(value) > MAX_SHIFT_US:
        raise BadRecordError("pack_header", f"{SHIFT}={value!r}: must be a whole number up to {MAX_SHIFT_US}")
    return value


def shifts_of(headers: Mapping[int, Header]) -> dict[int, int]:
    """Record of the batch → its shift, of those that have one."""
    return {i: shift for i, header in headers.items() if header.extra and (shift := shift_of(header))}


def moved(time: pa.Array, rec: pa.Array, shifts: Mapping[int, int]) -> pa.Array:
    """n times, those of shifted records moved."""
    if not shifts:
        return time
    by = pa.array(shifts.values(), pa.int64()).take(_place(rec, shifts))
    return pc.add(time.cast(pa.int64()), pc.fill_null(by, 0)).cast(time.type)


def flagged(rows: pa.Table, shifts: Mapping[int, int]) -> pa.Table:
    """Rows with ``rec``, ``time`` and qualities: FORCED_TIME where the time was moved."""
    if not shifts or not rows.num_rows:
        return rows
    forced = pc.and_(pc.is_valid(_place(rows["rec"], shifts)), pc.is_valid(rows["time"]))
    flag = pc.if_else(forced, pa.scalar(int(Quality.FORCED_TIME), pa.uint8()), pa.scalar(0, pa.uint8()))
    for i, name in enumerate(rows.schema.names):
        if name == "quality" or name.startswith("q:"):
            rows = rows.set_column(i, name, pc.bit_wise_or(rows[name], flag))
    return rows


def _place(rec: pa.Array | pa.ChunkedArray, shifts: Mapping[int, int]) -> pa.Array | pa.ChunkedArray:
    return pc.index_in(rec, pa.array(shifts, pa.int32()))
