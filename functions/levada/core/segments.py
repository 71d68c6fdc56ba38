"""Closed partials as items of the serving table: those of one series and day that left together share an item (two or
more, where it would be too large).

A segment that keeps within an hour stands under a partition key of its own: a live series has a segment for nearly
every window, and whoever asks for its last hour need not look at its day.
"""

from __future__ import annotations

import json
import zlib
from base64 import b64encode
from collections.abc import Iterable, Iterator, Mapping
from datetime import UTC, datetime
from itertools import pairwise
from typing import Any, NamedTuple

import pyarrow as pa
import pyarrow.compute as pc

from levada.core.editions import Edition
from levada.core.item_keys import PARTITION_BYTES, bounded, quoted
from levada.core.partials import PARTIAL
from levada.core.records import SERIES
from levada.core.retention import Expiry

DAY_US = 86_400_000_000
HOUR_US = 3_600_000_000
MIN_US = -30_610_224_000_000_000
"""The year 1000, the first that is written with four digits and so sorts."""
MAX_US = 253_402_214_400_000_000
"""The last day of the year 9999."""
MAX_DATA_BYTES = 300_000
"""An item of the serving table holds 400 KB at most: segments with more are cut in half."""
WINDOWS = "windows"
"""How long they are kept: a kind of ``core/retention.py``."""
VALUES = tuple(name for name in PARTIAL.names if name not in SERIES)


def window_pk(series: Mapping[str, str]) -> str:
    """Partition key of a series' segments; parts are quoted, so that no name can pose as another."""
    return bounded("windows#" + "#".join(quoted(series[name]) for name in SERIES), PARTITION_BYTES)


def hour_pk(series: Mapping[str, str]) -> str:
    """Partition key of those whose windows all start in the same hour of UTC."""
    return bounded("hours#" + "#".join(quoted(series[name]) for name in SERIES), PARTITION_BYTES)


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
    plain = _in_order(partials)
    for start, end in _runs(plain, [*SERIES, "day"]):
        for item in _items(plain.slice(start, end - start), token, generation):
            if expiry is not None:
                item["expires_at"] = expiry.at(WINDOWS, plain["domain"][start].as_py(), item["start"])
            yield item


def items_made_anew(
    partials: pa.Table,
    also: Iterable[Mapping[str, str]],
    edition: Edition,
    token: str,
    day_us: int,
    expiry: Expiry | None = None,
) -> Iterator[dict[str, Any]]:
    """Segments of a day's edition. Each says which stretch of time it holds all of, and what it replaces there.

    Args:
        partials: the edition's (PARTIAL), any order, all of the day that begins at day_us.
        also: series that may have segments of the day, and have no window in the edition.
        token: name of the edition's object that holds them.
    """
    plain = _in_order(partials)
    runs = [plain.slice(start, end - start) for start, end in _runs(plain, list(SERIES))]
    pieces = [(_series(rows), list(_pieces(rows))) for rows in runs]
    held = {tuple(series.values()) for series, _ in pieces}
    others = {tuple(one[name] for name in SERIES): {name: one[name] for name in SERIES} for one in also}
    pieces += [(series, list(_pieces(plain.slice(0, 0)))) for key, series in sorted(others.items()) if key not in held]
    for series, some in pieces:
        cuts = [day_us, *(_starts(piece.rows)[0] for piece in some[1:]), day_us + DAY_US]
        for piece, (first_us, end_us) in zip(some, pairwise(cuts), strict=True):
            item = _item(piece, window_pk(series), first_us, end_us, token, 0)
            item["replaces"] = json.dumps({"number": edition.number, "gold": dict(edition.gold)}, separators=(",", ":"))
            if expiry is not None:
                item["expires_at"] = expiry.at(WINDOWS, series["domain"], first_us)
            yield item


def _in_order(partials: pa.Table) -> pa.Table:
    """Series as texts, sorted by series and window; and ``day``."""
    plain = partials.append_column("day", pc.floor_temporal(partials["window_start"], unit="day"))
    for i, name in enumerate(SERIES):
        plain = plain.set_column(i, name, partials[name].cast(pa.string()))
    return plain.sort_by([*((name, "ascending") for name in SERIES), ("window_start", "ascending")])


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


def _items(rows: pa.Table, token: str, generation: int) -> Iterator[dict[str, Any]]:
    """Of one series and day."""
    series, all_starts = _series(rows), _starts(rows)
    pk = hour_pk(series) if all_starts[0] // HOUR_US == all_starts[-1] // HOUR_US else window_pk(series)
    for piece in _pieces(rows):
        starts = _starts(piece.rows)
        end_us = starts[-1] + piece.rows["width_s"][-1].as_py() * 1_000_000
        yield _item(piece, pk, starts[0], end_us, token, generation)


class _Piece(NamedTuple):
    rows: pa.Table
    data: bytes


def _pieces(rows: pa.Table) -> Iterator[_Piece]:
    """Rows of one series and day, cut so that each part fits into an item."""
    data = _packed(rows)
    if rows.num_rows < 2 or len(data) <= MAX_DATA_BYTES:
        yield _Piece(rows, data)
        return
    half = rows.num_rows // 2
    yield from _pieces(rows.slice(0, half))
    yield from _pieces(rows.slice(half))


def _series(rows: pa.Table) -> dict[str, str]:
    return {name: rows[name][0].as_py() for name in SERIES}


def _starts(rows: pa.Table) -> list[int]:
    starts: list[int] = rows["window_start"].cast(pa.int64()).to_pylist()
    return starts


def _item(piece: _Piece, pk: str, first_us: int, end_us: int, token: str, generation: int) -> dict[str, Any]:
    return {
        "pk": pk,
        "sk": f"{sort_time(first_us)}#{token}#{generation:012d}",
        "start": first_us,
        "end": end_us,
        "n": piece.rows.num_rows,
        "shard": token,
        "generation": generation,
        "data": piece.data,
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
