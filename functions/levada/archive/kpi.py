"""KPI of days, weeks and months: made from rollups and specification limits, anew whenever either has changed.

A KPI object is a function of the rollups and limits that it names by their ETags, so making it again changes nothing,
and a run that finds the same ETags makes nothing. Where the hours of a period are gone it is left as it is.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from levada.core import columns, keys, kpi, limits, parquet, rollups
from levada.core.errors import ConfigError, ConflictError, LevadaError
from levada.core.kpi import KPI, PERIODS, Part
from levada.core.limits import SPECIFICATION, Limits
from levada.core.periods import HOUR, Calendar, Partition
from levada.core.records import SERIES
from levada.core.vectors import to_numpy
from levada.ports import BlobStore

RESERVE_S = 10.0
"""Nothing further is begun with less time left."""
READ = (*SERIES, "window_start", "width_s", "count", "mean", "m2", "within_m2", "within_df")
Remaining = Callable[[], float]
Key = tuple[str, ...]
"""A series: the values of SERIES."""


@dataclass(slots=True)
class Done:
    """What one run did."""

    objects: int = 0
    """KPI objects that were put."""
    rows: int = 0
    """Rows in them."""
    kept: int = 0
    """Objects that stay as they are, because hours that it would take are gone."""
    left: int = 0
    """Objects that the time did not suffice for."""
    failures: list[str] = field(default_factory=list)
    """One line for each object that could not be made; the others were."""

    def counts(self) -> dict[str, int]:
        return {"objects": self.objects, "rows": self.rows, "kept": self.kept, "left": self.left}


def make(blobs: BlobStore, calendar: Calendar, domain: str, remaining_s: Remaining, done: Done) -> None:
    """Make the KPI of one domain whose rollups or limits have changed. Nothing without specification limits."""
    etags = {blob.key: blob.etag for blob in blobs.list(keys.limits_prefix(domain))}
    if not etags:
        return
    book = {keys.limits_tenant(key): limits.load(blobs, domain, keys.limits_tenant(key)) for key in etags}
    specified = {tenant: register.of(SPECIFICATION) for tenant, register in book.items()}
    hours = _named(blobs, domain, HOUR)
    for period in PERIODS:
        for name, etag in _named(blobs, domain, period).items():
            if remaining_s() < RESERVE_S:
                done.left += 1
                continue
            try:
                partition = calendar.partition_named(period, name)
                parts = {day: hours[day] for day in partition.dates if day in hours}
                digest = _digest(etag, parts, etags)
                _make(blobs, domain, partition, list(parts), specified, digest, done)
            except ConflictError:  # another run is at it
                continue
            except LookupError:
                done.kept += 1
            except (LevadaError, ValueError) as err:
                done.failures.append(f"kpi {domain}/{period}/{name}: {err}")


def _named(blobs: BlobStore, domain: str, period: str) -> dict[str, str]:
    """Partition → ETag of the rollup objects of a period."""
    found = blobs.list(keys.rollup_prefix(domain, period))
    return {blob.key.rpartition("/")[2].removesuffix(".parquet"): blob.etag for blob in found}


def _digest(etag: str, parts: Mapping[str, str], of_limits: Mapping[str, str]) -> str:
    named = json.dumps([etag, sorted(parts.items()), sorted(of_limits.items())])
    return hashlib.sha256(named.encode()).hexdigest()


def _make(
    blobs: BlobStore,
    domain: str,
    partition: Partition,
    hours: list[str],
    specified: Mapping[str, Limits],
    digest: str,
    done: Done,
) -> None:
    key = keys.kpi(domain, partition.period, partition.name)
    etag, made_from = _there(blobs, key)
    if made_from == digest:
        return
    watched = _watched(blobs.get(keys.rollup(domain, partition.period, partition.name))[0], specified)
    bodies = blobs.get_all(keys.rollup(domain, HOUR, day) for day in hours) if watched.num_rows else iter(())
    by_hour = _by_series(_watched(body, specified) for body in bodies)
    rows = [row for one in _plain(watched) for row in _rows(one, by_hour, specified[one["tenant"]])]
    if not rows and etag is None:
        return
    blobs.put_if(key, parquet.to_bytes(_table(rows), about={"made_from": digest}), etag=etag)
    done.objects += 1
    done.rows += len(rows)


def _there(blobs: BlobStore, key: str) -> tuple[str | None, str | None]:
    """(ETag, what it was made from) of a KPI object."""
    try:
        body, etag = blobs.get(key)
    except KeyError:
        return None, None
    try:
        return etag, parquet.about(body)["made_from"]
    except (ValueError, KeyError) as err:
        raise ConfigError(f"{key}: {err}") from err


def _watched(body: bytes, specified: Mapping[str, Limits]) -> pa.Table:
    """The rows (READ) of series that may have limits, by tenant and metric."""
    rows = rollups.from_bytes(body, READ)
    tenants, metrics = rows["tenant"].cast(pa.string()), rows["metric"].cast(pa.string())
    wanted = pa.chunked_array([pa.repeat(pa.scalar(False), rows.num_rows)])
    for tenant, found in specified.items():
        mine = pc.is_in(metrics, value_set=pa.array(sorted(found.metrics), pa.string()))
        wanted = pc.or_(wanted, pc.and_(pc.equal(tenants, tenant), mine))
    return rows.filter(wanted)


def _plain(rows: pa.Table) -> list[dict[str, Any]]:
    """Times as microseconds."""
    found: list[dict[str, Any]] = rows.drop_columns(["window_start"]).to_pylist()
    for row, start in zip(found, to_numpy(rows["window_start"]).tolist(), strict=True):
        row["start"] = start
    return found


def _by_series(tables: Iterator[pa.Table]) -> dict[Key, list[tuple[int, Part]]]:
    """Series → its (start, hour), in order of time."""
    found: dict[Key, list[tuple[int, Part]]] = {}
    for table in tables:
        for row in _plain(table):
            found.setdefault(_key(row), []).append((row["start"], _part(row)))
    return {key: sorted(parts, key=lambda one: one[0]) for key, parts in found.items()}


def _rows(
    one: dict[str, Any], by_hour: Mapping[Key, list[tuple[int, Part]]], found: Limits
) -> Iterator[dict[str, Any]]:
    """KPI of one series and period: one for each limit that holds in it.

    Raises LookupError when hours of the period are gone, and it takes hours.
    """
    start, end = one["start"], one["start"] + one["width_s"] * 1_000_000
    whole = _part(one)
    hours = [(at, part) for at, part in by_hour.get(_key(one), []) if start <= at < end]
    complete = sum(part.count for _, part in hours) == whole.count
    for begin, finish, bounds in found.pieces(one, one["metric"], start, end):
        uncut = (begin, finish) == (start, end)
        inside = [part for at, part in hours if begin <= at < finish]
        if not complete and not (uncut and whole.within_df):
            raise LookupError(f"{'/'.join(_key(one))}: hours of the period are not there")
        part = whole if uncut else kpi.merged(inside)
        if part.count:
            series = {name: one[name] for name in SERIES}
            yield {**series, "window_start": begin, "window_end": finish, **kpi.row(part, inside, bounds)}


def _key(row: Mapping[str, Any]) -> Key:
    return tuple(str(row[name]) for name in SERIES)


def _part(row: Mapping[str, Any]) -> Part:
    """Null, where there is no value or values were too large to add, becomes NaN."""
    mean, m2, within = (math.nan if row[n] is None else row[n] for n in ("mean", "m2", "within_m2"))
    return Part(row["count"], mean, m2, within, row["within_df"])


def _table(rows: list[dict[str, Any]]) -> pa.Table:
    if not rows:
        return columns.empty(KPI)
    return pa.table([pa.array([row[f.name] for row in rows], _storage(f.type)).cast(f.type) for f in KPI], schema=KPI)


def _storage(kind: pa.DataType) -> pa.DataType:
    if pa.types.is_dictionary(kind):
        return pa.string()
    return pa.int64() if pa.types.is_timestamp(kind) else kind
