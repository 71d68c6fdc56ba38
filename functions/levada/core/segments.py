"""Closed partials as items of the serving table: those of one series and day that left together share an item."""

from __future__ import annotations

import json
import zlib
from collections.abc import Iterable, Iterator, Mapping
from datetime import UTC, datetime
from itertools import pairwise
from typing import Any
from urllib.parse import quote

import pyarrow as pa
import pyarrow.compute as pc

from levada.core.partials import PARTIAL
from levada.core.records import SERIES, TIME

DAY_US = 86_400_000_000
VALUES = tuple(name for name in PARTIAL.names if name not in SERIES)


def window_pk(series: Mapping[str, str]) -> str:
    """Partition key of a series' windows; parts are quoted, so that no name can pose as another."""
    return "windows#" + "#".join(quote(series[name], safe="") for name in SERIES)


def series_pk(tenant: str, domain: str) -> str:
    """Partition key of the list of a domain's series."""
    return f"series#{quote(tenant, safe='')}#{quote(domain, safe='')}"


def sort_time(us: int) -> str:
    """Microseconds since 1970 as text in order of time: ``2004-03-10T18:00:00.000000Z``."""
    return datetime.fromtimestamp(us // 1_000_000, UTC).strftime("%Y-%m-%dT%H:%M:%S.") + f"{us % 1_000_000:06d}Z"


def items(partials: pa.Table, token: str, generation: int) -> Iterator[dict[str, Any]]:
    """Segments of one emission. The same emission gives the same items, so that it may be repeated.

    Args:
        partials: n closed partials (PARTIAL), any order.
        token, generation: who emitted them, and its how manieth emission it was.
    """
    day = pc.floor_temporal(partials["window_start"], unit="day")
    keyed = partials.append_column("day", day)
    order = [*((name, "ascending") for name in SERIES), ("window_start", "ascending")]
    plain = keyed.set_column(0, "domain", keyed["domain"].cast(pa.string()))
    for i, name in enumerate(SERIES):
        plain = plain.set_column(i, name, keyed[name].cast(pa.string()))
    plain = plain.sort_by(order)
    for start, end in _runs(plain, [*SERIES, "day"]):
        yield _item(plain.slice(start, end - start), token, generation)


def _runs(table: pa.Table, names: list[str]) -> Iterator[tuple[int, int]]:
    n = table.num_rows
    if not n:
        return
    changed = pa.repeat(pa.scalar(False), n - 1)
    for name in names:
        column = table[name].combine_chunks()
        changed = pc.or_(changed, pc.not_equal(column.slice(1), column.slice(0, n - 1)))
    cuts = [0, *(i + 1 for i in pc.indices_nonzero(changed).to_pylist()), n]
    yield from pairwise(cuts)


def _item(rows: pa.Table, token: str, generation: int) -> dict[str, Any]:
    series = {name: rows[name][0].as_py() for name in SERIES}
    times = rows["window_start"].cast(pa.int64())
    columns = {
        name: (rows[name].cast(pa.int64()) if pa.types.is_timestamp(rows[name].type) else rows[name]).to_pylist()
        for name in VALUES
    }
    first_us, last_us = times[0].as_py(), times[-1].as_py()
    return {
        "pk": window_pk(series),
        "sk": f"{sort_time(first_us)}#{token}#{generation:012d}",
        "start": first_us,
        "end": last_us + rows["width_s"][-1].as_py() * 1_000_000,
        "n": rows.num_rows,
        "shard": token,
        "generation": generation,
        "data": zlib.compress(json.dumps(columns, separators=(",", ":")).encode(), 6),
    }


def series_items(partials: pa.Table) -> list[dict[str, Any]]:
    """One item per series: what ``/v1/series`` lists."""
    found = []
    for row in partials.select(SERIES).group_by(list(SERIES)).aggregate([]).to_pylist():
        sk = "#".join(quote(row[name], safe="") for name in SERIES[2:])
        found.append({"pk": series_pk(row["tenant"], row["domain"]), "sk": sk or " ", **row})
    return sorted(found, key=lambda item: (item["pk"], item["sk"]))


def to_partials(found: Iterable[Mapping[str, Any]], series: Mapping[str, str]) -> pa.Table:
    """The partials in a series' segments, as they were emitted (unmerged)."""
    tables = []
    for item in found:
        columns = json.loads(zlib.decompress(item["data"]))
        n = len(columns["window_start"])
        arrays = [
            pa.array([series[f.name]] * n, pa.string()).dictionary_encode()
            if f.name in SERIES
            else pa.array(columns[f.name], pa.int64()).cast(TIME)
            if f.type == TIME
            else pa.array(columns[f.name], f.type)
            for f in PARTIAL
        ]
        tables.append(pa.table(arrays, schema=PARTIAL))
    return pa.concat_tables(tables) if tables else pa.Table.from_batches([], schema=PARTIAL)
