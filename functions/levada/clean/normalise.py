"""Source rows to canonical rows, as the domain declares: pure column work, no loop over good rows."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import reduce
from math import isfinite
from typing import NamedTuple

import msgspec
import pyarrow as pa
import pyarrow.compute as pc

from levada.clean import numbers, times
from levada.clean.decode import LINE, RAW, REASON, REC, ROW, Decoded
from levada.core import columns
from levada.core.records import MEASUREMENT, Quality
from levada.domains.declaration import KEY_PARTS, Domain


class Refused(NamedTuple):
    """One source row that is no good: which record of the batch, which row of it, and why."""

    record: int
    row: int
    line: int | None
    payload: bytes
    reason: str
    detail: str


@dataclass(slots=True)
class Wide:
    """Validated source rows of one domain, one column per metric still.

    ``rows``: columns ``rec`` (int32, index of the record in the batch), ``row`` (int32), ``time``, site, unit, series
    (dictionaries), and per metric ``v:<name>`` (float64, null when not valid) and ``q:<name>`` (uint8).
    Ascending by (rec, row).
    """

    domain: Domain
    rows: pa.Table

    def counts(self) -> Counter[str]:
        """Rows, measurements, values, and what is missing or out of range, in all and per metric."""
        n = self.rows.num_rows
        out = Counter({"rows": n, "measurements": n * len(self.domain.metrics)})
        if not n:
            return out
        out["undated"] = self.rows["time"].null_count
        for metric in self.domain.metrics.values():
            quality = self.rows[f"q:{metric.name}"]
            values = n - self.rows[f"v:{metric.name}"].null_count
            outside = pc.sum(pc.not_equal(pc.bit_wise_and(quality, int(Quality.OUT_OF_RANGE)), 0)).as_py()
            out["values"] += values
            for name, count in (("missing", n - values - outside), ("out_of_range", outside)):
                out[name] += count
                out[f"{name}:{metric.name}"] = count
        return out


def normalise(
    domain: Domain,
    decoded: Sequence[tuple[int, Decoded]],
    *,
    latest_us: int,
    text_of: Callable[[int, int], bytes | None] = lambda _record, _row: None,
) -> tuple[Wide, list[Refused]]:
    """Validate the rows of all records of one domain.

    Args:
        decoded: (index of the record in the batch, its rows); rows that hold ``__rec`` know it themselves.
        latest_us: the latest event time to believe, microseconds; later rows are refused as ``future_time``.
        text_of: record and row → the row as it came, None where it came in columns.
    """
    refused: list[Refused] = []
    parts: list[pa.Table] = []
    for table in _same_schema(domain, decoded):
        rows, bad = _validate(domain, table, latest_us, text_of)
        parts.append(rows)
        refused.extend(bad)
    if not parts:
        return Wide(domain, pa.table({"rec": pa.array([], pa.int32())})), refused
    return Wide(domain, _in_order(pa.concat_tables(parts).combine_chunks())), refused


def _in_order(rows: pa.Table) -> pa.Table:
    """By record and row: the order of the stream is what fences downstream rely on."""
    rec = _flat(rows, "rec")
    if pc.any(pc.less(rec[1:], rec[:-1]), min_count=0).as_py():
        return rows.take(pc.sort_indices(rows, [("rec", "ascending"), ("row", "ascending")]))
    return rows  # a record's rows stand together and in order


def _same_schema(domain: Domain, decoded: Sequence[tuple[int, Decoded]]) -> Iterator[pa.Table]:
    groups: dict[tuple[object, ...], list[tuple[int, pa.Table]]] = {}
    last, group = None, list[tuple[int, pa.Table]]()
    for index, one in decoded:
        schema = one.rows.schema
        if last is None or not schema.equals(last):
            last, group = schema, groups.setdefault(tuple((f.name, f.type, f.nullable) for f in schema), [])
        group.append((index, one.rows))
    for group in groups.values():
        table = pa.concat_tables([rows for _, rows in group])
        counts = [rows.num_rows for _, rows in group]
        if REC not in table.schema.names:
            table = table.append_column(REC, columns.repeat_each([index for index, _ in group], counts))
        if ROW not in table.schema.names:
            table = table.append_column(ROW, columns.count_up_each(counts))
        there = set(table.schema.names)
        wanted = (*domain.required, LINE, RAW, REASON, ROW, REC)
        yield table.select([name for name in wanted if name in there]).combine_chunks()


def _validate(
    domain: Domain, table: pa.Table, latest_us: int, text_of: Callable[[int, int], bytes | None]
) -> tuple[pa.Table, list[Refused]]:
    faults: list[tuple[str, str, pa.Array]] = []  # reason, column, where
    if REASON in table.schema.names:
        faults.append(("", REASON, pc.is_valid(_flat(table, REASON))))
    time, wrong = times.parse([_text(table, name) for name in domain.time.columns], domain.time)
    faults.append(("not_a_time", " ".join(domain.time.columns), wrong))
    faults.append(("future_time", " ".join(domain.time.columns), pc.greater(time.cast(pa.int64()), latest_us)))
    out: dict[str, pa.Array] = {"rec": _flat(table, REC), "row": _flat(table, ROW), "time": time}
    for part in KEY_PARTS:
        out[part] = _key(domain, table, part)
    parsed = numbers.parse_all([_values(table, column) for column in domain.metrics])
    for (column, metric), (values, not_number) in zip(domain.metrics.items(), parsed, strict=True):
        values, quality = numbers.judge(values, metric, domain.sentinels)
        faults.append(("not_a_number", column, not_number))
        out[f"v:{metric.name}"] = values
        out[f"q:{metric.name}"] = quality
    if time.null_count:
        zero, undated = pa.scalar(0, pa.uint8()), pa.scalar(int(Quality.UNDATED), pa.uint8())
        flag = pc.if_else(pc.is_null(time), undated, zero)
        out |= {name: pc.bit_wise_or(q, flag) for name, q in out.items() if name.startswith("q:")}
    rows = pa.table(out)
    faults = [(reason, column, pc.fill_null(where, False)) for reason, column, where in faults if where.true_count]
    if not faults:
        return rows, []
    bad = reduce(pc.or_, (where for _, _, where in faults))
    return rows.filter(pc.invert(bad)), _refused(table, faults, bad, text_of)


def _refused(
    table: pa.Table,
    faults: Sequence[tuple[str, str, pa.Array]],
    bad: pa.Array,
    text_of: Callable[[int, int], bytes | None],
) -> list[Refused]:
    where = pc.indices_nonzero(bad)
    first: dict[int, tuple[str, str]] = {}  # of several faults the first counts
    for reason, column, flags in reversed(faults):
        first |= dict.fromkeys(pc.indices_nonzero(flags.take(where)).to_pylist(), (reason, column))
    taken = table.take(where)
    rows = {name: _plain(taken[name]).to_pylist() for name in taken.schema.names}
    sent = [name for name in rows if not name.startswith("__")]
    lines = rows.get(LINE) or [None] * len(where)
    refused = []
    for i, (record, row, *values) in enumerate(zip(rows[REC], rows[ROW], *(rows[n] for n in sent), strict=True)):
        reason, column = first[i]
        if column == REASON:
            reason, _, detail = rows[REASON][i].partition(": ")
            payload = rows[RAW][i].encode()
        else:
            there = [name for name in column.split(" ") if name in rows]  # the columns of a time, one may be missing
            shown = rows[column][i] if column in rows else " ".join(str(rows[name][i]) for name in there)
            detail = f"{column}={shown!r}"
            text = text_of(record, row)
            payload = _to_json(dict(zip(sent, values, strict=True))) if text is None else text
        refused.append(Refused(record, row, lines[i], payload, reason, detail))
    return refused


def _plain(column: pa.ChunkedArray) -> pa.ChunkedArray:
    """Dictionaries decoded: their values come out of pyarrow one by one otherwise."""
    return column.cast(column.type.value_type) if pa.types.is_dictionary(column.type) else column


def _to_json(row: dict[str, object]) -> bytes:
    for value in row.values():
        if type(value) is float and not isfinite(value):
            return _ENCODE(row).encode()  # NaN as it came: msgspec makes it null
    return msgspec.json.encode(row, enc_hook=str)


_ENCODE = json.JSONEncoder(ensure_ascii=False, default=str).encode


def _flat(table: pa.Table, name: str) -> pa.Array:
    column = table.column(name)
    return column.chunk(0) if column.num_chunks == 1 else pa.concat_arrays(column.chunks or [pa.array([], column.type)])


def _values(table: pa.Table, name: str) -> pa.Array:
    return _flat(table, name) if name in table.schema.names else pa.nulls(table.num_rows, pa.float64())


def _text(table: pa.Table, name: str) -> pa.Array:
    """Strings, or a dictionary of strings."""
    column = _values(table, name)
    kind = column.type
    as_it_is = pa.types.is_dictionary(kind) and pa.types.is_string(kind.value_type)
    return column if as_it_is else column.cast(pa.string())


def _key(domain: Domain, table: pa.Table, part: str) -> pa.DictionaryArray:
    if part not in domain.keys:
        return columns.constant(domain.constants.get(part, ""), table.num_rows)
    names = columns.coded(_text(table, domain.keys[part]))
    trimmed = pc.utf8_trim_whitespace(names.dictionary)
    return names if trimmed.equals(names.dictionary) else trimmed.take(names.indices).dictionary_encode()


@dataclass(frozen=True, slots=True)
class Origin:
    """Identity of the records of a batch, by index: what every canonical row carries."""

    shard: str
    sequences: Sequence[str]
    """Padded."""
    sources: Sequence[str]
    positions: Sequence[int]
    tenants: Sequence[str]


def melt(wide: Wide, rows: pa.Table, origin: Origin) -> pa.Table:
    """Canonical MEASUREMENT rows of these source rows: one per metric; metric by metric, each in the rows' order."""
    metrics = [m.name for m in wide.domain.metrics.values()]
    n, k = rows.num_rows, len(metrics)
    rec = _flat(rows, "rec").dictionary_encode()
    records = rec.dictionary.to_pylist()  # only those that these rows are of: a lane has few of a batch's records

    def per_record(values: Sequence[str]) -> pa.Array:
        texts = pa.array([values[i] for i in records], pa.string()).dictionary_encode()  # equal texts share a code
        return pa.DictionaryArray.from_arrays(texts.indices.take(rec.indices), texts.dictionary)

    def tiled(column: pa.Array) -> pa.ChunkedArray:
        return pa.chunked_array([column] * k, type=column.type)

    def same(text: str) -> pa.Array:
        return pa.DictionaryArray.from_arrays(pa.repeat(pa.scalar(0, pa.int32()), n * k), pa.array([text]))

    codes = pa.concat_arrays([pa.repeat(pa.scalar(i, pa.int32()), n) for i in range(k)])
    arrays = {
        "time": tiled(_flat(rows, "time")),
        "domain": same(wide.domain.name),
        "tenant": tiled(per_record(origin.tenants)),
        **{part: tiled(_flat(rows, part)) for part in KEY_PARTS},
        "metric": pa.DictionaryArray.from_arrays(codes, pa.array(metrics, pa.string())),
        "value": pa.chunked_array([_flat(rows, f"v:{m}") for m in metrics], type=pa.float64()),
        "quality": pa.chunked_array([_flat(rows, f"q:{m}") for m in metrics], type=pa.uint8()),
        "event_id": pa.nulls(n * k, pa.string()),
        "shard": same(origin.shard),
        "sequence": tiled(per_record(origin.sequences)),
        "source": tiled(per_record(origin.sources)),
        "position": tiled(pa.array([origin.positions[i] for i in records], pa.int64()).take(rec.indices)),
        "row": tiled(_flat(rows, "row")),
    }
    return pa.table([arrays[f.name] for f in MEASUREMENT], schema=MEASUREMENT).unify_dictionaries().combine_chunks()
