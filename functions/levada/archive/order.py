"""What an invocation of archive is asked to do, read from its event."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import date
from typing import Any

from levada.config import RANGES
from levada.core.errors import ConfigError
from levada.core.keys import UNDATED

DUE = "due"
FIELDS = ("idle_after_s", "compact")
SCHEDULE = "aws.events"
OURS = "levada."


@dataclass(frozen=True, slots=True)
class Order:
    """One run: idle windows always, compaction when it is asked for."""

    idle_after_s: int
    due: bool = False
    """Compact every silver partition that has collected enough objects."""
    partition: tuple[str, str] | None = None
    """(domain, date) of the one silver partition to compact."""

    @property
    def compacts(self) -> bool:
        return self.due or self.partition is not None


def parse(event: Mapping[str, Any], *, idle_after_s: int, domains: Collection[str]) -> Order:
    """The order in a schedule's event, or in ``{"source": "levada.…", "detail": {…}}``.

    Args:
        idle_after_s: what holds when the event does not say, seconds.
        domains: names that ``compact`` may name.

    Raises:
        ConfigError: naming the field, its value and what is allowed.
    """
    source = event.get("source")
    if not isinstance(source, str) or not (source == SCHEDULE or source.startswith(OURS)):
        raise _wrong("source", source, f"{SCHEDULE}, or a name that begins with {OURS}")
    detail = event.get("detail") or {}
    if not isinstance(detail, dict):
        raise _wrong("detail", detail, f"an object with {' and '.join(FIELDS)}, or nothing")
    if unknown := sorted(set(detail) - set(FIELDS)):
        raise _wrong(f"detail.{unknown[0]}", detail[unknown[0]], f"only {' and '.join(FIELDS)} are known")
    after_s = _idle(detail["idle_after_s"]) if "idle_after_s" in detail else idle_after_s
    compact = detail.get("compact")
    if compact is None or compact == DUE:
        return Order(after_s, due=compact == DUE)
    return Order(after_s, partition=_partition(compact, domains))


def _idle(value: object) -> int:
    low, high = RANGES["idle_after_s"]
    if not isinstance(value, int) or isinstance(value, bool) or not low <= value <= high:
        raise _wrong("detail.idle_after_s", value, f"a whole number of seconds from {low} to {high}")
    return value


def _partition(value: object, domains: Collection[str]) -> tuple[str, str]:
    if not isinstance(value, dict) or set(value) != {"domain", "date"}:
        raise _wrong("detail.compact", value, f'"{DUE}", or an object with domain and date')
    domain, day = value["domain"], value["date"]
    if not isinstance(domain, str) or domain not in domains:
        raise _wrong("detail.compact.domain", domain, ", ".join(sorted(domains)))
    if not isinstance(day, str) or not (day == UNDATED or _is_day(day)):
        raise _wrong("detail.compact.date", day, f"a day as YYYY-MM-DD, or {UNDATED}")
    return domain, day


def _is_day(text: str) -> bool:
    try:
        return bool(re.fullmatch(r"\d{4}-\d{2}-\d{2}", text, re.ASCII) and date.fromisoformat(text))
    except ValueError:
        return False


def _wrong(name: str, value: object, allowed: str) -> ConfigError:
    return ConfigError(f"event {name}={value!r}: must be {allowed}")
