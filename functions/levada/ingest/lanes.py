"""Which lane carries a reading: a bucket of its series key, the same for files and HTTP. No pyarrow here."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec

from levada.core.packs import lane_of
from levada.domains.declaration import Domain

SEPARATOR = "\x1f"
UNREADABLE = lane_of("")
"""The lane of lines of which nobody can say what series they belong to."""


def series_key(domain: str, tenant: str, *parts: str) -> str:
    """parts: those of ``domain.lane_parts``, trimmed, empty where there is none."""
    return SEPARATOR.join((domain, tenant, *parts))


def lane_of_item(item: Mapping[str, Any], domain: Domain, tenant: str) -> int:
    """The lane of one JSON object, 0 to 31."""
    parts = (text_of(item.get(column)) if column else constant for column, constant in domain.lane_parts)
    return lane_of(series_key(domain.name, tenant, *parts))


def text_of(value: object) -> str:
    """A key field as text: what stands there, trimmed; nothing for null."""
    if value is None:
        return ""
    return value.strip() if isinstance(value, str) else msgspec.json.encode(value).decode()


def lane_columns(domain: Domain) -> tuple[str, ...]:
    """The source columns that decide on the lane: rows that are equal there go to the same one."""
    return tuple(dict.fromkeys(column for column, _ in domain.lane_parts if column))
