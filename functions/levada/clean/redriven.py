"""Records of a discarded batch that come again: what the attempts before may have left behind. Pure."""

from __future__ import annotations

from collections.abc import Mapping

import pyarrow as pa
import pyarrow.compute as pc

from levada.clean.reading import Reading
from levada.clean.shapes import Part
from levada.core import redrive
from levada.core.packs import Header


def domains(found: Reading) -> set[str]:
    """Domains of which silver may hold rows of this batch already, under names that do not overlap this one's."""
    return {header.domain for header in found.headers.values() if redrive.is_flagged(header)}


def unpublished(part: Part, headers: Mapping[int, Header]) -> Part:
    """The rows to hand on to the next stage: an attempt before may have published some of these."""
    rows = part.rows
    for index, header in headers.items():
        for start, end in redrive.published(header).spans():
            within = pc.and_(pc.greater_equal(rows["row"], start), pc.less(rows["row"], end))
            rows = rows.filter(pc.invert(pc.and_(pc.equal(rows["rec"], pa.scalar(index, pa.int32())), within)))
    return part if rows is part.rows else part.of(rows.combine_chunks())
