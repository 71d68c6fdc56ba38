"""Closed partials as items of the serving table: those of one series and day that left together share an item (two or
more, where it would be too large)."""

from __future__ import annotations

import json
import zlib
from base64 import b64decode, b64encode
from collections.abc import Iterable, Iterator, Mapping
from datetime import UTC, datetime
from itertools import accumulate, pairwise
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from levada.core.item_keys import PARTITION_BYTES, bounded, quoted
from levada.core.partials import PARTIAL, conform
from levada.core.records import SERIES, TIME
from levada.core.retention import Expiry

DAY_US = 86_400_000_000
MAX_DATA_BYTES = 300_000
"""An item of the serving table holds 400 KB at most: segments with more are cut in half."""
WINDOWS = "windows"
"""How long they are kept: a kind of ``core/retention.py``."""
VALUES = tuple(name for name in PARTIAL.names if name not in SERIES)


def window_pk(series: Mapping[str, str]) -> str:
    """Partition key of a series' windows; parts are quoted, so that no name can pose as another."""
    return bounded("windows#" + "#".join(quoted(series[name]) for name in SERIES), PARTITION_BYTES)


def series_pk(tenant: str, domain: str) -> str:
    """Partition key of the list of a domain's series."""
    return bounded(f"series#{quoted(tenant)}#{quoted(domain)}", PARTITION_BYTES)


def series_sk(series: Mapping[str, str]) -> str:
    """Sort key of a series in the list of its domain's."""
    return bounded("#".join(quoted(series[name]) for name in SERIES[2:]))


def sort_time(us: int) -> str:
    """Microseconds since 1970 as text in order of time: ``2004-03-10T18:00:00.000000Z``."""
    return datetime.fromtimestamp(us // 1_000_000, UTC).strftime("%Y-%m-%dT%H:%M:%S.") + f"{us % 1_000_000:06d}Z"


def items(partials: pa.Table, token: str, generation: int, expiry: Expiry | None = None) -> Iterator[dict[str, Any]]:
    """Segments of one emission. The same emission gives the same items, so that it may be repeated.

    Args:
        partials: n closed partials (PARTIAL), any order.
        token, generation: who emitted them, and its how manieth emission it was.
        expiry: when they expire; None for never.
    """
    day = pc.floor_temporal(partials["window_start"], unit="day")
    keyed = partials.append_column("day", day)
    order = [*((name, "ascending") for name in SERIES), ("window_start", "ascending")]
    plain = keyed.set_column(0, "domain", keyed["domain"].cast(pa.string()))
    for i, name in enumerate(SERIES):
        plain = plain.set_column(i, name, keyed[name].cast(pa.string()))
    plain = plain.sort_by(order)
    for start, end in _runs(plain, [*SERIES, "day"]):
        for item in _item(plain.slice(start, end - start), token, generation):
            if expiry is not None:
                item["expires_at"] = expiry.at(WINDOWS, plain["domain"][start].as_py(), item["start"])
            yield item


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


def _item(rows: pa.Table, token: str, generation: int) -> Iterator[dict[str, Any]]:
    data = _packed(rows)
    if len(data) > MAX_DATA_BYTES and rows.num_rows > 1:
        half = rows.num_rows // 2
        yield from _item(rows.slice(0, half), token, generation)
        yield from _item(rows.slice(half), token, generation)
        return
    series = {name: rows[name][0].as_py() for name in SERIES}
    times = rows["window_start"].cast(pa.int64())
    first_us, last_us = times[0].as_py(), times[-1].as_py()
    yield {
        "pk": window_pk(series),
        "sk": f"{sort_time(first_us)}#{token}#{generation:012d}",
        "start": first_us,
        "end": last_us + rows["width_s"][-1].as_py() * 1_000_000,
        "n": rows.num_rows,
        "shard": token,
        "generation": generation,
        "data": data,
    }


def _packed(rows: pa.Table) -> bytes:
    """Columns as JSON, deflated. Bin keys as the steps between them, for those are small and often the same."""
    columns: dict[str, list[Any]] = {}
    for name in VALUES:
        column = rows[name]
        if pa.types.is_timestamp(column.type):
            column = column.cast(pa.int64())
        columns[name] = column.to_pylist()
    columns["bin_keys"] = [[key - before for before, key in pairwise([0, *keys])] for keys in columns["bin_keys"]]
    columns["distinct_sketch"] = [None if b is None else b64encode(b).decode() for b in columns["distinct_sketch"]]
    return zlib.compress(json.dumps(columns, separators=(",", ":")).encode(), 6)


def _unpacked(data: bytes, series: Mapping[str, str]) -> pa.Table:
    columns = json.loads(zlib.decompress(data))
    n = len(columns["window_start"])
    if "bin_keys" in columns:  # not in segments of before there were bins
        columns["bin_keys"] = [list(accumulate(steps)) for steps in columns["bin_keys"]]
        columns["distinct_sketch"] = [None if b is None else b64decode(b) for b in columns["distinct_sketch"]]
    columns |= {name: [series[name]] * n for name in SERIES}
    arrays = {}
    for f in PARTIAL:
        if f.name not in columns:
            continue
        storage = pa.string() if pa.types.is_dictionary(f.type) else pa.int64() if f.type == TIME else f.type
        arrays[f.name] = pa.array(columns[f.name], storage).cast(f.type)
    return conform(pa.table(arrays))


SERIES_LONGER_US = 7 * DAY_US
"""How much longer than its last window a series is listed: more than a process takes to list it again."""


def series_items(partials: pa.Table, expiry: Expiry | None = None) -> list[dict[str, Any]]:
    """One item per series: what ``/v1/series`` lists. It outlives the windows that this emission has of it."""
    named = partials.group_by(list(SERIES)).aggregate([("window_start", "max")])
    lasts = named["window_start_max"].cast(pa.int64()).to_pylist()
    found = []
    for row, last_us in zip(named.select(SERIES).to_pylist(), lasts, strict=True):
        item = {"pk": series_pk(row["tenant"], row["domain"]), "sk": series_sk(row), **row}
        if expiry is not None:
            listed_us = max(last_us, expiry.emitted_s * 1_000_000) + SERIES_LONGER_US
            item["expires_at"] = expiry.at(WINDOWS, row["domain"], listed_us)
        found.append(item)
    return sorted(found, key=lambda item: (item["pk"], item["sk"]))


def to_partials(found: Iterable[Mapping[str, Any]], series: Mapping[str, str]) -> pa.Table:
    """The partials in a series' segments, as they were emitted (unmerged)."""
    tables = [_unpacked(item["data"], series) for item in found]
    return pa.concat_tables(tables) if tables else pa.Table.from_batches([], schema=PARTIAL)
