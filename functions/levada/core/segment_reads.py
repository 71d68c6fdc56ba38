"""Segments of the serving table (``core/segments.py``), read: those of a series, and what counts of their partials."""

from __future__ import annotations

import json
import zlib
from base64 import b64decode
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from heapq import merge
from itertools import accumulate, chain, groupby
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from levada.core.editions import Edition
from levada.core.partials import PARTIAL, conform
from levada.core.records import SERIES, TIME
from levada.core.segments import DAY_US, HOUR_US, MAX_US, MIN_US, hour_pk, sort_time, window_pk
from levada.core.vectors import to_numpy
from levada.ports import Items


def of_series(
    serving: Items,
    series: Mapping[str, str],
    since_us: int | None = None,
    until_us: int | None = None,
    *,
    newest_first: bool = False,
    ending_after: int | None = None,
    limit: int | None = None,
) -> Iterator[dict[str, Any]]:
    """The segments of a series that may hold windows which start in ``[since_us, until_us)``, in order of sort key.

    Each once: one that was emitted before there were hours, and again since, stands under both keys.

    Args:
        since_us, until_us: microseconds; None for no bound.
        ending_after: only those that end behind it, microseconds.
        limit: of either key.
    """
    last = "\uffff" if until_us is None or until_us >= MAX_US else sort_time(max(until_us, MIN_US))
    found = []
    for pk, block_us in ((window_pk(series), DAY_US), (hour_pk(series), HOUR_US)):
        bound = since_us is not None and since_us > MIN_US
        first = sort_time(min(since_us or 0, MAX_US) // block_us * block_us) if bound else ""
        found.append(
            serving.query(pk, first=first, last=last, newest_first=newest_first, ending_after=ending_after, limit=limit)
        )
    for _, same in groupby(merge(*found, key=_sk, reverse=newest_first), key=_sk):
        yield next(same)


def _sk(item: Mapping[str, Any]) -> str:
    return str(item["sk"])


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
