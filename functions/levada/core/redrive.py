"""What travels when a dead letter is sent again: names that lead back to the root, and flags in a pack's header.

A row that was refused comes back as a pack of its own, ``("redrive<attempt>/<source>@<position>", row)``; a whole
record as ``("redrive<attempt>/<source>@<position>", 0)`` with all its rows. Either way the root row is position + row.
Records of a discarded batch keep their identity and carry the flags.
"""

from __future__ import annotations

import re
from typing import NamedTuple

from levada.core.intervals import IntervalSet
from levada.core.packs import Header

FLAG = "redrive"
"""Header field, true: an attempt that was given up may have left rows of the same identity under another name."""
PUBLISHED = "published"
"""Header field, ``[[start, end], …]``: rows that such an attempt had put on the clean stream already."""
PLAIN = "plain"
"""Header field, true: the body is a plain record of another producer that no domain knew when it was wrapped."""

_SOURCE = re.compile(r"redrive([1-9][0-9]{0,8})/(.*)@([0-9]+)", re.DOTALL)


class Root(NamedTuple):
    """Where a row stood when it came first."""

    source: str
    position: int
    row: int
    attempt: int
    """How often it has been redriven since: 0 for never."""


def root_of(source: str, position: int, row: int) -> Root:
    match = _SOURCE.fullmatch(source)
    if match is None:
        return Root(source, position, row, 0)
    return Root(match[2], int(match[3]), position + row, int(match[1]))


def source_of(root: Root) -> str:
    """Source of the pack that carries the root's next attempt."""
    return f"redrive{root.attempt + 1}/{root.source}@{root.position}"


def is_flagged(header: Header) -> bool:
    return bool(header.extra and header.extra.get(FLAG) is True)


def published(header: Header) -> IntervalSet:
    """Rows of the pack that must not be handed on again; a field that is no list of intervals counts for nothing."""
    spans = (header.extra or {}).get(PUBLISHED) if is_flagged(header) else None
    try:
        return IntervalSet([int(start), int(end)] for start, end in spans or ())
    except (TypeError, ValueError):
        return IntervalSet()
