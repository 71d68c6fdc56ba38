"""Instants as text: microseconds since 1970-01-01 UTC, and ISO times."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def instant(us: int) -> str:
    """Microseconds since 1970 as ``2004-03-10T18:00:00Z``."""
    return (EPOCH + timedelta(microseconds=us)).isoformat().replace("+00:00", "Z")


def micros(text: str) -> int:
    """The inverse of ``instant``; raises ValueError for a text that is no time, or one without an offset."""
    at = datetime.fromisoformat(text)
    if at.tzinfo is None:
        raise ValueError(f"time {text!r}: must end in Z or an offset")
    return (at - EPOCH) // timedelta(microseconds=1)
