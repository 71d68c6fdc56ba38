"""Source rows to canonical rows, as the domain declares: pure column work, no loop over good rows."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import pyarrow as pa
import pyarrow.compute as pc

from levada.clean import numbers, times
from levada.clean.decode import LINE, RAW, REASON, Decoded
from levada.core.records import MEASUREMENT, Quality
from levada.domains.declaration import KEY_PARTS, Domain

REC, ROW = "__rec", "__row"
"""Which record of the batch a row is of, and which row of it."""


@dataclass(frozen=True, slots=True)
class Refused:
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


def normalise(domain: Domain, decoded: Sequence[tuple[int, Decoded]], *, latest_us: int) -> tuple[Wide, list[Refused]]:
    """Validate the rows of all records of one domain.

    Args:
        decoded: (index of the record in the batch, its rows); rows that hold ``__rec`` know it themselves.
        latest_us: the latest event time to believe, microseconds; later rows are refused as ``future_time``.
    """
    refused: list[Refused] = []
    parts: list[pa.Table] = []
    for table in _same_schema(domain, decoded):
        rows, bad = _validate(domain, table, latest_us)
        parts.append(rows)
        refused.extend(bad)
    if not parts:
        return Wide(domain, pa.table({"rec": pa.array([], pa.int32())})), refused
    rows = pa.concat_tables(parts).combine_chunks()
    if len(parts) > 1:  # the order of the stream is what fences downstream rely on
        rows = rows.take(pc.sort_indices(rows, [("rec", "ascending"), ("row", "ascending")]))
    return Wide(domain, rows), refused


def _same_schema(domain: Domain, decoded: Sequence[tuple[int, Decoded]]) -> Iterator[pa.Table]:
    groups: dict[tuple[object, ...], list[pa.Table]] = {}
    wanted = (*domain.required, LINE, RAW, REASON)
    for index, one in decoded:
        table = one.rows
        if REC not in table.schema.names:
            table = table.append_column(REC, pa.repeat(pa.scalar(index, pa.int32()), table.num_rows))
        table = table.select([*(name for name in wanted if name in table.schema.names), ROW, REC])
        groups.setdefault(tuple((f.name, f.type) for f in table.schema), []).append(table)
    for tables in groups.values():
        yield pa.concat_tables(tables).combine_chunks()


def _validate(domain: Domain, table: pa.Table, latest_us: int) -> tuple[pa.Table, list[Refused]]:
    n = table.num_rows
    faults: list[tuple[str, str, pa.Array]] = []  # reason, column, where
    if REASON in table.schema.names:
        faults.append(("", REASON, pc.is_valid(_flat(table, REASON))))
    time, wrong = times.parse([_text(table, name) for name in domain.time.columns], domain.time)
    faults.append(("not_a_time", " ".join(domain.time.columns), wrong))
    faults.append(("future_time", " ".join(domain.time.columns), _later(time, latest_us)))
    out: dict[str, pa.Array] = {"rec": _flat(table, REC), "row": _flat(table, ROW), "time": time}
    for part in KEY_PARTS:
        out[part] = _key(domain, table, part)
    undated = pc.if_else(pc.is_null(time), pa.scalar(int(Quality.UNDATED), pa.uint8()), pa.scalar(0, pa.uint8()))
    for column, metric in domain.metrics.items():
        values, not_number = numbers.parse(_values(table, column))
        values, quality = numbers.judge(values, metric, domain.sentinels)
        faults.append(("not_a_number", column, not_number))
        out[f"v:{metric.name}"] = values
        out[f"q:{metric.name}"] = pc.bit_wise_or(quality, undated)
    rows = pa.table(out)
    bad = pa.repeat(pa.scalar(False), n)
    for _, _, where in faults:
        bad = pc.or_(bad, where)
    if not pc.any(bad, min_count=0).as_py():
        return rows, []
    return rows.filter(pc.invert(bad)), _refused(table, faults, bad)


def _refused(table: pa.Table, faults: Sequence[tuple[str, str, pa.Array]], bad: pa.Array) -> list[Refused]:
    where = pc.indices_nonzero(bad)
    reasons = [(reason, column, flags.take(where).to_pylist()) for reason, column, flags in faults]
    refused = []
    for i, row in enumerate(table.take(where).to_pylist()):
        reason, column = next((r, c) for r, c, flags in reasons if flags[i])
        if column == REASON:
            reason, _, detail = row[REASON].partition(": ")
            payload = row[RAW].encode()
        else:
            shown = " ".join(str(row[name]) for name in column.split(" ")) if column not in row else row[column]
            detail = f"{column}={shown!r}"
            payload = json.dumps({k: v for k, v in row.items() if not k.startswith("__")}, ensure_ascii=False).encode()
        refused.append(Refused(row[REC], row[ROW], row.get(LINE), payload, reason, detail))
    return refused


def _later(time: pa.Array, latest_us: int) -> pa.Array:
    return pc.fill_null(pc.greater(time.cast(pa.int64()), latest_us), False)


def _flat(table: pa.Table, name: str) -> pa.Array:
    column = table.column(name)
    return column.chunk(0) if column.num_chunks == 1 else pa.concat_arrays(column.chunks or [pa.array([], column.type)])


def _values(table: pa.Table, name: str) -> pa.Array:
    return _flat(table, name) if name in table.schema.names else pa.nulls(table.num_rows, pa.float64())


def _text(table: pa.Table, name: str) -> pa.Array:
    return _values(table, name).cast(pa.string())


def _key(domain: Domain, table: pa.Table, part: str) -> pa.Array:
    if part in domain.keys:
        return pc.fill_null(pc.utf8_trim_whitespace(_text(table, domain.keys[part])), "").dictionary_encode()
    return pc.dictionary_encode(pa.repeat(pa.scalar(domain.constants.get(part, "")), table.num_rows))


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
    rec = _flat(rows, "rec")

    def per_record(values: Sequence[str]) -> pa.Array:
        dictionary = pa.array(values, pa.string()).dictionary_encode()  # equal texts share a code
        return pa.DictionaryArray.from_arrays(dictionary.indices.take(rec), dictionary.dictionary)

    def tiled(column: pa.Array) -> pa.ChunkedArray:
        return pa.chunked_array([column] * k, type=column.type)

    def same(text: str) -> pa.Array:
        return pa.DictionaryArray.from_arrays(pa.repeat(pa.scalar(0, pa.int32()), n * k), pa.array([text]))

    codes = pa.concat_arrays([pa.repeat(pa.scalar(i, pa.int32()), n) for i in range(k)])
    columns = {
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
        "position": tiled(pa.array(origin.positions, pa.int64()).take(rec)),
        "row": tiled(_flat(rows, "row")),
    }
    return pa.table([columns[f.name] for f in MEASUREMENT], schema=MEASUREMENT).unify_dictionaries().combine_chunks()
