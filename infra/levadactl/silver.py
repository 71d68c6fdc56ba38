"""Does silver hold every measurement exactly once, judged as the oracle judges it, under its own date?"""

from __future__ import annotations

# ruff: noqa: S608 - names are ours, and the database is in memory
from collections.abc import Collection, Iterator
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from levada.core.keys import UNDATED, Span
from levada.core.lake import Shown, partitions, shown
from levada.core.records import Quality
from levada.domains.declaration import Domain
from levadactl.compare import plain
from levadactl.loading import Lake
from levadactl.oracle import Truth
from levadactl.retained import without

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection


@dataclass(slots=True, kw_only=True)
class Silver:
    """What stands in silver of one domain, against what should."""

    expected: int
    """Measurements."""
    rows: int
    distinct: int
    """Rows by identity (source, position, row, metric)."""
    values: int
    missing: int
    out_of_range: int
    undated: int
    dates: int
    """Date partitions, ``__undated__`` not counted."""
    duplicates: int
    """Rows that stand more than once, as crashed attempts leave them; readers take distinct rows."""
    misplaced: int
    """Rows under another date than their own."""
    mismatches: int = 0
    """Measurements that are not there, or too much there, or judged otherwise than by the oracle."""


def silver_of(lake: Lake, domain: Domain, truth: Truth, gone: Collection[str] = ()) -> Silver:
    """Count silver's rows by identity and by quality; every measurement must stand there exactly once.

    Args:
        gone: date partitions that retention has taken, which are not compared.
    """
    import duckdb

    if gone:  # of undated rows nobody could tell which of them are gone
        gone = {*gone, UNDATED}
        truth = _less(truth, gone)

    names = ["time", "metric", "value", "quality", "sequence", "source", "position", "row"]
    dates: set[str] = set()
    with duckdb.connect() as db:
        tables = []
        for _, date, listed in partitions(lake.blobs.list(f"silver/domain={domain.name}/")):
            if date in gone:
                continue
            dates.add(date)
            for rows in _counting(lake, shown(lake.blobs, domain.name, date, listed), names):
                rows = plain(rows, *names)
                tables.append(rows.append_column("date", pa.repeat(pa.scalar(date), rows.num_rows)))
        if not tables:
            return _no_silver(truth)
        db.register("silver", pa.concat_tables(tables))
        found = _silver_counts(db)
    silver = Silver(expected=truth.measurements, dates=len(dates - {UNDATED}), **found)
    pairs = [(silver.distinct, truth.measurements), (silver.values, truth.values)]
    if gone:
        pairs += [(silver.missing + silver.out_of_range, truth.missing)]
    else:
        pairs += [(silver.missing, truth.missing), (silver.out_of_range, truth.out_of_range)]
    silver.mismatches = silver.misplaced + sum(abs(found - wanted) for found, wanted in pairs)
    return silver


def _counting(lake: Lake, day: Shown, names: list[str]) -> Iterator[pa.Table]:
    """Rows of each object of a day, but for those that its edition replaces."""
    bodies = lake.blobs.get_all([*day.made_anew, *(one.key for one in day.live)])
    for one, body in zip([*([None] * len(day.made_anew)), *day.live], bodies, strict=True):
        rows = pq.read_table(pa.BufferReader(body), columns=names)
        yield rows if one is None else day.counting(one, rows)


def _less(truth: Truth, gone: Collection[str]) -> Truth:
    """The truth of dated rows without these dates. Windows do not tell missing from out of range: both are missing."""
    left = without(truth.windows, gone)
    values, missing = (int(pc.sum(left[name]).as_py() or 0) for name in ("count", "missing"))
    return replace(truth, measurements=values + missing, values=values, missing=missing, out_of_range=0)


def _no_silver(truth: Truth) -> Silver:
    zero = dict.fromkeys(
        ("rows", "distinct", "values", "missing", "out_of_range", "undated", "dates", "duplicates", "misplaced"), 0
    )
    return Silver(expected=truth.measurements, mismatches=truth.measurements, **zero)


def _silver_counts(db: DuckDBPyConnection) -> dict[str, int]:
    outside = int(Quality.OUT_OF_RANGE)
    db.execute(
        """
        CREATE TABLE one AS
        SELECT DISTINCT ON (source, coalesce(position::VARCHAR, sequence), row, metric) * FROM silver
        """
    )
    row = db.execute(
        f"""
        SELECT (SELECT count(*) FROM silver), count(*), count(value),
            count(*) FILTER (value IS NULL AND quality & {outside} = 0), count(*) FILTER (quality & {outside} != 0),
            count(*) FILTER (time IS NULL),
            count(*) FILTER (date != coalesce(make_timestamp(time)::DATE::VARCHAR, '{UNDATED}'))
        FROM one
        """
    ).fetchone()
    names = ("rows", "distinct", "values", "missing", "out_of_range", "undated", "misplaced")
    found = dict(zip(names, row or (), strict=True))
    return found | {"duplicates": found["rows"] - found["distinct"]}


def orphans(lake: Lake, domain: Domain) -> int:
    """Silver objects that hold records behind their shard's checkpoint: an attempt that ended before its commit."""
    marks = {str(token): int(header["mark"]) for token, header in lake.headers("clean").items()}
    n = 0
    for blob in lake.blobs.list(f"silver/domain={domain.name}/"):
        name = blob.key.rpartition("/")[2].removesuffix(".parquet")
        try:
            span = Span.parse(name)
        except ValueError:
            continue  # a compacted object holds committed rows only
        n += int(span.last) > marks.get(str(span.token), -1)
    return n
