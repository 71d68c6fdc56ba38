"""What validated source rows become: measurements of declared columns, further measurements, events. Pure columns."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import pyarrow as pa
import pyarrow.compute as pc

from levada.core import columns
from levada.core.records import MEASUREMENT, Quality, event_schema
from levada.domains.declaration import KEY_PARTS, Domain


@dataclass(frozen=True, slots=True)
class Origin:
    """Identity of the records of a batch, by index: what every canonical row carries."""

    shard: str
    sequences: Sequence[str]
    """Padded."""
    sources: Sequence[str]
    positions: Sequence[int]
    tenants: Sequence[str]


class Part(Protocol):
    """Rows of one domain and kind: ``rec`` (int32, index of the record in the batch), ``row`` (int32, source row of the
    record) and what the kind adds; ascending by (rec, row). A source row may give several rows here, or none."""

    @property
    def domain(self) -> Domain: ...
    @property
    def rows(self) -> pa.Table: ...
    @property
    def is_event(self) -> bool: ...
    @property
    def lane_parts(self) -> tuple[str, ...]:
        """Columns that say which lane carries a row, beside domain and tenant."""
        ...

    @property
    def per_row(self) -> int:
        """Canonical rows of each row."""
        ...

    def counts(self) -> Counter[str]: ...
    def of(self, rows: pa.Table) -> Part:
        """The same with other rows."""
        ...

    def canonical(self, rows: pa.Table, origin: Origin) -> pa.Table:
        """MEASUREMENT rows, or those of ``event_schema``, of these of its rows."""
        ...


@dataclass(slots=True)
class Wide:
    """Source rows with one column per declared metric still.

    ``rows``: ``rec``, ``row``, ``time``, site, unit, series (dictionaries), and per metric ``v:<name>`` (float64, null
    when not valid) and ``q:<name>`` (uint8). One row per source row.
    """

    domain: Domain
    rows: pa.Table
    is_event = False
    lane_parts = KEY_PARTS

    @property
    def per_row(self) -> int:
        return len(self.domain.metrics)

    def counts(self) -> Counter[str]:
        """Measurements, values, and what is missing or out of range, in all and per metric."""
        n = self.rows.num_rows
        out = Counter({"measurements": n * len(self.domain.metrics)})
        if not n:
            return out
        for metric in self.domain.metrics.values():
            quality = self.rows[f"q:{metric.name}"]
            values = n - self.rows[f"v:{metric.name}"].null_count
            outside = pc.sum(pc.not_equal(pc.bit_wise_and(quality, int(Quality.OUT_OF_RANGE)), 0)).as_py()
            out["values"] += values
            for name, count in (("missing", n - values - outside), ("out_of_range", outside)):
                out[name] += count
                out[f"{name}:{metric.name}"] = count
        return out

    def of(self, rows: pa.Table) -> Wide:
        return Wide(self.domain, rows)

    def canonical(self, rows: pa.Table, origin: Origin) -> pa.Table:
        return melt(self, rows, origin)


@dataclass(slots=True)
class Measured:
    """Measurements of a long source, of open columns, or of a domain's function.

    ``rows``: ``rec``, ``row``, ``time``, site, unit, series, metric (dictionaries), value, quality, event_id.
    """

    domain: Domain
    rows: pa.Table
    is_event = False
    lane_parts = KEY_PARTS
    per_row = 1

    def counts(self) -> Counter[str]:
        """Measurements, values, and what is missing or out of range; per metric too where metrics are declared."""
        out: Counter[str] = Counter({"measurements": self.rows.num_rows})
        if not self.rows.num_rows:
            return out
        quality = self.rows["quality"]
        outside = pc.not_equal(pc.bit_wise_and(quality, int(Quality.OUT_OF_RANGE)), 0)
        missing = pc.and_(pc.is_null(self.rows["value"]), pc.invert(outside))
        out["values"] = self.rows.num_rows - self.rows["value"].null_count
        for name, where in (("missing", missing), ("out_of_range", outside)):
            out[name] = pc.sum(where).as_py()
            if out[name] and not self.domain.open_metrics:  # open names have no bound, and counters are kept for ever
                some = self.rows["metric"].cast(pa.string()).filter(where)
                out |= Counter({f"{name}:{v['values']}": v["counts"] for v in some.value_counts().to_pylist()})
        return out

    def of(self, rows: pa.Table) -> Measured:
        return Measured(self.domain, rows)

    def canonical(self, rows: pa.Table, origin: Origin) -> pa.Table:
        n = rows.num_rows
        arrays = _identity(rows, origin) | {
            "domain": columns.constant(self.domain.name, n),
            **{name: flat(rows, name) for name in ("time", *KEY_PARTS, "metric", "value", "quality", "event_id")},
        }
        return pa.table([arrays[f.name] for f in MEASUREMENT], schema=MEASUREMENT).unify_dictionaries().combine_chunks()


@dataclass(slots=True)
class Happened:
    """Events. ``rows``: ``rec``, ``row``, ``item``, and every column of the domain's event schema but the identity."""

    domain: Domain
    rows: pa.Table
    is_event = True
    lane_parts = ("entity_type", "entity_id")
    per_row = 1

    def counts(self) -> Counter[str]:
        return Counter({"events": self.rows.num_rows})

    def of(self, rows: pa.Table) -> Happened:
        return Happened(self.domain, rows)

    def canonical(self, rows: pa.Table, origin: Origin) -> pa.Table:
        schema = event_schema(self.domain.fields)
        arrays = {name: flat(rows, name) for name in rows.schema.names} | _identity(rows, origin)
        arrays["domain"] = columns.constant(self.domain.name, rows.num_rows)
        return pa.table([arrays[f.name] for f in schema], schema=schema).unify_dictionaries().combine_chunks()


