"""Which rows of a lane a record of the clean stream holds, and those of them that have not been applied."""

from __future__ import annotations

from collections.abc import Iterable

import pyarrow as pa
import pyarrow.compute as pc

from levada.core.packs import Header
from levada.core.positions import START, Position, position

Stretch = tuple[Position, Position]
"""(after, until]: all rows of a lane behind after, up to until."""


def stretch(header: Header) -> Stretch:
    """What the header says that the record holds: ``last``, and ``after`` or, without it, ``first``.

    Raises:
        KeyError, TypeError, ValueError: it does not say so.
    """
    extra = header.extra or {}
    until = position(*extra["last"])
    if "after" in extra:
        after = position(*extra["after"])
    else:
        sequence, row = position(*extra["first"]) if "first" in extra else START
        after = (sequence, row - 1) if sequence else START
    if after >= until:
        raise ValueError(f"after={after}, last={until}: must be before it")
    return after, until


def without(rows: pa.Table, stretches: Iterable[Stretch]) -> pa.Table:
    """The rows in none of these; rows have ``sequence`` (padded) and ``row``."""
    for after, until in stretches:
        sequence, row = rows["sequence"].cast(pa.string()), rows["row"]
        rows = rows.filter(pc.or_(pc.invert(_behind(sequence, row, after)), _behind(sequence, row, until)))
    return rows


def _behind(sequence: pa.ChunkedArray, row: pa.ChunkedArray, at: Position) -> pa.ChunkedArray:
    same = pc.and_(pc.equal(sequence, at[0]), pc.greater(row, at[1]))
    return pc.or_(pc.greater(sequence, at[0]), same)
