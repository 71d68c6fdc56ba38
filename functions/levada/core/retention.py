"""How long what is kept, and why nothing goes too early: the one policy. Pure: no clock, no store.

A term is counted from whichever is later, the event time or the time at which something was written: a backfill of
2004 is kept its full term, too. An item of the serving table carries the end of its term (``expires_at``); in the lake
whole partitions of a day go (``archive/retention.py``).
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

from levada.core.errors import ConfigError

HOUR_S = 3600
DAY_S = 86_400
GRACE_S = 7 * DAY_S
"""Items of one day that are written up to a week after it expire together: late rows do not outlive what they were
late for, for a window must not be read from half of its partials."""


class Kind(NamedTuple):
    """One row of the policy."""

    hours: int
    """Default; 0: for ever."""
    what: str


KINDS: Mapping[str, Kind] = {
    "raw": Kind(72, "validated rows in the lake, silver/"),
    "windows": Kind(90 * 24, "closed windows in the serving table"),
    "gold": Kind(180 * 24, "closed windows in the lake, gold/"),
    "events": Kind(365 * 24, "events in the lake, events/; latest states of entities in the serving table"),
    "findings": Kind(365 * 24, "anomalies and alerts, in the serving table and the lake, anomalies/"),
    "rollups": Kind(730 * 24, "hours, days, weeks, months, and KPI: rollups/, kpi/"),
    "bronze": Kind(730 * 24, "payloads as they came, bronze/: all else can be made from them again"),
    "quarantine": Kind(730 * 24, "what could not be read, quarantine/, whether it was redriven or not"),
}
"""Kind → its default and what it is. 72 h, 90, 180, 365 and 730 days: C13, C16, D21."""
AT_LEAST = (("gold", "raw"), ("rollups", "gold"), ("bronze", "gold"))
"""(kept, at least as long as): what is made from rows does not go before them, nor bronze before what it can repair."""
FOREVER = "forever"
UNITS = {"h": 1, "d": 24}
TERM = re.compile(r"([1-9]\d{0,5})([hd])", re.ASCII)


def parse(text: str) -> dict[str, int]:
    """Kind → hours (0: for ever) of the setting, such as ``raw=7d,bronze=forever``; those that it does not name are
    left out. Raises ConfigError naming the part that is wrong."""
    found: dict[str, int] = {}
    for part in filter(None, (one.strip() for one in text.split(","))):
        kind, _, term = (piece.strip() for piece in part.partition("="))
        if kind not in KINDS or kind in found:
            raise ConfigError(f"LEVADA_KEEP={text!r}: {kind!r} must be one of {', '.join(KINDS)}, each once")
        match = TERM.fullmatch(term)
        if match is None and term != FOREVER:
            raise ConfigError(f"LEVADA_KEEP={text!r}: {kind}={term!r} must be hours (72h), days (90d) or {FOREVER}")
        found[kind] = 0 if match is None else int(match[1]) * UNITS[match[2]]
    return found


def checked(hours: Mapping[str, int]) -> str:
    """What is wrong with the terms that a domain declares; empty for nothing."""
    for kind, value in hours.items():
        if kind not in KINDS:
            return f"{kind!r} must be one of {', '.join(KINDS)}"
        if value < 0:
            return f"{kind}={value}: must be 0 for ever, or a number of hours"
    return ""


@dataclass(frozen=True, slots=True)
class Keep:
    """The policy of a deployment: what the domain says goes before the setting, and that before the default."""

    setting: Mapping[str, int] = field(default_factory=dict)
    """Kind → hours, as ``parse`` gives them."""
    domains: Mapping[str, Mapping[str, int]] = field(default_factory=dict)
    """Domain → kind → hours, as it declares them."""

    known: dict[tuple[str, str], int | None] = field(default_factory=dict, compare=False, repr=False)
    """What was asked before: an emission asks once per item."""

    def seconds(self, kind: str, domain: str) -> int | None:
        """How long; None for ever. Never shorter than what AT_LEAST asks."""
        if (kind, domain) not in self.known:
            self.known[kind, domain] = self._hours(kind, domain) * HOUR_S or None
        return self.known[kind, domain]

    def _hours(self, kind: str, domain: str) -> int:
        own = (
            {name: spec.hours for name, spec in KINDS.items()} | dict(self.setting) | dict(self.domains.get(domain, {}))
        )
        for longer, shorter in AT_LEAST:  # in an order in which each has what the next one needs
            own[longer] = 0 if 0 in (own[longer], own[shorter]) else max(own[longer], own[shorter])
        return own[kind]


@dataclass(frozen=True, slots=True)
class Expiry:
    """When the items of one emission expire. The same emission gives the same times, whoever repeats it, and when."""

    keep: Keep
    emitted_s: int
    """When it was committed, seconds since 1970: part of the committed state."""

    def at(self, kind: str, domain: str, event_us: int) -> int | None:
        """Seconds since 1970 from which an item of this kind and event time is gone; None for never."""
        keep_s = self.keep.seconds(kind, domain)
        return None if keep_s is None else begin_s(event_us, self.emitted_s) + keep_s


def begin_s(event_us: int, emitted_s: int) -> int:
    """When a term begins, seconds since 1970, a midnight of UTC: GRACE_S after the day of the event, or when it was
    written, if that is later."""
    day_end_s = (event_us // 1_000_000 // DAY_S + 1) * DAY_S
    return max(day_end_s + GRACE_S, -(-emitted_s // DAY_S) * DAY_S)
