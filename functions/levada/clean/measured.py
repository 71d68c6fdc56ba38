"""Measurements of sources whose columns do not name their metrics: long ones, and open columns. Pure columns."""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import reduce
from typing import NamedTuple

import pyarrow as pa
import pyarrow.compute as pc

from levada.clean import numbers
from levada.clean.json_open import OPEN
from levada.clean.numbers import Bounds
from levada.clean.shapes import flat
from levada.clean.source import Fault, column, trimmed
from levada.core import columns
from levada.core.records import Quality
from levada.domains.declaration import KEY_PARTS, Domain, Long

MAX_OPEN_COLUMNS = 512
"""Columns without a declaration that one row may have: each makes a series of its own."""
MAX_NAME = 128
PLACE = ("rec", "row", "time", *KEY_PARTS)


def of(domain: Domain, table: pa.Table, rows: pa.Table, faults: list[Fault]) -> list[pa.Table]:
    """Rows of ``shapes.Measured`` of the n source rows; what is wrong with some goes to the faults.

    Args:
        table: the source columns.
        rows: what has been validated of them: rec, row, time, site, unit, series.
    """
    if domain.long is not None:
        return [_long(domain, domain.long, table, rows, faults)]
    if domain.open_metrics:
        return [_open(domain, table, rows, faults)]
    return []


def assembled(
    rows: pa.Table, metric: pa.DictionaryArray, value: pa.Array, quality: pa.Array, event_id: pa.Array | None = None
) -> pa.Table:
    """A table of ``shapes.Measured``; rows: ``PLACE``."""
    time = flat(rows, "time")
    if time.null_count:
        undated = pc.if_else(pc.is_null(time), pa.scalar(int(Quality.UNDATED), pa.uint8()), pa.scalar(0, pa.uint8()))
        quality = pc.bit_wise_or(quality, undated)
    names = pa.nulls(len(value), pa.string()) if event_id is None else event_id
    more = {"metric": metric, "value": value, "quality": quality, "event_id": names}
    return pa.table({name: flat(rows, name) for name in PLACE} | more)


def concat(tables: Sequence[pa.Table]) -> pa.Table:
    return pa.concat_tables(tables).unify_dictionaries().combine_chunks()


class _Known(NamedTuple):
    """What a metric's name and unit of measurement in the source stand for."""

    name: str
    reason: str = ""
    low: float | None = None
    high: float | None = None
    scale: float = 1.0
    offset: float = 0.0


