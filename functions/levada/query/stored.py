"""Rows that lie in the lake as one Parquet object per partition of time: rollups and KPI, read a page at a time.

A listing says which partitions there are and, by their ETags, which of them this process has parsed before.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from levada.core.periods import DAY_US, PERIODS, Calendar
from levada.core.vectors import ranks, to_numpy
from levada.domains.declaration import Domain
from levada.ports import Blob, BlobStore
from levada.query import parameters
from levada.query.errors import ParameterError
from levada.query.windows import KEY, Page, Place, Selection, cut

MEMO_BYTES = 64_000_000
"""What a process keeps of parsed objects."""
PARAMETERS = ("domain", "tenant", *KEY, "period", "since", "until", "limit", "format")
Parse = Callable[[bytes], pa.Table]


@dataclass(frozen=True, slots=True)
class Asked:
    period: str
    selection: Selection
    """Rows whose period starts in its range."""
    limit: int


def asked(
    query: Mapping[str, str],
    domains: Mapping[str, Domain],
    tenant: str,
    now_us: int,
    *,
    periods: tuple[str, ...] = PERIODS,
) -> Asked:
    """What a request asks for; arguments as for ``parameters.windows``. Raises ParameterError."""
    period = query.get("period", "1d")
    if period not in periods:
        raise ParameterError("period", period, f"one of {', '.join(periods)}")
    selection, limit = parameters.windows({k: v for k, v in query.items() if k != "period"}, domains, tenant, now_us)
    return Asked(period, selection, limit)


def page(blobs: BlobStore, memo: dict[str, Any], prefix: str, wanted: Asked, parse: Parse, nothing: pa.Table) -> Page:
    """The first ``limit`` rows of the selection by start, site, unit, series, metric, width.

    Args:
        prefix: of the objects of the period.
        parse: an object's bytes as a table with SERIES, ``window_start`` and ``width_s``.
        nothing: such a table without rows.
    """
    found, n = [nothing], 0
    for blob in overlapping(blobs.list(prefix), wanted):
        try:
            rows = _selected(_parsed(blobs, memo, blob, parse), wanted.selection)
        except KeyError:  # gone since it was listed: retention
            continue
        found.append(rows)
        n += rows.num_rows
        if n > wanted.limit:  # partitions are in order of time: no later one has an earlier row
            break
    rows = pa.concat_tables(found).unify_dictionaries().combine_chunks()
    names = [ranks(rows[name]) for name in reversed(KEY)]
    order = np.lexsort([to_numpy(rows["width_s"]), *names, to_numpy(rows["window_start"])])
    return cut(rows.take(pa.array(order)), wanted.limit)


def overlapping(listed: Iterator[Blob], wanted: Asked) -> Iterator[Blob]:
    """The objects that may hold what is wanted, in order of time."""
    utc, at = Calendar(UTC), wanted.selection
    for blob in listed:
        try:
            partition = utc.partition_named(wanted.period, blob.key.rpartition("/")[2].removesuffix(".parquet"))
        except ValueError:  # not one of ours
            continue
        # a zone's midnight is less than a day from that of UTC
        if at.until_us is not None and partition.start_us - DAY_US >= at.until_us:
            return
        if at.since_us is None or partition.end_us + DAY_US > at.since_us:
            yield blob


def _parsed(blobs: BlobStore, memo: dict[str, Any], blob: Blob, parse: Parse) -> pa.Table:
    known: dict[tuple[str, str], pa.Table] = memo.setdefault("stored", {})
    place = (blob.key, blob.etag)
    if place in known:
        known[place] = known.pop(place)  # the last that was used goes last
        return known[place]
    body, etag = blobs.get(blob.key)
    known[blob.key, etag] = table = parse(body)
    while len(known) > 1 and sum(one.nbytes for one in known.values()) > MEMO_BYTES:
        known.pop(next(iter(known)))
    return table


def _selected(rows: pa.Table, at: Selection) -> pa.Table:
    starts = rows["window_start"].cast(pa.int64())
    keep = pc.equal(rows["tenant"].cast(pa.string()), at.tenant)
    for name in KEY:
        if (value := getattr(at, name)) is not None:
            keep = pc.and_(keep, pc.equal(rows[name].cast(pa.string()), value))
    if at.until_us is not None:
        keep = pc.and_(keep, pc.less(starts, at.until_us))
    if at.since_us is not None:
        keep = pc.and_(keep, pc.greater_equal(starts, at.since_us))
        if at.after is not None:
            keep = pc.and_(keep, _from(rows, starts, at.since_us, at.after))
    return rows.filter(keep)


def _from(rows: pa.Table, starts: pa.ChunkedArray, since_us: int, place: Place) -> pa.ChunkedArray:
    """Without the rows of the first start that an earlier page had."""
    behind, level = pc.greater(starts, since_us), pc.equal(starts, since_us)
    for name, value in zip(KEY, place[:4], strict=True):
        texts = rows[name].cast(pa.string())
        behind = pc.or_(behind, pc.and_(level, pc.greater(texts, value)))
        level = pc.and_(level, pc.equal(texts, value))
    return pc.or_(behind, pc.and_(level, pc.greater_equal(rows["width_s"], place[4])))
