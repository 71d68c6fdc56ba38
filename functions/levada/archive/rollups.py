"""Rollups are made from gold: hours, days, weeks, months, each gold object merged into each of them exactly once.

Order of effects: new gold objects are read, merged with the rows of every rollup object that they touch, and each of
those is put conditionally together with the names of what it covers (``core/rollups.py``). A crash between two puts
leaves some objects ahead of others, and the next run gives each what it lacks. Of two runs at once one wins per object.

A rollup that holds gold of a day which was made anew since (``core/editions.py``) is made anew, too, from all gold of
its time: in one put, and only where all that it held before is there or replaced.

Days are gone through in order of time, and an object is put when all days that touch it are through: so a long backlog
reads each gold object once and writes each rollup object once, not once per day.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass, field

import pyarrow as pa

from levada.archive.gold import Gold
from levada.archive.hints import Hint
from levada.core import columns, editions, keys, lake, parquet, rollups
from levada.core.errors import ConfigError, ConflictError, LevadaError, UnavailableError
from levada.core.periods import DAY_US, HOUR, HOUR_US, PERIODS, Calendar, Partition, us_of
from levada.core.rollups import ROLLUP, Manifest
from levada.ports import Blob, BlobStore

GOLD = "gold/"
MAX_OBJECTS = 512
"""Gold objects that are read and merged at a time."""
MAX_BYTES = 32_000_000
MAX_ROWS = 500_000
"""Rows that wait for their rollup object to be merged."""
RESERVE_S = 20.0
"""Nothing further is read with less time left; what has been merged is put."""
Remaining = Callable[[], float]
"""Seconds until this invocation is cut off."""


@dataclass(slots=True)
class Made:
    """What one run did."""

    days: int = 0
    """Days of gold that were looked into."""
    gold: int = 0
    """Gold objects that were merged into at least one rollup."""
    objects: int = 0
    """Rollup objects that were put."""
    conflicts: int = 0
    """Rollup objects that another run was at."""
    left: int = 0
    """Days that the time did not suffice for."""
    failures: list[str] = field(default_factory=list)
    """One line for each day or object that could not be done; the others were."""
    put: set[tuple[str, str, str]] = field(default_factory=set)
    """(domain, period, partition) of the objects that were put: what may be computed anew from them."""

    def counts(self) -> dict[str, int]:
        return {name: getattr(self, name) for name in ("days", "gold", "objects", "conflicts", "left")}


@dataclass(slots=True)
class _Open:
    """A rollup object that is being added to."""

    key: str
    partition: Partition
    manifest: Manifest
    etag: str | None
    rows: pa.Table
    fresh: list[pa.Table] = field(default_factory=list)
    """What is to be merged with the rows: once per object, not once per day."""
    waiting: int = 0
    days: set[str] = field(default_factory=set)
    dirty: bool = False
    wanting: set[str] = field(default_factory=set)
    """Days that an object which is made anew needs still: without them it is not put."""

    def settle(self) -> None:
        self.rows = rollups.combine([self.rows, *self.fresh])
        self.fresh, self.waiting = [], 0


def make_due(blobs: BlobStore, calendar: Calendar, remaining_s: Remaining) -> Made:
    """Merge all gold that is not in the rollups yet, of every domain, as long as the time lasts."""
    done = Made()
    golds: dict[str, Gold] = {}
    for domain, day, listed in lake.partitions(blobs.list(GOLD)):
        _take(golds.setdefault(domain, Gold(domain)), blobs, day, listed, done)
    for domain, gold in golds.items():
        hint = Hint.load(blobs, domain, calendar)
        run = Run(blobs, gold, calendar, PERIODS, remaining_s, done)
        run.merge([day for day, listed in gold.days.items() if not hint.knows(day, listed)])
        hint.keep(blobs, {day: listed for day, listed in gold.days.items() if day in run.finished})
    return done


def make(
    blobs: BlobStore,
    calendar: Calendar,
    domain: str,
    remaining_s: Remaining,
    *,
    periods: Collection[str] = PERIODS,
    since: str = "",
) -> Made:
    """Look into every day of gold of one domain now, whatever earlier runs have noted.

    Args:
        since: the first day of UTC, ``2004-03-10``; empty for all.
    """
    done, gold = Made(), Gold(domain)
    for _, day, listed in lake.partitions(blobs.list(f"{GOLD}domain={domain}/")):
        _take(gold, blobs, day, listed, done)
    Run(blobs, gold, calendar, periods, remaining_s, done).merge([day for day in gold.days if day >= since])
    return done


def _take(gold: Gold, blobs: BlobStore, day: str, listed: Sequence[Blob], done: Made) -> None:
    try:
        gold.add(blobs, day, listed)
    except LevadaError as err:
        done.failures.append(f"rollups of {gold.domain}: gold of {day}: {err}")


class Run:
    """One domain's gold, day by day, into its rollups."""

    def __init__(
        self,
        blobs: BlobStore,
        gold: Gold,
        calendar: Calendar,
        periods: Collection[str],
        remaining_s: Remaining,
        done: Made,
    ) -> None:
        self._blobs, self._gold, self._domain, self._calendar = blobs, gold, gold.domain, calendar
        self._periods, self._remaining_s, self._done = periods, remaining_s, done
        self._open: dict[str, _Open] = {}
        self.finished: set[str] = set()
        """Days all of whose gold is known to be in all rollups."""
        self._unsure: set[str] = set()
        self._unread: set[str] = set()
        """Days of which something could not be read."""

    def merge(self, wanted: Collection[str]) -> None:
        """wanted: days of UTC; those that a rollup needs which is made anew are added."""
        days = sorted({*wanted, *self._needed(wanted)})
        for n, day in enumerate(days):
            if self._remaining_s() < RESERVE_S:
                self._done.left += len(days) - n
                break
            self._flush(before_us=us_of(day))
            try:
                self._day(day, self._gold.days[day])
                self._done.days += 1
            except LevadaError as err:
                self._fail(day, f"gold of {day}: {err}")
        self._flush()
        self.finished -= self._unsure

    def _needed(self, wanted: Collection[str]) -> set[str]:
        """Days of the rollups that hold gold of one of these days which was made anew since."""
        days: set[str] = set()
        for day in sorted({*wanted} & self._gold.editions.keys()):
            for one in list(self._opened(day)):
                days |= one.wanting
        return days

    def _day(self, day: str, listed: Sequence[Blob]) -> None:
        into = list(self._opened(day))
        self.finished.add(day)
        positions = {blob.key: editions.emission_of(blob.key) for blob in listed}
        new = [b for b in listed if any(not one.manifest.covers(day, *positions[b.key]) for one in into)]
        for some in _chunks(new):
            if self._remaining_s() < RESERVE_S:
                self._unsure.add(day)
                self._done.left += 1
                return
            tables = self._read(day, [b.key for b in some])
            parts: dict[tuple[str, ...], _Fresh] = {}
            for one in into:
                lacks = tuple(key for key in tables if not one.manifest.covers(day, *positions[key]))
                if lacks:
                    fresh = parts.get(lacks) or _Fresh.of([tables[key] for key in lacks], self._calendar)
                    parts[lacks] = fresh
                    _add(one, fresh, day, self._calendar)
                for key in lacks:
                    one.manifest.add(day, *positions[key])
            self._done.gold += len(tables)
        if day not in self._unread:
            for one in into:
                one.wanting.discard(day)

    def _read(self, day: str, names: Sequence[str]) -> dict[str, pa.Table]:
        """Gold objects as rows of ROLLUP; one that cannot be read does not hold up the others."""
        found = {}
        try:
            for key, body in zip(names, self._blobs.get_all(names), strict=True):
                try:
                    found[key] = rollups.from_partials(parquet.from_bytes(body))
                except (pa.ArrowInvalid, KeyError, OSError) as err:
                    self._unread.add(day)
                    self._fail(day, f"{key} cannot be read: {err}")
        except KeyError as err:
            raise UnavailableError(f"{err}: was deleted while it was read") from err
        return found

    def _opened(self, day: str) -> Iterator[_Open]:
        """The rollup objects that a day's windows belong to; one that is not ours to change does not hold up others."""
        for partition in (one for period in self._periods for one in self._calendar.touching(period, day)):
            key = keys.rollup(self._domain, partition.period, partition.name)
            if key not in self._open:
                try:
                    self._open[key] = _load(self._blobs, key, partition, self._calendar, self._gold)
                except ConfigError as err:
                    self._fail(day, str(err))
                    continue
            self._open[key].days.add(day)
            yield self._open[key]

    def _fail(self, day: str, why: str) -> None:
        self._unsure.add(day)
        if (line := f"rollups of {self._domain}: {why}") not in self._done.failures:
            self._done.failures.append(line)

    def _flush(self, before_us: int | None = None) -> None:
        """Put the objects that have changed, and let go of them; only those that end by then, if a time is given."""
        for key, one in list(self._open.items()):
            if before_us is not None and one.partition.end_us > before_us:
                continue
            del self._open[key]
            if not one.dirty:
                continue
            if one.wanting:  # the time did not suffice, or something cannot be read: it stays as it is
                self._unsure |= one.days
                continue
            one.manifest.revision += 1
            one.settle()
            try:
                self._blobs.put_if(key, rollups.to_bytes(one.rows, one.partition, one.manifest), etag=one.etag)
            except ConflictError:
                self._done.conflicts += 1
                self._unsure |= one.days
                continue
            except LevadaError as err:
                self._done.failures.append(f"{key}: {err}")
                self._unsure |= one.days
                continue
            self._done.objects += 1
            self._done.put.add((self._domain, one.partition.period, one.partition.name))


