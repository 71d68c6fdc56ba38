"""Source rows to validated rows, as the domain declares: pure column work, no loop over good rows."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import reduce
from itertools import repeat
from math import inf, isfinite, nan
from typing import Any, NamedTuple

import msgspec
import pyarrow as pa
import pyarrow.compute as pc

from levada.clean import derived, forced, happened, measured, numbers, times
from levada.clean.decode import LINE, RAW, REASON, REC, ROW, Decoded
from levada.clean.json_open import OPEN
from levada.clean.shapes import Happened, Measured, Origin, Part, Wide, by_place, flat, melt
from levada.clean.source import Fault, blank, column, text
from levada.core import columns, timetexts
from levada.core.records import Quality
from levada.domains.declaration import KEY_PARTS, Domain

__all__ = ["Normal", "Origin", "Refused", "Wide", "melt", "normalise"]


class Refused(NamedTuple):
    """One source row that is no good: which record of the batch, which row of it, and why."""

    record: int
    row: int
    line: int | None
    payload: bytes
    reason: str
    detail: str


@dataclass(slots=True)
class Normal:
    """The good source rows of one domain, and what they become."""

    domain: Domain
    rows: pa.Table
    """``rec`` (int32, index of the record in the batch), ``row`` (int32), ``time``, site, unit, series, and declared
    metrics as in ``Wide``; ascending by (rec, row)."""
    parts: list[Part] = field(default_factory=list)


TextOf = Callable[[int, int], bytes | None]
"""Record and row → the row as it came, None where it came in columns."""


def normalise(
    domain: Domain,
    decoded: Sequence[tuple[int, Decoded]],
    *,
    latest_us: int,
    text_of: TextOf = lambda _record, _row: None,
    shifts: Mapping[int, int] | None = None,
) -> tuple[Normal, list[Refused]]:
    """Validate the rows of all records of one domain.

    Args:
        decoded: (index of the record in the batch, its rows); rows that hold ``__rec`` know it themselves.
        latest_us: the latest event time to believe, microseconds; later rows are refused as ``future_time``.
        shifts: record → microseconds by which the times of its rows are moved.
    """
    shifts = shifts or {}
    refused: list[Refused] = []
    groups: list[_Group] = []
    for table in _same_schema(domain, decoded):
        group, bad = _validate(domain, table, latest_us, text_of, shifts)
        groups.append(group)
        refused.extend(bad)
    if not groups:
        return Normal(domain, pa.table({"rec": pa.array([], pa.int32())})), refused
    some = [group.rows for group in groups]
    rows = _in_order((pa.concat_tables(some) if some[1:] else some[0]).combine_chunks())
    return Normal(domain, rows, _parts(domain, rows, groups, shifts)), refused


@dataclass(slots=True)
class _Group:
    """Good rows of one schema."""

    rows: pa.Table
    measured: list[pa.Table] = field(default_factory=list)
    events: list[pa.Table] = field(default_factory=list)


def _parts(domain: Domain, rows: pa.Table, groups: Sequence[_Group], shifts: Mapping[int, int]) -> list[Part]:
    parts: list[Part] = []
    if domain.metrics and domain.long is None:
        parts.append(Wide(domain, forced.flagged(rows, shifts)))
    further = [table for group in groups for table in group.measured if table.num_rows]
    if further:
        together = by_place(pa.concat_tables(further).unify_dictionaries().combine_chunks())
        parts.append(Measured(domain, forced.flagged(together, shifts)))
    events = [table for group in groups for table in group.events if table.num_rows]
    if events:
        together = by_place(pa.concat_tables(events).unify_dictionaries().combine_chunks())
        parts.append(Happened(domain, happened.numbered(forced.flagged(together, shifts))))
    return parts


def _in_order(rows: pa.Table) -> pa.Table:
    """By record and row: the order of the stream is what fences downstream rely on."""
    rec = flat(rows, "rec")
    if pc.less(rec[1:], rec[:-1]).true_count:
        return by_place(rows)
    return rows  # a record's rows stand together and in order


def _same_schema(domain: Domain, decoded: Sequence[tuple[int, Decoded]]) -> Iterator[pa.Table]:
    groups: dict[tuple[object, ...], list[tuple[int, pa.Table]]] = {}
    last, group = None, list[tuple[int, pa.Table]]()
    for index, one in decoded:
        schema = one.rows.schema
        if last is None or not schema.equals(last):
            last, group = schema, groups.setdefault(tuple((f.name, f.type, f.nullable) for f in schema), [])
        group.append((index, one.rows))
    own = (LINE, RAW, REASON, ROW, REC, OPEN)
    wanted = (*domain.columns, *own)
    for group in groups.values():
        table = pa.concat_tables([rows for _, rows in group])
        counts = [rows.num_rows for _, rows in group]
        if REC not in table.schema.names:
            table = table.append_column(REC, columns.repeat_each([index for index, _ in group], counts))
        if ROW not in table.schema.names:
            table = table.append_column(ROW, columns.count_up_each(counts))
        there = dict.fromkeys(table.schema.names)
        if domain.open_metrics and domain.long is None:
            some = [name for name in there if not name.startswith("__") or name in own]
        else:
            some = [name for name in wanted if name in there]
        yield table.select(some).combine_chunks()


def _validate(
    domain: Domain, table: pa.Table, latest_us: int, text_of: TextOf, shifts: Mapping[int, int]
) -> tuple[_Group, list[Refused]]:
    faults, out = _base(domain, table, latest_us, shifts)
    rows = pa.table(out)
    if domain.is_wide:
        faults = [fault for fault in faults if fault.where.true_count]
        if not faults:
            return _Group(_complete(domain, rows)), []
        bad = _any(faults)
        return _Group(_complete(domain, rows.filter(pc.invert(bad)))), _refused(table, faults, bad, text_of)
    more = measured.of(domain, table, rows, faults)
    view = happened.source(domain, table, rows, faults)
    events = happened.of(domain, view, rows, faults)
    faults = [fault for fault in faults if fault.where.true_count]
    made = derived.run(domain, view, rows, pc.invert(_any(faults)) if faults else None)
    faults, more = [*faults, *made.faults], [*more, *made.measurements]
    events = events if made.events is None else made.events
    if not faults:
        return _Group(_complete(domain, rows), more, events), []
    bad = _any(faults)
    good, lost = rows.filter(pc.invert(bad)), rows.filter(bad).select(["rec", "row"])
    group = _Group(_complete(domain, good), [_without(t, lost) for t in more], [_without(t, lost) for t in events])
    return group, _refused(table, faults, bad, text_of)


def _base(
    domain: Domain, table: pa.Table, latest_us: int, shifts: Mapping[int, int]
) -> tuple[list[Fault], dict[str, pa.Array]]:
    """What every shape has: where a row stands, its time and keys; and the declared metrics of wide rows, unjudged."""
    faults: list[Fault] = []
    if REASON in table.schema.names:
        faults.append(Fault("", REASON, pc.is_valid(flat(table, REASON))))
    names = " ".join(domain.time.columns)
    time, wrong = times.parse([text(table, name, domain) for name in domain.time.columns], domain.time)
    time = forced.moved(time, flat(table, REC), shifts)
    faults.append(Fault("not_a_time", names, wrong))
    at_us = time.view(pa.int64())
    late = pc.greater(at_us, pa.scalar(latest_us, pa.int64()))
    early = pc.less(at_us, pa.scalar(timetexts.FIRST_US, pa.int64()))  # an offset, or a shift, led out of the calendar
    for reason, where in (("not_a_time", early), ("future_time", late)):
        if where.true_count:
            faults.append(Fault(reason, names, pc.fill_null(where, False)))
    faults += [Fault("missing_field", name, blank(table, name, domain)) for name in domain.musts]
    out: dict[str, pa.Array] = {"rec": flat(table, REC), "row": flat(table, ROW), "time": time}
    for part in domain.keys if domain.is_wide else KEY_PARTS:
        out[part] = _key(domain, table, part)
    if domain.metrics and domain.long is None:
        parsed = numbers.parse_all([column(table, name) for name in domain.metrics], domain)
        for (name, metric), (values, not_number) in zip(domain.metrics.items(), parsed, strict=True):
            faults.append(Fault("not_a_number", name, not_number))
            out[f"v:{metric.name}"] = values
    return faults, out


def _complete(domain: Domain, good: pa.Table) -> pa.Table:
    """Good rows with the keys that are constants, and metrics judged: bad rows are not worth either."""
    out = {name: flat(good, name) for name in ("rec", "row", "time")}
    for part in KEY_PARTS:
        known = part in good.schema.names
        out[part] = flat(good, part) if known else columns.constant(domain.constants.get(part, ""), good.num_rows)
    if domain.long is not None:
        return pa.table(out)
    undated = None
    if out["time"].null_count:
        undated = numbers.flagged(pc.is_null(out["time"]), Quality.UNDATED)
    for metric in domain.metrics.values():
        values, quality = numbers.judge(flat(good, f"v:{metric.name}"), metric, domain.sentinels)
        out[f"v:{metric.name}"] = values
        out[f"q:{metric.name}"] = quality if undated is None else pc.bit_wise_or(quality, undated)
    return pa.table(out)


def _any(faults: Sequence[Fault]) -> pa.Array:
    return reduce(pc.or_, (fault.where for fault in faults))


def _without(rows: pa.Table, lost: pa.Table) -> pa.Table:
    """The rows that come of none of the lost source rows."""
    return rows.filter(pc.invert(pc.is_in(_place(rows), _place(lost))))


def _place(rows: pa.Table) -> pa.Array:
    return pc.add(pc.shift_left(flat(rows, "rec").cast(pa.int64()), 32), flat(rows, "row").cast(pa.int64()))


def _refused(table: pa.Table, faults: Sequence[Fault], bad: pa.Array, text_of: TextOf) -> list[Refused]:
    where = pc.indices_nonzero(bad)
    first: dict[int, Fault] = {}  # of several faults the first counts
    for fault in reversed(faults):
        first |= dict.fromkeys(pc.indices_nonzero(fault.where.take(where)).to_pylist(), fault)
    taken = table.take(where)
    rows = {name: _plain(taken[name]).to_pylist() for name in taken.schema.names}
    payloads = _payloads(taken.schema, rows, text_of)
    lines = rows.get(LINE) or [None] * len(payloads)
    refused = []
    for i, (record, row, line, payload) in enumerate(zip(rows[REC], rows[ROW], lines, payloads, strict=True)):
        fault = first[i]
        reason, name = fault.reason, fault.column
        if name == REASON:
            reason, _, detail = rows[REASON][i].partition(": ")
            payload = rows[RAW][i].encode()
        elif fault.details:
            detail = fault.details[where[i].as_py()]
        elif name in rows:
            detail = f"{name}={rows[name][i]!r}"
        else:  # the columns of a time, one may be missing
            shown = " ".join(str(rows[n][i]) for n in name.split(" ") if n in rows)
            detail = f"{name}={shown!r}"
        refused.append(Refused(record, row, line, payload, reason, detail))
    return refused


def _plain(column: pa.ChunkedArray) -> pa.ChunkedArray:
    """Dictionaries decoded: their values come out of pyarrow one by one otherwise."""
    return column.cast(column.type.value_type) if pa.types.is_dictionary(column.type) else column


def _payloads(schema: pa.Schema, rows: Mapping[str, list[Any]], text_of: TextOf) -> list[bytes]:
    """Each row as it came, or as a JSON object of what came in columns."""
    came = list(map(text_of, rows[REC], rows[ROW]))
    made = _encoded(schema, rows, len(came)) if None in came else []
    return [made[i] if text is None else text for i, text in enumerate(came)]


def as_sent(table: pa.Table) -> list[bytes]:
    """Rows that came in columns, each as a JSON object."""
    rows = {name: _plain(table[name]).to_pylist() for name in table.schema.names}
    return _encoded(table.schema, rows, table.num_rows)


def _encoded(schema: pa.Schema, rows: Mapping[str, list[Any]], n: int) -> list[bytes]:
    sent = [field for field in schema if not field.name.startswith("__")]
    names = [field.name for field in sent]
    exact = [_exact(rows[f.name]) if pa.types.is_floating(_value_type(f.type)) else rows[f.name] for f in sent]
    if not names:
        return [b"{}"] * n
    return list(map(_ENCODE, map(dict, map(zip, repeat(names), zip(*exact, strict=True)))))


def _exact(values: list[object]) -> list[object]:
    """NaN and infinity as they came: msgspec makes them null."""
    return [_NO_NUMBERS[repr(v)] if type(v) is float and not isfinite(v) else v for v in values]


_NO_NUMBERS = {repr(v): msgspec.Raw(json.dumps(v)) for v in (nan, inf, -inf)}


def _value_type(kind: pa.DataType) -> pa.DataType:
    return kind.value_type if pa.types.is_dictionary(kind) else kind


_ENCODE = msgspec.json.Encoder(enc_hook=str).encode


def _key(domain: Domain, table: pa.Table, part: str) -> pa.DictionaryArray:
    if part not in domain.keys:
        return columns.constant(domain.constants.get(part, ""), table.num_rows)
    names = columns.coded(text(table, domain.keys[part], domain))
    trimmed = pc.utf8_trim_whitespace(names.dictionary)
    return names if trimmed.equals(names.dictionary) else trimmed.take(names.indices).dictionary_encode()