def _long(domain: Domain, long: Long, table: pa.Table, rows: pa.Table, faults: list[Fault]) -> pa.Table:
    names = columns.coded(trimmed(table, long.metric, domain))
    uoms = columns.coded(trimmed(table, long.uom, domain)) if long.uom else columns.constant("", table.num_rows)
    n = max(1, len(uoms.dictionary))
    both = pc.add(pc.multiply(names.indices.cast(pa.int64()), n), uoms.indices.cast(pa.int64())).dictionary_encode()
    known = [_resolve(domain, long, names.dictionary[i // n].as_py(), uoms.dictionary[i % n].as_py())
             for i in both.dictionary.to_pylist()]  # fmt: skip
    for reason, where in (("unknown_metric", long.metric), ("unknown_uom", long.uom)):
        if any(one.reason == reason for one in known):
            wrong = pa.array([one.reason == reason for one in known], pa.bool_()).take(both.indices)
            faults.append(Fault(reason, where, wrong))
    values, not_number = numbers.parse(column(table, long.value), domain)
    faults.append(Fault("not_a_number", long.value, not_number))
    values, quality = numbers.judge(values, _bounds(known, both.indices), domain.sentinels)
    metric = pa.DictionaryArray.from_arrays(both.indices, pa.array([one.name for one in known], pa.string()))
    named = trimmed(table, long.event_id, domain) if long.event_id else None
    return assembled(rows, columns.coded(metric), values, quality, named)


def _resolve(domain: Domain, long: Long, name: str, uom: str) -> _Known:
    metric = domain.metrics.get(name)
    if metric is None:
        if not domain.open_metrics or len(name) + len(uom) > MAX_NAME:
            return _Known(name, "unknown_metric")
        return _Known(slug(f"{name} {uom}"))
    scale, offset = metric.scale, metric.offset
    if uom and metric.uom and uom != metric.uom:
        if (uom, metric.uom) not in long.uoms:
            return _Known(metric.name, "unknown_uom")
        scale, offset = long.uoms[uom, metric.uom]
    return _Known(metric.name, "", metric.low, metric.high, scale, offset)


def slug(name: str) -> str:
    """Lower case, with ``_`` for whatever is no letter or digit: ``PM 2.5 µg/m³`` is ``pm_2_5_µg_m³``."""
    return re.sub(r"\W+", "_", name.strip().lower()).strip("_") or name.strip()


def _bounds(known: Sequence[_Known], indices: pa.Array) -> Bounds:
    def each(values: list[float | None]) -> pa.Array | None:
        return None if all(v is None for v in values) else pa.array(values, pa.float64()).take(indices)

    scales, offsets = [one.scale for one in known], [one.offset for one in known]
    plain = all(scale == 1 for scale in scales) and not any(offsets)
    return Bounds(
        each([one.low for one in known]),
        each([one.high for one in known]),
        1.0 if plain else pa.array(scales, pa.float64()).take(indices),
        0.0 if plain else pa.array(offsets, pa.float64()).take(indices),
    )


def _open(domain: Domain, table: pa.Table, rows: pa.Table, faults: list[Fault]) -> pa.Table:
    """Every number in a column that nothing declares; text there is no measurement, nor is an empty field."""
    names = open_columns(domain, table.schema.names)
    found: list[pa.Table] = []
    some = [columns.zeros(table.num_rows, pa.bool_())]
    if len(names) > MAX_OPEN_COLUMNS:
        faults.append(_too_many(pa.repeat(pa.scalar(len(names)), table.num_rows)))
        names = []
    if OPEN in table.schema.names:
        there = pc.list_value_length(flat(table, OPEN))
        faults.append(_too_many(there))
        some.append(pc.greater(there, 0))
        found.append(_listed(domain, flat(table, OPEN), rows))
    for name in names:
        values = _numbers(flat(table, name), domain)
        if values is None or values.null_count == len(values):
            continue
        there = pc.is_valid(values)
        some.append(there)
        mine = rows.select(PLACE)
        if values.null_count:
            mine, values = mine.filter(there).combine_chunks(), values.drop_null()
        values, quality = numbers.judge(values, Bounds(None, None, 1.0, 0.0), domain.sentinels)
        found.append(assembled(mine, columns.constant(name, len(values)), values, quality))
    if not (domain.metrics or domain.events or domain.derive):
        nothing = pc.invert(reduce(pc.or_, some))
        told = ", ".join(name for name in table.schema.names if not name.startswith("__"))[:200]
        details = dict.fromkeys(pc.indices_nonzero(nothing).to_pylist(), f"none of {told} holds a number")
        faults.append(Fault("no_known_field", " ".join(names) or "-", nothing, details))
    return concat(found) if found else assembled(rows.slice(0, 0), columns.constant("", 0), *_nothing())


def _listed(domain: Domain, lists: pa.Array, rows: pa.Table) -> pa.Table:
    """Of a column ``__open``."""
    cells, parents = pc.list_flatten(lists), pc.list_parent_indices(lists)
    metric, values = cells.field(0).dictionary_encode(), cells.field(1)
    usable = [0 < len(name) <= MAX_NAME for name in metric.dictionary.to_pylist()]
    if not all(usable):
        keep = pa.array(usable, pa.bool_()).take(metric.indices)
        metric, values, parents = metric.filter(keep), values.filter(keep), parents.filter(keep)
    values, quality = numbers.judge(values, Bounds(None, None, 1.0, 0.0), domain.sentinels)
    return assembled(rows.select(PLACE).take(parents).combine_chunks(), metric, values, quality)


def _too_many(counts: pa.Array) -> Fault:
    where = pc.greater(counts, MAX_OPEN_COLUMNS)
    at = pc.indices_nonzero(where)
    details = {i: f"{n} numbers without a declaration: at most {MAX_OPEN_COLUMNS}"
               for i, n in zip(at.to_pylist(), counts.take(at).to_pylist(), strict=True)}  # fmt: skip
    return Fault("too_many_columns", OPEN, where, details)


def _nothing() -> tuple[pa.Array, pa.Array]:
    return pa.array([], pa.float64()), pa.array([], pa.uint8())


def open_columns(domain: Domain, names: Sequence[str]) -> list[str]:
    """Which of a source's columns no field of the declaration names."""
    known = domain.columns
    return [n for n in names if n not in known and not n.startswith("__") and n != "domain" and 0 < len(n) <= MAX_NAME]


def _numbers(found: pa.Array, domain: Domain) -> pa.Array | None:
    kind = found.type.value_type if pa.types.is_dictionary(found.type) else found.type
    is_number = pa.types.is_integer(kind) or pa.types.is_floating(kind) or pa.types.is_decimal(kind)
    if not is_number and not pa.types.is_string(kind) and not pa.types.is_large_string(kind):
        return None
    return numbers.parse(found, domain)[0]
