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
from levada.core.periods import PERIODS

DUE = "due"
LOOK = "look"
FIELDS = ("idle_after_s", "compact", "rollups", "retention")
SCHEDULE = "aws.events"
OURS = "levada."


@dataclass(frozen=True, slots=True)
class Rollups:
    """Rollups of one domain, made now."""

    domain: str
    periods: tuple[str, ...] = PERIODS
    since: str = ""
    """The first day of gold to look into, ``2004-03-10``; empty for all."""


@dataclass(frozen=True, slots=True)
class Order:
    """One run: idle windows always, the rest when it is asked for."""

    idle_after_s: int
    due: bool = False
    """Compact every silver partition that has collected enough objects."""
    partition: tuple[str, str] | None = None
    """(domain, date) of the one silver partition to compact."""
    rollups_due: bool = False
    """Merge all gold that is not in the rollups yet, then make the KPI that this changes."""
    rollups: Rollups | None = None
    retention: str = ""
    """``due``: delete what the policy says may go; ``look``: only tell what that would be; empty: neither."""

    @property
    def compacts(self) -> bool:
        return self.due or self.partition is not None

    @property
    def rolls_up(self) -> bool:
        return self.rollups_due or self.rollups is not None


def parse(event: Mapping[str, Any], *, idle_after_s: int, domains: Collection[str]) -> Order:
    """The order in a schedule's event, or in ``{"source": "levada.…", "detail": {…}}``.

    Args:
        idle_after_s: what holds when the event does not say, seconds.
        domains: names that ``compact`` and ``rollups`` may name.

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
    compact, rolled = detail.get("compact"), detail.get("rollups")
    return Order(
        after_s,
        due=compact == DUE,
        partition=None if compact in (None, DUE) else _partition(compact, domains),
        rollups_due=rolled == DUE,
        rollups=None if rolled in (None, DUE) else _rollups(rolled, domains),
        retention=_retention(detail["retention"]) if "retention" in detail else "",
    )


def _retention(value: object) -> str:
    if value not in (DUE, LOOK):
        raise _wrong("detail.retention", value, f'"{DUE}" or "{LOOK}"')
    return str(value)


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


def _rollups(value: object, domains: Collection[str]) -> Rollups:
    if not isinstance(value, dict) or not {"domain"} <= set(value) <= {"domain", "periods", "since"}:
        raise _wrong("detail.rollups", value, f'"{DUE}", or an object with domain, and periods and since if wanted')
    domain, periods, since = value["domain"], value.get("periods", list(PERIODS)), value.get("since", "")
    if not isinstance(domain, str) or domain not in domains:
        raise _wrong("detail.rollups.domain", domain, ", ".join(sorted(domains)))
    if not isinstance(periods, list) or not periods or any(p not in PERIODS for p in periods):
        raise _wrong("detail.rollups.periods", periods, f"a list of {', '.join(PERIODS)}")
    if not isinstance(since, str) or not (since == "" or _is_day(since)):
        raise _wrong("detail.rollups.since", since, "a day as YYYY-MM-DD")
    return Rollups(domain, tuple(p for p in PERIODS if p in periods), since)


def _is_day(text: str) -> bool:
    try:
        return bool(re.fullmatch(r"\d{4}-\d{2}-\d{2}", text, re.ASCII) and date.fromisoformat(text))
    except ValueError:
        return False


def _wrong(name: str, value: object, allowed: str) -> ConfigError:
    return ConfigError(f"event {name}={value!r}: must be {allowed}")
