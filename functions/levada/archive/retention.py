"""Retention of the lake: whole days go when their term is over and all that was made of them is there.

In the order silver, gold, events, anomalies, rollups, KPI, bronze, quarantine, so that what is made of something never
goes before it: silver waits until gold holds all of its rows and every rollup that gold, gold until its silver is gone,
a rollup until the gold of its days is, bronze until nothing of its domain waits. What waits is told, not deleted.

Order of effects per partition: it is noted in the ledger, then deleted. A crash between leaves objects that are noted;
the next run finds them due again. Only objects that were listed are deleted, so rows that come meanwhile stay.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from levada.archive.covering import Covering
from levada.core import editions, keys, lake
from levada.core.errors import ConflictError, LevadaError
from levada.core.instants import instant
from levada.core.keys import UNDATED
from levada.core.periods import Calendar, us_of
from levada.core.retention import DAY_S, HOUR_S, Keep
from levada.ports import Blob, BlobStore

SILVER, GOLD, BRONZE, QUARANTINE = "silver", "gold", "bronze", "quarantine"
DAILY = ((SILVER, "raw"), (GOLD, "gold"), ("events", "events"), ("anomalies", "findings"))
"""Layers by day of event, and the kind of the policy that they are, in the order in which they go."""
PERIODIC = (("rollups", "rollups"), ("kpi", "rollups"))
RESERVE_S = 20.0
"""No further partition is looked at with less time left."""
VERSION = 1
MAX_TOLD = 20
Remaining = Callable[[], float]


@dataclass(frozen=True, slots=True)
class Lapsed:
    """Objects whose term is over."""

    layer: str
    kind: str
    domain: str
    name: str
    """Day, ``<period>/<partition>``, or ``stage=<stage>``."""
    blobs: Sequence[Blob]

    @property
    def size(self) -> int:
        return sum(blob.size for blob in self.blobs)


@dataclass(slots=True)
class Done:
    """What one run deleted, or would."""

    gone: list[Lapsed] = field(default_factory=list)
    waiting: list[str] = field(default_factory=list)
    """Partitions whose term is over and that stay, with why."""
    conflicts: int = 0
    """Partitions that another run was at."""
    left: bool = False
    """Whether the time did not suffice for all."""
    failures: list[str] = field(default_factory=list)

    def counts(self) -> dict[str, Any]:
        layers: dict[tuple[str, str], list[Lapsed]] = {}
        for one in self.gone:
            layers.setdefault((one.layer, one.domain), []).append(one)
        rows = [{"layer": layer, "domain": domain, **_summary(some)} for (layer, domain), some in layers.items()]
        totals = {"objects": sum(len(one.blobs) for one in self.gone), "bytes": sum(one.size for one in self.gone)}
        waiting = {"waiting": len(self.waiting), "waiting_for": self.waiting[:MAX_TOLD]}
        return {**totals, "rows": rows, **waiting, "conflicts": self.conflicts, "left": self.left}


def _summary(some: Sequence[Lapsed]) -> dict[str, Any]:
    names = sorted({one.name for one in some})
    objects = sum(len(one.blobs) for one in some)
    size = sum(one.size for one in some)
    return {"partitions": len(names), "first": names[0], "last": names[-1], "objects": objects, "bytes": size}


class _OutOfTimeError(Exception):
    """What is not known to be gone counts as there: nothing behind it in the order may be looked at."""


class Run:
    """One run over all layers, in order: deletes what is due at now_s (seconds since 1970), as long as the time lasts;
    only finds it out when dry."""

    def __init__(
        self,
        blobs: BlobStore,
        calendar: Calendar,
        keep: Keep,
        now_s: float,
        remaining_s: Remaining,
        *,
        dry: bool,
    ) -> None:
        self._blobs, self._calendar, self._keep, self._now_s = blobs, calendar, keep, now_s
        self._remaining_s, self._dry = remaining_s, dry
        self._covering = Covering(blobs, calendar)
        self.done = Done()
        self._standing: set[tuple[str, str, str]] = set()
        """(layer, domain, day) of what is still there."""
        self._stuck: set[str] = set()
        """Domains of which something waits that bronze could repair."""

    def all(self) -> Done:
        try:
            self._all()
        except _OutOfTimeError:
            self.done.left = True
        return self.done

    def _all(self) -> None:
        for layer, kind in DAILY:
            for domain, day, listed in lake.partitions(self._blobs.list(f"{layer}/")):
                self._day(layer, kind, domain, day, listed)
        for layer, kind in PERIODIC:
            for blob in self._blobs.list(f"{layer}/"):
                self._period(layer, kind, blob)
        for domain, day, listed in lake.partitions(self._blobs.list(f"{BRONZE}/")):
            self._day(BRONZE, BRONZE, domain, day, listed)
        for domain, stage, listed in _quarantined(self._blobs.list(f"{QUARANTINE}/")):
            self._old(Lapsed(QUARANTINE, QUARANTINE, domain, f"stage={stage}", listed))

    def _day(self, layer: str, kind: str, domain: str, day: str, listed: Sequence[Blob]) -> None:
        """A day goes as a whole, or stays as a whole."""
        whole = Lapsed(layer, kind, domain, day, listed)
        if day == UNDATED:
            self._old(whole)
            return
        end_s = us_of(day) // 1_000_000 + DAY_S
        newest_s = max(blob.modified_s for blob in listed)
        if not self._is_over(kind, domain, max(end_s, newest_s)) or not self._take(whole):
            self._standing.add((layer, domain, day))

    def _period(self, layer: str, kind: str, blob: Blob) -> None:
        try:
            _, domain, period, name = blob.key.removesuffix(".parquet").split("/")
            domain, period = domain.removeprefix("domain="), period.removeprefix("period=")
            partition = self._calendar.partition_named(period, name)
        except (ValueError, KeyError):  # not one of ours
            return
        if not self._is_over(kind, domain, max(partition.end_us // 1_000_000, blob.modified_s)):
            return
        gold = [day for day in partition.dates if (GOLD, domain, day) in self._standing]
        lapsed = Lapsed(layer, kind, domain, f"{period}/{name}", [blob])
        self._take(lapsed, f"gold of {gold[0]} is there" if gold else "")

    def _old(self, found: Lapsed) -> None:
        """Of objects that belong to no day, those that are old enough."""
        due = [blob for blob in found.blobs if self._is_over(found.kind, found.domain, blob.modified_s)]
        if due:
            self._take(Lapsed(found.layer, found.kind, found.domain, found.name, due))

    def _is_over(self, kind: str, domain: str, since_s: float) -> bool:
        keep_s = self._keep.seconds(kind, domain)
        return keep_s is not None and since_s + keep_s <= self._now_s

    def _take(self, found: Lapsed, wait_for: str = "") -> bool:
        """Delete, unless something of it is still needed. Whether it is gone."""
        if self._remaining_s() < RESERVE_S:
            raise _OutOfTimeError
        try:
            if why := wait_for or self._needed(found):
                self.done.waiting.append(f"{found.layer} {found.domain}/{found.name}: {why}")
                self._stuck.add(found.domain)
                return False
            if not self._dry:
                self._note(found)
                self._blobs.delete(blob.key for blob in found.blobs)
        except (ConflictError, KeyError):  # another run, or compaction, is at it
            self.done.conflicts += 1
            self._stuck.add(found.domain)
            return False
        except LevadaError as err:
            self.done.failures.append(f"retention of {found.layer} {found.domain}/{found.name}: {err}")
            self._stuck.add(found.domain)
            return False
        self.done.gone.append(found)
        return True

    def _needed(self, found: Lapsed) -> str:
        """Why it must stay; empty when nobody needs it any more."""
        layer, domain, day = found.layer, found.domain, found.name
        if layer == BRONZE:
            return "something of the domain waits, which it could repair" if domain in self._stuck else ""
        if layer == GOLD and (SILVER, domain, day) in self._standing:
            return "its silver is there"
        if day == UNDATED or layer not in (SILVER, GOLD, "events"):
            return ""
        listed = found.blobs if layer == GOLD else list(self._blobs.list(keys.day_prefix(GOLD, domain, day)))
        gold = editions.gold_shown(self._blobs, domain, day, listed)
        if layer == SILVER and (lacking := self._covering.windows_lack(domain, day, gold)):
            return lacking
        return self._covering.rollups_lack(domain, day, gold) if gold else ""

    def _note(self, found: Lapsed) -> None:
        """In the ledger: what goes, by which policy, when. Raises ConflictError when another run is at it."""
        key = keys.retention_ledger(found.layer, found.domain)
        ledger, etag = load_ledger(self._blobs, key)
        keep_h = (self._keep.seconds(found.kind, found.domain) or 0) // HOUR_S
        entry = {"at": instant(int(self._now_s * 1_000_000)), "objects": len(found.blobs), "bytes": found.size}
        ledger.setdefault(found.name, []).append(entry | {"policy": f"{found.kind}={keep_h}h"})
        body = json.dumps({"v": VERSION, "gone": ledger}, separators=(",", ":"), sort_keys=True).encode()
        self._blobs.put_if(key, body, etag=etag)


def load_ledger(blobs: BlobStore, key: str) -> tuple[dict[str, list[dict[str, Any]]], str | None]:
    """(partition → what was deleted of it and when, ETag) of ``keys.retention_ledger``; empty when there is none."""
    try:
        body, etag = blobs.get(key)
    except KeyError:
        return {}, None
    return json.loads(body)["gone"], etag


def _quarantined(blobs: Iterable[Blob]) -> Iterator[tuple[str, str, list[Blob]]]:
    """(domain, stage, objects) of a listing in ascending order of key."""
    groups: dict[tuple[str, str], list[Blob]] = {}
    for blob in blobs:
        parts = blob.key.split("/")
        if len(parts) == 4 and parts[1].startswith("stage=") and parts[2].startswith("domain="):
            groups.setdefault((parts[2].removeprefix("domain="), parts[1].removeprefix("stage=")), []).append(blob)
    for (domain, stage), listed in groups.items():
        yield domain, stage, listed
