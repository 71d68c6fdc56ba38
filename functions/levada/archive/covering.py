"""What was made of a day's rows: is it all there, before the rows may go?

Asked of the objects themselves, not of notes about them: each series' rows in silver are counted, and so are the rows
that its windows in gold stand for; and every rollup names the gold that it holds.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any

import pyarrow as pa

from levada.core import editions, keys, lake, parquet, rollups
from levada.core.errors import ConfigError, UnavailableError
from levada.core.periods import HOUR, PERIODS, Calendar, Partition
from levada.core.records import SERIES
from levada.core.rollups import Manifest
from levada.ports import Blob, BlobStore

COUNTED = [*SERIES, "count", "missing"]
Rows = Counter[tuple[Any, ...]]
"""Series → its rows, with and without a value."""


class Covering:
    """One run's questions; what a rollup says of itself is read once."""

    def __init__(self, blobs: BlobStore, calendar: Calendar) -> None:
        self._blobs, self._calendar = blobs, calendar
        self._manifests: dict[str, Manifest | None] = {}

    def windows_lack(self, domain: str, day: str, gold: Sequence[Blob]) -> str:
        """Why a day of silver must stay: its windows do not hold all rows of some series. Empty when they do.

        Args:
            gold: the objects that count.

        Raises KeyError when an object was replaced meanwhile, UnavailableError when one of gold cannot be read.
        """
        held: Rows = Counter()
        names = [blob.key for blob in gold]
        for key, body in zip(names, self._blobs.get_all(names), strict=True):
            held.update(_held(key, body))
        there = lake.read_partition(self._blobs, domain, day, list(SERIES))
        rows = _plain(there).group_by(list(SERIES)).aggregate([([], "count_all")])
        lacking = _counted(rows, ["count_all"]) - held
        if not lacking:
            return ""
        worst, n = lacking.most_common(1)[0]
        return f"closed windows lack {lacking.total()} of {there.num_rows} rows, {n} of series {'/'.join(worst[2:])}"

    def rollups_lack(self, domain: str, day: str, gold: Sequence[Blob]) -> str:
        """Why a day of gold must stay: a rollup does not hold it. Empty when all do.

        Raises KeyError when an object was replaced meanwhile.
        """
        edition = editions.of_listed(self._blobs, domain, day, (blob.key for blob in gold))
        positions = [editions.emission_of(blob.key) for blob in gold]
        for partition in (one for period in PERIODS for one in self._calendar.touching(period, day)):
            manifest = self._manifest(domain, partition)
            name = f"rollup {partition.period}/{partition.name}"
            if manifest is None:
                return f"{name} is not there"
            if manifest.zone != self._calendar.name and partition.period != HOUR:
                return f"{name} was made for time zone {manifest.zone}, not {self._calendar.name}"
            if manifest.is_stale(day, edition):
                return f"{name} holds gold of {day} that was made anew"
            if lacks := sum(not manifest.covers(day, *position) for position in positions):
                return f"{name} lacks {lacks} of {len(positions)} objects of gold"
        return ""

    def _manifest(self, domain: str, partition: Partition) -> Manifest | None:
        key = keys.rollup(domain, partition.period, partition.name)
        if key not in self._manifests:
            try:
                self._manifests[key] = Manifest.from_json(rollups.about(self._blobs.get(key)[0]))
            except (KeyError, ConfigError):
                self._manifests[key] = None
        return self._manifests[key]


def _held(key: str, body: bytes) -> Rows:
    """Rows that the windows of a gold object stand for."""
    try:
        windows = parquet.from_bytes(body, COUNTED)
    except (pa.ArrowInvalid, KeyError, OSError) as err:
        raise UnavailableError(f"{key} cannot be read: {err}") from err
    found = _plain(windows).group_by(list(SERIES)).aggregate([("count", "sum"), ("missing", "sum")])
    return _counted(found, ["count_sum", "missing_sum"])


def _plain(rows: pa.Table) -> pa.Table:
    """Texts as texts: dictionaries of several chunks cannot be grouped by."""
    return pa.table({n: rows[n].cast(pa.string()) if n in SERIES else rows[n] for n in rows.column_names})


def _counted(groups: pa.Table, names: Sequence[str]) -> Rows:
    numbers = zip(*(groups[name].to_pylist() for name in names), strict=True)
    series = zip(*(groups[name].to_pylist() for name in SERIES), strict=True)
    return Counter({one: sum(counts) for one, counts in zip(series, numbers, strict=True)})
