"""``levada reprocess``: what would change if the days were made anew, and making them so."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pyarrow as pa

from levada.archive.gold import Gold
from levada.core import keys, lake, parquet, rollups
from levada.core.editions import Edition
from levada.core.errors import ConfigError
from levada.core.keys import UNDATED
from levada.core.lake import Shown
from levada.core.periods import DAY_US, PERIODS
from levada.core.rollups import Manifest
from levada.core.vectors import to_numpy
from levadactl.reprocessing import applying, cut
from levadactl.reprocessing.cut import WAIT_S, Cut
from levadactl.reprocessing.differing import Day, Differing, Rows, differing
from levadactl.reprocessing.ports import Days, Ports, ReprocessError
from levadactl.reprocessing.rebuilding import Rebuilt, held, rebuild
from levadactl.reprocessing.spill import Spill

Progress = Callable[[str, float, str], AbstractContextManager[Callable[[float], None]]]
"""What is done, of how much, in which unit; see ``console.progress``."""
EXAMPLES = 5


@dataclass(slots=True, kw_only=True)
class Report:
    """What was found, and done."""

    domain: str
    digest: str
    """Names the changes: the same days with the same new content give the same."""
    days: list[Day] = field(default_factory=list)
    """Those that can be made anew, in order."""
    left: dict[str, str] = field(default_factory=dict)
    """Date → why it cannot be made anew now."""
    records: int = 0
    """Of bronze that were read."""
    refused: Counter[str] = field(default_factory=Counter)
    applied: list[str] = field(default_factory=list)
    """Dates that have a new edition."""
    finished: list[str] = field(default_factory=list)
    """Dates whose edition an earlier run had left half in effect."""
    rolled_up: Mapping[str, Any] = field(default_factory=dict)

    @property
    def differing(self) -> list[Day]:
        return [day for day in self.days if day.differs]

    def to_json(self) -> dict[str, Any]:
        """The answer of ``levada reprocess --json``."""
        total = {
            name: sum(getattr(day, name) for day in self.days)
            for name in ("windows", "same", "changed", "added", "removed")
        }
        sides = {
            side: {
                layer: sum(getattr(day, side).get(layer, Rows()).rows for day in self.days)
                for layer in sorted({layer for day in self.days for layer in getattr(day, side)})
            }
            for side in ("before", "after")
        }
        return {
            "domain": self.domain,
            "digest": self.digest,
            "records": self.records,
            "days": len(self.days),
            "days_that_differ": [day.counts() for day in self.differing],
            "windows": total,
            "rows": sides,
            "statistics": dict(sum((day.columns for day in self.days), Counter())),
            "metrics": dict(sum((day.metrics for day in self.days), Counter())),
            "refused": dict(self.refused),
            "left": self.left,
            "examples": [one for day in self.days for one in day.examples][:EXAMPLES],
            "applied": self.applied,
            "finished": self.finished,
            "rollups": dict(self.rolled_up),
        }


def reprocess(
    ports: Ports,
    days: Days,
    progress: Progress,
    *,
    apply: bool = False,
    expected: str | None = None,
    unchanged: bool = False,
    wait_s: float = WAIT_S,
    folder: Path | None = None,
) -> Report:
    """Compare the days with what bronze makes of them now, and make those anew that differ if asked to.

    Args:
        expected: the digest of the changes to apply; others are refused.
        unchanged: make days anew that do not differ, too.
        wait_s: how long to wait for aggregate to come up with clean, seconds.
        folder: where rows are kept meanwhile; a new one of the system's by default.

    Raises ReprocessError when it cannot be done.
    """
    if why := ports.waiting():
        raise ReprocessError(why)
    try:
        finished = {date: applying.follow(ports, date) for date in applying.unfinished(ports)} if apply else {}
        with TemporaryDirectory(dir=folder, prefix="levada-reprocess-") as temporary:
            at = cut.made(ports, days, wait_s=wait_s)
            with progress("reading bronze", sum(one.blob.size for one in held(ports, days)), "bytes") as advance:
                rebuilt = rebuild(ports, days, at, Spill(Path(temporary)), advance)
            report = _compared(ports, at, rebuilt, progress, unchanged=unchanged)
            report.finished = sorted(finished)
            if apply:
                _as_expected(report, expected)
                chosen = report.days if unchanged else report.differing
                if followed := finished | _apply(ports, at, rebuilt, report, chosen, progress):
                    report.rolled_up = applying.finish(ports, followed)
    except KeyError as err:
        if "/" not in (key := str(err.args[0])):
            raise
        raise ReprocessError(f"{key} was replaced or deleted meanwhile: run it again") from err
    return report


def _as_expected(report: Report, expected: str | None) -> None:
    if expected is not None and expected != report.digest:
        raise ReprocessError(
            f"--expect {expected}: the changes are {report.digest} now; look at them, then apply those"
        )


def _compared(ports: Ports, at: Cut, rebuilt: Rebuilt, progress: Progress, *, unchanged: bool) -> Report:
    spill = rebuilt.spill
    windows = _by_date(rebuilt.windows)
    dates = sorted({*at.listed, *spill.dates("silver"), *spill.dates("events"), *windows})
    report = Report(domain=ports.domain.name, digest="", records=rebuilt.records, refused=rebuilt.refused)
    nothing = rebuilt.windows.slice(0, 0)
    with progress("comparing days", len(dates), "days") as advance, differing() as differ:
        for date in dates:
            if why := at.hinders(date):
                report.left[date] = why
            else:
                report.days.append(_day(ports, at, spill, date, windows.get(date, nothing), differ))
            advance(1)
        report.left |= _not_coverable(ports, at, [day.date for day in report.days if unchanged or day.differs])
        report.days = [day for day in report.days if day.date not in report.left]
        report.digest = differ.digest((day, windows.get(day.date, nothing)) for day in report.days)
    return report


def _day(ports: Ports, at: Cut, spill: Spill, date: str, windows: pa.Table, differ: Differing) -> Day:
    before, after = {}, {}
    for layer in ("silver", "events"):
        shown = lake.shown(ports.blobs, ports.domain.name, date, at.listed.get(date, {}).get(layer, []))
        old = differ.content_of(_rows(ports, shown, layer))
        new = differ.content_of(spill.read(layer, date))
        taken = layer == "silver" and date in at.silver_gone and not old.rows  # as retention has it
        if (old.rows or new.rows) and not taken:
            before[layer], after[layer] = old, new
    day = Day(date=date, before=before, after=after)
    if date != UNDATED:
        gold = [blob.key for blob in at.listed.get(date, {}).get("gold", [])]
        now = applying.windows_of(ports, date, gold)
        differ.compare(day, now, windows)
    return day


def _rows(ports: Ports, shown: Shown, layer: str) -> list[pa.Table]:
    """The rows of a day that count, each once."""
    if layer == "silver":
        return [lake.read_shown(ports.blobs, shown)]
    return lake.events_shown(ports.blobs, shown, parquet.from_bytes)


def _by_date(windows: pa.Table) -> dict[str, pa.Table]:
    days = to_numpy(windows["window_start"]) // DAY_US
    found = {}
    for day in sorted(set(days.tolist())):
        mine = windows.filter(pa.array(days == day))
        found[mine["window_start"][0].as_py().strftime("%Y-%m-%d")] = mine
    return found


def _not_coverable(ports: Ports, at: Cut, dates: Sequence[str]) -> dict[str, str]:
    """Date → why a rollup that it is part of could not be made anew."""
    wanted = [date for date in dates if date != UNDATED]
    gold = Gold(ports.domain.name)
    for _, date, listed in lake.partitions(ports.blobs.list(f"gold/domain={ports.domain.name}/")):
        gold.add(ports.blobs, date, listed)
    for date in wanted:
        now, _ = at.edition(date)
        gold.editions[date] = Edition(now.number + 1, {}, {**now.gold, **at.gold})
    out: dict[str, str] = {}
    for date in wanted:
        for partition in (one for period in PERIODS for one in ports.calendar.touching(period, date)):
            key = keys.rollup(ports.domain.name, partition.period, partition.name)
            try:
                manifest = Manifest.from_json(rollups.about(ports.blobs.get(key)[0]))
            except (KeyError, ConfigError):
                continue
            if gold.stale(manifest) and (gone := gold.gone(manifest)):
                out[date] = (
                    f"rollup {partition.period}/{partition.name} holds gold of {gone} that retention has taken, "
                    f"so that day must be made anew, too: --since {min(gone, date)}"
                )
    return out


def _apply(
    ports: Ports, at: Cut, rebuilt: Rebuilt, report: Report, chosen: Sequence[Day], progress: Progress
) -> dict[str, int]:
    """Date → the edition that it has now."""
    followed = {}
    windows = _by_date(rebuilt.windows)
    with progress("making days anew", len(chosen), "days") as advance:
        for day in chosen:
            listed = at.listed.get(day.date, {}).get("gold", [])
            before = applying.windows_of(ports, day.date, (blob.key for blob in listed))
            new = windows.get(day.date, rebuilt.windows.slice(0, 0))
            applying.commit(ports, at, day.date, rebuilt.spill, new, before)
            followed[day.date] = applying.follow(ports, day.date)
            report.applied.append(day.date)
            advance(1)
    return followed
