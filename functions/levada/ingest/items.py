"""One JSON item against its domain's declaration, without pyarrow: what ``clean`` would refuse is refused here."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from levada.domains.declaration import Domain
from levada.ingest.instants import NotATimeError, instant_of

NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?", re.ASCII)


class RefusedError(ValueError):
    """The item is no row of its domain; the message names the field, its value and what is allowed."""


def judge(item: Mapping[str, Any], domain: Domain) -> int | None:
    """The item's event time, microseconds since 1970-01-01 UTC, or None where it has none.

    Raises RefusedError.
    """
    if not any(name in item for name in domain.metrics):
        known = ", ".join(domain.metrics)
        raise RefusedError(f"has {sorted(item)!r:.120}: none is a metric of {domain.name} ({known})")
    for name in domain.required:
        _check(name, item.get(name), is_number=name in domain.metrics)
    try:
        return instant_of(item, domain)
    except NotATimeError as err:
        shown = " ".join(domain.time.columns)
        allowed = ", ".join(domain.time.formats)
        raise RefusedError(f"{shown}={str(err)!r:.80}: must be a time like {allowed}") from err


def _check(name: str, value: object, *, is_number: bool) -> None:
    if value is None:
        return
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        raise RefusedError(f"{name}={value!r:.80}: must be {'a number' if is_number else 'text or a number'}")
    if is_number and isinstance(value, str) and not _is_number(value):
        raise RefusedError(f"{name}={value!r:.80}: must be a number")


def _is_number(text: str) -> bool:
    """A comma is a decimal comma; nothing is a missing value."""
    text = text.strip().replace(",", ".")
    return not text or NUMBER.fullmatch(text) is not None