def _identity(rows: pa.Table, origin: Origin) -> dict[str, pa.Array]:
    """tenant, shard, sequence, source, position and row of each row."""
    rec = flat(rows, "rec").dictionary_encode()
    records = rec.dictionary.to_pylist()  # only those that these rows are of: a lane has few of a batch's records

    def per_record(values: Sequence[str]) -> pa.Array:
        texts = pa.array([values[i] for i in records], pa.string()).dictionary_encode()  # equal texts share a code
        return pa.DictionaryArray.from_arrays(texts.indices.take(rec.indices), texts.dictionary)

    return {
        "tenant": per_record(origin.tenants),
        "shard": columns.constant(origin.shard, rows.num_rows),
        "sequence": per_record(origin.sequences),
        "source": per_record(origin.sources),
        "position": pa.array([origin.positions[i] for i in records], pa.int64()).take(rec.indices),
        "row": flat(rows, "row"),
    }


def melt(wide: Part, rows: pa.Table, origin: Origin) -> pa.Table:
    """Canonical MEASUREMENT rows of these source rows: one per metric; metric by metric, each in the rows' order."""
    metrics = [m.name for m in wide.domain.metrics.values()]
    n, k = rows.num_rows, len(metrics)

    def tiled(column: pa.Array) -> pa.ChunkedArray:
        return pa.chunked_array([column] * k, type=column.type)

    codes = pa.concat_arrays([pa.repeat(pa.scalar(i, pa.int32()), n) for i in range(k)])
    arrays = {name: tiled(column) for name, column in _identity(rows, origin).items()} | {
        "time": tiled(flat(rows, "time")),
        "domain": columns.constant(wide.domain.name, n * k),
        **{part: tiled(flat(rows, part)) for part in KEY_PARTS},
        "metric": pa.DictionaryArray.from_arrays(codes, pa.array(metrics, pa.string())),
        "value": pa.chunked_array([flat(rows, f"v:{m}") for m in metrics], type=pa.float64()),
        "quality": pa.chunked_array([flat(rows, f"q:{m}") for m in metrics], type=pa.uint8()),
        "event_id": pa.nulls(n * k, pa.string()),
    }
    return pa.table([arrays[f.name] for f in MEASUREMENT], schema=MEASUREMENT).unify_dictionaries().combine_chunks()


def flat(table: pa.Table, name: str) -> pa.Array:
    """A column in one piece."""
    column = table.column(name)
    return column.chunk(0) if column.num_chunks == 1 else pa.concat_arrays(column.chunks or [pa.array([], column.type)])


def by_place(rows: pa.Table) -> pa.Table:
    """By record and row; rows of one source row keep their order."""
    return rows.take(pc.sort_indices(rows, [("rec", "ascending"), ("row", "ascending")]))
