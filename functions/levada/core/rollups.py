"""Rollups: the windows of an hour, day, week or month merged into one row per series, and the objects that keep them.

A rollup object is one Parquet file per domain, period and partition of time. Its manifest stands in the file's own
metadata, so that rows and the record of what they were made from are replaced together, by one conditional put. The
manifest names every gold object that has been merged in: each counts once, whatever crashes, repeats or runs beside,
and a gold object that is gone takes nothing away.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from levada.core import columns, groups, parquet
from levada.core.editions import Edition
from levada.core.errors import ConfigError
from levada.core.instants import instant
from levada.core.intervals import IntervalSet
from levada.core.partials import PARTIAL, conform, merge
from levada.core.periods import HOUR, HOUR_US, Calendar, Partition
from levada.core.records import TIME
from levada.core.vectors import NO_TIME, to_arrow, to_numpy

WITHIN = (pa.field("within_m2", pa.float64()), pa.field("within_df", pa.int64()))
"""Sums of squared deviations inside the base windows, and their degrees of freedom: sigma within is
sqrt(within_m2 / within_df), pooled over subgroups. A subgroup is the rows of a window that were closed together."""
ROLLUP = pa.schema([*PARTIAL, *WITHIN])
"""One row per series and period: the merged partial, window_start and width_s being those of the period."""
TEXTS = [f.name for f in ROLLUP if pa.types.is_dictionary(f.type)]
VERSION = 1


def from_partials(partials: pa.Table) -> pa.Table:
    """n gold partials (PARTIAL and more) as n rows of ROLLUP, each a subgroup of its own."""
    count = to_numpy(partials["count"].cast(pa.int64()))
    m2 = to_numpy(partials["m2"].cast(pa.float64()))
    rows = conform(partials)
    rows = rows.append_column(WITHIN[0], to_arrow(np.where(count > 1, m2, 0.0), pa.float64()))
    return rows.append_column(WITHIN[1], to_arrow(np.maximum(count - 1, 0), pa.int64()))


def combine(tables: Sequence[pa.Table]) -> pa.Table:
    """One row per (series, window_start), sorted by both: the merge of all that are given (ROLLUP)."""
    table = pa.concat_tables([columns.empty(ROLLUP), *tables]).unify_dictionaries().combine_chunks()
    if not table.num_rows:
        return table
    merged = merge(table)
    code, bound = groups.series_codes(table)
    starts, place = np.unique(to_numpy(table["window_start"]), return_inverse=True)
    code, bound = groups.combine(code, bound, place, len(starts))
    order = groups.stable_order(code, bound)
    heads = groups.heads_of(code[order])
    for spec in WITHIN:
        sums = np.add.reduceat(to_numpy(table[spec.name])[order], heads)
        merged = merged.append_column(spec, to_arrow(sums, spec.type))
    return merged


def regroup(rows: pa.Table, calendar: Calendar, period: str) -> pa.Table:
    """Rows (ROLLUP) of smaller windows merged into the periods that they start in."""
    return combine([assigned(rows, calendar, period)])


def assigned(rows: pa.Table, calendar: Calendar, period: str) -> pa.Table:
    """Rows (ROLLUP) of smaller windows as rows of the periods that they start in, not merged yet."""
    starts, ends = calendar.starts(period, to_numpy(rows["window_start"]))
    if period == HOUR:  # a window that is wider has no hour
        fits = to_numpy(rows["width_s"]) <= HOUR_US // 1_000_000
        rows, starts, ends = rows.filter(pa.array(fits)), starts[fits], ends[fits]
    rows = _set(rows, "window_start", to_arrow(starts, TIME))
    return _set(rows, "width_s", to_arrow((ends - starts) // 1_000_000, pa.int32()))


def between(rows: pa.Table, start_us: int, end_us: int) -> pa.Table:
    """The rows whose window starts in ``[start_us, end_us)``."""
    starts = to_numpy(rows["window_start"])
    inside = (starts >= start_us) & (starts < end_us)
    return rows if inside.all() else rows.filter(pa.array(inside))


def fill_hours(rows: pa.Table) -> bool:
    """Whether each window lies in one hour, so that larger periods that begin on the hour may be merged from hours."""
    widths: NDArray[np.int32] = np.unique(to_numpy(rows["width_s"]))
    return not (HOUR_US // 1_000_000 % widths).any()


def _set(rows: pa.Table, name: str, values: pa.Array) -> pa.Table:
    return rows.set_column(ROLLUP.get_field_index(name), ROLLUP.field(name), values)


@dataclass(slots=True)
class Manifest:
    """What a rollup object was made from."""

    zone: str
    gold: dict[str, dict[str, IntervalSet]] = field(default_factory=dict)
    """Day of gold → shard token → generations whose object of that day is merged in; an edition's object is 0 of its
    name (``editions.emission_of``)."""
    revision: int = 0
    """How many times the object has been replaced."""

    def covers(self, day: str, token: str, generation: int) -> bool:
        return generation in self.gold.get(day, {}).get(token, ())

    def add(self, day: str, token: str, generation: int) -> None:
        self.gold.setdefault(day, {}).setdefault(token, IntervalSet()).add(generation)

    def emissions(self, day: str) -> Iterator[tuple[str, int]]:
        """(token, generation) of each gold object of a day that is merged in."""
        for token, spans in self.gold.get(day, {}).items():
            yield from ((token, generation) for start, end in spans.spans() for generation in range(start, end))

    def is_stale(self, day: str, edition: Edition) -> bool:
        """Whether gold of this day is merged in that an edition has replaced."""
        return any(edition.replaces_gold(*emission) for emission in self.emissions(day))

    @property
    def objects(self) -> int:
        """Gold objects that are merged in."""
        return sum(len(spans) for tokens in self.gold.values() for spans in tokens.values())

    def to_json(self) -> dict[str, Any]:
        gold = {d: {t: s.spans() for t, s in sorted(tokens.items())} for d, tokens in sorted(self.gold.items())}
        return {"zone": self.zone, "gold": gold, "revision": self.revision}

    @classmethod
    def from_json(cls, raw: Mapping[str, Any]) -> Manifest:
        gold = {d: {t: IntervalSet.restored(s) for t, s in tokens.items()} for d, tokens in raw["gold"].items()}
        return cls(raw["zone"], gold, int(raw["revision"]))


def to_bytes(rows: pa.Table, partition: Partition, manifest: Manifest) -> bytes:
    """A rollup object. Its metadata says, beside the manifest, what raw range the rows cover."""
    place = {"period": partition.period, "partition": partition.name}
    told = {"v": VERSION, **place, **manifest.to_json(), **covered(rows)}
    return parquet.to_bytes(rows, dictionary=TEXTS, about=told)


def covered(rows: pa.Table) -> dict[str, Any]:
    """What raw range rows of ROLLUP cover: their count, the raw rows in them, and first and last value's time."""
    count, missing = to_numpy(rows["count"]), to_numpy(rows["missing"])
    last = int(to_numpy(rows["last_time"]).max(initial=NO_TIME))
    first = int(to_numpy(rows["first_time"])[count > 0].min(initial=last))
    told: dict[str, Any] = {"rows": rows.num_rows, "raw_rows": int(count.sum() + missing.sum())}
    return told | ({"raw_from": instant(first), "raw_until": instant(last)} if count.any() else {})


def from_bytes(body: bytes, names: Sequence[str] | None = None) -> pa.Table:
    """The rows of a rollup object (ROLLUP, or only these columns of it).

    Raises ConfigError when it is none of this version.
    """
    about(body)
    table = pq.ParquetFile(pa.BufferReader(body), read_dictionary=TEXTS).read(columns=names)
    schema = ROLLUP if names is None else pa.schema([ROLLUP.field(name) for name in names])
    return table.select(schema.names).cast(schema)


def about(body: bytes) -> dict[str, Any]:
    """What a rollup object says of itself, manifest included. Raises ConfigError when it is none of this version."""
    try:
        found = parquet.about(body)
    except ValueError as err:
        raise ConfigError(f"not a rollup of levada: {err}") from err
    if found.get("v") != VERSION:
        raise ConfigError(f"rollup v={found.get('v')!r}: this version reads {VERSION}")
    return found
