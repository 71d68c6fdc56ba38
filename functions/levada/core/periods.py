"""Periods of rollups: hours, days, ISO weeks and calendar months of a time zone, as instants.

Days, weeks and months begin at local midnight, so a day has 23 or 25 hours when clocks change. Hours are those of UTC
in every zone. A period is half-open, ``[start, end)``.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta, tzinfo
from functools import cached_property
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import numpy as np
from numpy.typing import NDArray

from levada.core.errors import ConfigError
from levada.core.instants import EPOCH

HOUR = "1h"
DAY = "1d"
WEEK = "1w"
MONTH = "1mo"
PERIODS = (HOUR, DAY, WEEK, MONTH)
HOUR_US = 3_600_000_000
DAY_US = 86_400_000_000
PARTITIONED_BY = {HOUR: DAY, DAY: MONTH, WEEK: WEEK, MONTH: MONTH}
"""Period → the period whose rows share an object; the days that hours are kept by are those of UTC."""
Ints = NDArray[np.int64]


def zone_named(name: str) -> tzinfo:
    """Raises ConfigError when there is no such time zone. UTC needs no database."""
    if name == "UTC":
        return UTC
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError) as err:
        raise ConfigError(f"time zone {name!r}: must be a name of the IANA database, such as Europe/Berlin") from err


@dataclass(frozen=True, slots=True)
class Partition:
    """The periods that one object holds: those that start in ``[start_us, end_us)``."""

    period: str
    name: str
    """``2004-03-10`` for hours, ``2004-03`` for days and months, ``2004-W11`` for weeks."""
    start_us: int
    end_us: int

    @property
    def dates(self) -> list[str]:
        """Days of UTC that it touches, as ``2004-03-10``."""
        return [day_of(us) for us in range(self.start_us // DAY_US * DAY_US, self.end_us, DAY_US)]


@dataclass(frozen=True)
class Calendar:
    """The periods of one time zone. Instants are microseconds since 1970-01-01 UTC."""

    zone: tzinfo

    @cached_property
    def name(self) -> str:
        return str(self.zone)

    def starts(self, period: str, times_us: Ints) -> tuple[Ints, Ints]:
        """(n starts, n ends) of the periods that n instants lie in."""
        if period == HOUR:
            starts = times_us - times_us % HOUR_US
            return starts, starts + HOUR_US
        if not len(times_us):
            return times_us, times_us
        edges = self._edges(period, int(times_us.min()), int(times_us.max()))
        at = np.searchsorted(edges, times_us, side="right")
        return edges[at - 1], edges[at]

    def span(self, period: str, us: int) -> tuple[int, int]:
        """(start, end) of the period that an instant lies in."""
        starts, ends = self.starts(period, np.array([us], np.int64))
        return int(starts[0]), int(ends[0])

    def partition(self, period: str, us: int) -> Partition:
        """The partition in which the period of an instant is kept."""
        if period == HOUR:
            start = us - us % DAY_US
            return Partition(period, day_of(start), start, start + DAY_US)
        unit = PARTITIONED_BY[period]
        start, end = self.span(unit, us)
        first = self._local(start)
        year, week, _ = first.isocalendar()
        name = f"{year:04d}-W{week:02d}" if unit == WEEK else f"{first.year:04d}-{first.month:02d}"
        return Partition(period, name, start, end)

    def partition_named(self, period: str, name: str) -> Partition:
        """The inverse of ``Partition.name``; raises ValueError for a name that is none of this period."""
        if period == HOUR:
            return self.partition(period, us_of(name))
        if PARTITIONED_BY[period] == WEEK:
            first = date.fromisoformat(f"{name}-1")
        else:
            first = date.fromisoformat(f"{name}-01")
        found = self.partition(period, self._midnight(first))
        if found.name != name:
            raise ValueError(f"{name!r}: must be a partition of period {period}, such as {found.name}")
        return found

    def touching(self, period: str, day: str) -> list[Partition]:
        """The partitions that windows of one day of UTC may belong to: one or two."""
        start = us_of(day)
        found = [self.partition(period, start), self.partition(period, start + DAY_US - 1)]
        return found[:1] if found[0] == found[1] else found

    def _edges(self, period: str, first_us: int, last_us: int) -> Ints:
        """Starts of periods, from the one that holds first_us to the one behind last_us."""
        at = _floor(period, self._local(first_us))
        edges = [self._midnight(at)]
        while edges[-1] <= last_us:
            at = _following(period, at)
            edges.append(self._midnight(at))
        return np.array(edges, np.int64)

    def _local(self, us: int) -> date:
        return (EPOCH + timedelta(microseconds=us)).astimezone(self.zone).date()

    def _midnight(self, day: date) -> int:
        """When a day begins: at 00:00, or at the first instant after it where a change of clocks leaves that out."""
        local = datetime(day.year, day.month, day.day, tzinfo=self.zone)
        return (local.astimezone(UTC) - EPOCH) // timedelta(microseconds=1)


def _floor(period: str, day: date) -> date:
    if period == WEEK:
        return day - timedelta(days=day.weekday())
    return day.replace(day=1) if period == MONTH else day


def _following(period: str, day: date) -> date:
    if period == MONTH:
        return (day.replace(day=1) + timedelta(days=32)).replace(day=1)
    return day + timedelta(days=7 if period == WEEK else 1)


def day_of(us: int) -> str:
    """Day of UTC, ``2004-03-10``."""
    return (EPOCH + timedelta(microseconds=us)).date().isoformat()


def us_of(day: str) -> int:
    """The instant at which a day of UTC begins; raises ValueError for a text that is no day."""
    at = date.fromisoformat(day)
    return (at - EPOCH.date()).days * DAY_US