def _load(blobs: BlobStore, key: str, partition: Partition, calendar: Calendar, gold: Gold) -> _Open:
    try:
        body, etag = blobs.get(key)
    except KeyError:
        return _Open(key, partition, Manifest(calendar.name), None, columns.empty(ROLLUP))
    manifest = Manifest.from_json(rollups.about(body))
    if manifest.zone != calendar.name and partition.period != HOUR:
        raise ConfigError(
            f"{key} was made for time zone {manifest.zone}, LEVADA_TIMEZONE is {calendar.name}: keep the zone, or move "
            f"the rollups of this period away to have them made anew from the gold that is left"
        )
    if not (stale := gold.stale(manifest)):
        return _Open(key, partition, manifest, etag, rollups.from_bytes(body))
    if gone := gold.gone(manifest):
        raise ConfigError(
            f"{key} holds gold of {stale} that was made anew since, and gold of {gone} that is gone: "
            f"reprocess {gone} too"
        )
    fresh = Manifest(calendar.name, revision=manifest.revision)
    return _Open(key, partition, fresh, etag, columns.empty(ROLLUP), dirty=True, wanting=gold.within(partition))


@dataclass(frozen=True, slots=True)
class _Fresh:
    """Gold to merge in, and the same merged into hours, which spares the larger periods most of the work."""

    windows: pa.Table
    hours: pa.Table

    @classmethod
    def of(cls, tables: Sequence[pa.Table], calendar: Calendar) -> _Fresh:
        windows = pa.concat_tables(tables)
        return cls(windows, rollups.regroup(windows, calendar, HOUR) if rollups.fill_hours(windows) else windows)


def _add(one: _Open, fresh: _Fresh, day: str, calendar: Calendar) -> None:
    """Merge gold of one day into a rollup object's rows."""
    one.dirty = True  # also when none of the rows are this partition's: that they have been looked at is news too
    period, part = one.partition.period, one.partition
    edges = [us for at in (us_of(day), us_of(day) + DAY_US - 1) for us in calendar.span(period, at)]
    rows = fresh.windows if any(us % HOUR_US for us in edges) else fresh.hours
    rows = rollups.between(rows, part.start_us, part.end_us)
    if rows.num_rows:
        one.fresh.append(rollups.assigned(rows, calendar, period))
        one.waiting += rows.num_rows
    if one.waiting > MAX_ROWS:
        one.settle()


def _chunks(listed: Sequence[Blob]) -> Iterator[list[Blob]]:
    some: list[Blob] = []
    for blob in listed:
        if some and (len(some) == MAX_OBJECTS or sum(b.size for b in some) + blob.size > MAX_BYTES):
            yield some
            some = []
        some.append(blob)
    if some:
        yield some
