"""History judged anew: what would be an anomaly by the declaration and the control limits that are here, beside what
was told as the windows closed. Nothing is written.

Gold is gone through from its first day on, whatever range is asked for: limits are estimated from a series' first
windows, and each rule looks back. A window is judged by its value as it is now, with late rows, and as a day's edition
has it. Silent series are left out: they are no windows.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from levada.aggregate.watching import NO_MEMORY, control_lines
from levada.core import anomalies, editions, findings
from levada.core.anomalies import SILENT
from levada.core.instants import instant
from levada.core.lake import partitions
from levada.core.partials import PARTIAL, conform, merge
from levada.core.periods import DAY_US, us_of
from levada.core.segments import sort_time
from levada.domains.declaration import Domain
from levada.ports import Blob, Items
from levadactl.errors import LevadactlError
from levadactl.loading import Lake

TOLD, ANEW, CHANGED, SAME = "only_told", "only_anew", "changed", "same"
KINDS = (SAME, CHANGED, ANEW, TOLD)
SAYS = ("severity", "value")
"""What two findings of the same window by the same rule must agree in to be the same: limits follow the thresholds."""
JUDGED_BY = (*SAYS, "lower", "center", "upper")
Rows = Mapping[tuple[str, str], dict[str, Any]]
"""Findings by tenant and identity: time, series and rule."""
ANYBODY = "anew"
"""In the place of who found it."""


@dataclass(frozen=True, slots=True)
class Range:
    """Which findings are compared: those of windows that start in ``[since_us, until_us)``, None for no bound."""

    since_us: int | None = None
    until_us: int | None = None
    equal: Mapping[str, str] = field(default_factory=dict)
    """Column → the value it must have."""

    def takes(self, row: Mapping[str, Any]) -> bool:
        at = row["time"]
        return (
            (self.since_us is None or at >= self.since_us)
            and (self.until_us is None or at < self.until_us)
            and all(row.get(name) == value for name, value in self.equal.items())
        )

    def ends_before(self, day_us: int) -> bool:
        return self.until_us is not None and self.until_us <= day_us


@dataclass(slots=True)
class Verdict:
    """What would be told now, beside what was."""

    windows: int = 0
    """Windows that were gone through."""
    days: dict[str, dict[str, int]] = field(default_factory=dict)
    """Day of UTC with findings → how many of each of KINDS."""
    differing: list[dict[str, Any]] = field(default_factory=list)
    """The first findings that differ: ``is``, one of KINDS, and the finding; of a changed one also what was told."""
    problems: list[str] = field(default_factory=list)
    """Limits that could not be read: windows were judged without them."""

    def counts(self) -> dict[str, int]:
        return {kind: sum(day[kind] for day in self.days.values()) for kind in KINDS}

    def add(self, date: str, told: Rows, anew: Rows, most: int) -> None:
        """Compare the findings of one day."""
        if not told and not anew:
            return
        counts = self.days[date] = dict.fromkeys(KINDS, 0)
        for key in sorted({*told, *anew}):
            one, other = told.get(key), anew.get(key)
            kind = ANEW if one is None else TOLD if other is None else SAME if _alike(one, other) else CHANGED
            counts[kind] += 1
            if kind is not SAME and len(self.differing) < most:
                before = {"told": {n: one.get(n) for n in JUDGED_BY}} if one and other else {}
                self.differing.append({"is": kind, **(other or one or {}), **before})


Gold = Sequence[tuple[str, Sequence[Blob]]]
"""(day of UTC, its objects) in order of time."""


def gold_of(lake: Lake, domain: Domain, wanted: Range) -> Gold:
    """What there is to go through, from the first day on."""
    listed = lake.blobs.list(f"gold/domain={domain.name}/")
    return [(day, some) for _, day, some in partitions(listed) if not wanted.ends_before(us_of(day))]


def judge(
    lake: Lake,
    domain: Domain,
    wanted: Range,
    gold: Gold,
    *,
    now_s: float,
    most: int = 50,
    on_day: Callable[[], None] = lambda: None,
) -> Verdict:
    """Judge the windows of these days.

    Args:
        domain: as it is declared here, whatever is deployed.
        most: findings that differ to keep.
        on_day: told when one is done.

    Raises LevadactlError when gold goes away meanwhile.
    """
    verdict, memory, tenants = Verdict(), NO_MEMORY, set[str]()
    known: dict[str, Any] = {}  # limits, read once
    for day, listed in gold:
        windows = _windows(lake, domain, day, listed)
        tenants.update(windows["tenant"].cast(pa.string()).unique().to_pylist())
        lines, wrong = control_lines(lake.blobs, known, windows, {domain.name: domain}, now_s)
        found, memory = anomalies.detect(windows, memory, {domain.name: domain}, lines)
        told = [item for tenant in sorted(tenants) for item in _told(lake.serving, domain, tenant, day)]
        anew = findings.anomaly_items(found, ANYBODY)
        verdict.add(day, _rows(told, wanted), _rows(anew, wanted), most)
        verdict.windows += windows.num_rows
        verdict.problems = sorted({*verdict.problems, *wrong})
        on_day()
    return verdict


def _windows(lake: Lake, domain: Domain, day: str, listed: Sequence[Blob]) -> pa.Table:
    """What counts of a day's gold, one row per window (PARTIAL)."""
    names = [blob.key for blob in editions.gold_shown(lake.blobs, domain.name, day, listed)]
    try:
        bodies = list(lake.blobs.get_all(names))
    except KeyError as err:
        raise LevadactlError(f"gold of {day} went away while it was read: run it again") from err
    tables = [pq.read_table(pa.BufferReader(body)) for body in bodies]
    return merge([conform(table.select([n for n in PARTIAL.names if n in table.schema.names])) for table in tables])


def _told(serving: Items, domain: Domain, tenant: str, day: str) -> Iterator[Mapping[str, Any]]:
    """What was told of a day's windows."""
    pk = findings.pk(findings.ANOMALIES, tenant, domain.name)
    for item in findings.distinct(serving.query(pk, first=sort_time(us_of(day)), last=sort_time(us_of(day) + DAY_US))):
        if item["rule"] != SILENT:
            yield item


def _rows(items: Iterable[Mapping[str, Any]], wanted: Range) -> Rows:
    """Findings by tenant and identity, times as texts."""
    found = {}
    for item in items:
        row = findings.row(item)
        if wanted.takes(row):
            plain = {name: row.get(name) for name in anomalies.ANOMALY.names} | {"time": instant(row["time"])}
            found[row["tenant"], findings.identity(item)] = plain
    return found


def _alike(one: Mapping[str, Any], other: Mapping[str, Any]) -> bool:
    return all(one.get(name) == other.get(name) for name in SAYS)
