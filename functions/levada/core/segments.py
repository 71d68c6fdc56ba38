"""Closed partials as items of the serving table: those of one series and day that left together share an item (two or
more, where it would be too large)."""

from __future__ import annotations

import json
import zlib
from base64 import b64decode, b64encode
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import accumulate, chain, groupby, pairwise
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from levada.core.editions import Edition
from levada.core.item_keys import PARTITION_BYTES, bounded, quoted
from levada.core.partials import PARTIAL, conform
from levada.core.records import SERIES, TIME
from levada.core.retention import Expiry
from levada.core.vectors import to_numpy

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
    plain = _in_order(partials)
    for start, end in _runs(plain, [*SERIES, "day"]):
        for item in _item(plain.slice(start, end - start), token, generation):
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
            item = _item_of(piece, series, first_us, end_us, token, 0)
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


def _item(rows: pa.Table, token: str, generation: int) -> Iterator[dict[str, Any]]:
    for piece in _pieces(rows):
        starts = _starts(piece.rows)
        end_us = starts[-1] + piece.rows["width_s"][-1].as_py() * 1_000_000
        yield _item_of(piece, _series(piece.rows), starts[0], end_us, token, generation)


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


def _item_of(
    piece: _Piece, series: Mapping[str, str], first_us: int, end_us: int, token: str, generation: int
) -> dict[str, Any]:
    return {
        "pk": window_pk(series),
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


def _unpacked(items: Sequence[Mapping[str, Any]], series: Mapping[str, str]) -> tuple[pa.Table, npt.NDArray[np.int64]]:
    """The partials of these segments (PARTIAL), and how many each of them holds. All at once: a live series has a
    segment for nearly every window."""
    read: list[dict[str, list[Any]]] = [json.loads(zlib.decompress(item["data"])) for item in items]
    tables = [PARTIAL.empty_table()]
    for names, alike in groupby(read, key=tuple):  # segments of before there were bins have fewer columns
        some = list(alike)
        tables.append(_table({name: [*chain.from_iterable(one[name] for one in some)] for name in names}, series))
    return pa.concat_tables(tables), np.array([len(one["window_start"]) for one in read], np.int64)


def _table(columns: dict[str, list[Any]], series: Mapping[str, str]) -> pa.Table:
    n = len(columns["window_start"])
    if "bin_keys" in columns:
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
    """The partials in a series' segments, as they were emitted (unmerged); those that an edition among the segments
    replaces are left out, so all of a day belong together."""
    return _counting(list(found), series)[0]


EMITTED = pa.schema([*PARTIAL, pa.field("shard", pa.string()), pa.field("generation", pa.int64())])
"""Partials, and who emitted them, as how manieth emission."""


def emitted(found: Iterable[Mapping[str, Any]], series: Mapping[str, str]) -> pa.Table:
    """The same with who emitted them (EMITTED)."""
    items = list(found)
    rows, of = _counting(items, series)
    for name, values in (("shard", [i["shard"] for i in items]), ("generation", [int(i["generation"]) for i in items])):
        field = EMITTED.field(name)
        rows = rows.append_column(field, pa.array(values, field.type).take(pa.array(of)))
    return rows


def _counting(items: Sequence[Mapping[str, Any]], series: Mapping[str, str]) -> tuple[pa.Table, npt.NDArray[np.int64]]:
    """Those partials of the segments that no edition among them replaces, and which segment each is of."""
    rows, lengths = _unpacked(items, series)
    of = np.repeat(np.arange(len(items)), lengths)
    replacing = [_Replacing.of(item) for item in items if "replaces" in item]
    if not replacing:
        return rows, of
    keep, starts = np.ones(rows.num_rows, bool), to_numpy(rows["window_start"])
    for one in replacing:
        keep &= ~(one.replaces(items)[of] & (starts >= one.start_us) & (starts < one.end_us))
    return rows.filter(pa.array(keep)), of[keep]


@dataclass(frozen=True, slots=True)
class _Replacing:
    """What a segment of an edition replaces, in which stretch of time."""

    edition: Edition
    start_us: int
    end_us: int

    @classmethod
    def of(cls, item: Mapping[str, Any]) -> _Replacing:
        told = json.loads(item["replaces"])
        return cls(Edition(number=told["number"], gold=told["gold"]), int(item["start"]), int(item["end"]))

    def replaces(self, items: Sequence[Mapping[str, Any]]) -> npt.NDArray[np.bool_]:
        """Of which segments it replaces what lies in its stretch."""
        return np.array([self.edition.replaces_gold(i["shard"], int(i["generation"])) for i in items], bool)
