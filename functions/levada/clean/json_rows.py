"""JSON objects to columns: a typed decoder per domain reads what it declares and skips the rest.

One object per line or record is decoded by itself, so that a bad one cannot shift its neighbours, and only bad ones
take the slow path that finds out why.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from operator import attrgetter
from typing import Any

import msgspec
import pyarrow as pa
import pyarrow.compute as pc

from levada.clean import numbers
from levada.domains.declaration import Domain

INDEX = "__index"
"""Which of the objects a row came from, counted from 0."""


@dataclass(frozen=True, slots=True)
class BadRow:
    """An object that is no row: its index, payload, reason (a slug) and detail."""

    row: int
    payload: bytes
    reason: str
    detail: str


@dataclass(frozen=True, slots=True)
class _Reader:
    domain: Domain
    decode: Callable[[bytes], Any]
    fields: tuple[str, ...]
    """Attribute of each required column, in order."""


_readers: dict[int, _Reader] = {}


def read(objects: Sequence[bytes], domain: Domain, *, own: bool = False) -> tuple[pa.Table, list[BadRow]]:
    """The objects that are rows of the domain, as columns, and those that are not.

    Args:
        objects: n texts, one JSON object each.
        own: refuse objects whose ``domain`` names another one.

    Returns:
        (m rows: a column per required source column, text or float64, and ``__index`` int32; bad ones by index).
    """
    reader = _readers.get(id(domain)) or _reader(domain)
    good, index, failed = _decode_all(objects, reader, domain.name if own else None)
    bad = [_explain(i, objects[i], domain) for i in failed]
    columns: dict[str, pa.Array] = {}
    no_number: set[int] = set()
    for name, field in zip(domain.required, reader.fields, strict=True):
        values = list(map(attrgetter(field), good))
        if name in domain.metrics:
            columns[name] = _numbers(values, name, index, objects, bad, no_number)
        else:
            columns[name] = _texts(values)
    table = pa.table(columns).append_column(INDEX, pa.array(index, pa.int32()))
    empty = _without_metric(table, domain, objects, bad)
    return _without(table, no_number | empty), bad


def _reader(domain: Domain) -> _Reader:
    fields = tuple(f"f{i}" for i in range(len(domain.required)))
    spec: list[tuple[str, Any, Any]] = [
        (field, float | str | None if name in domain.metrics else str | int | float | None, None)
        for field, name in zip(fields, domain.required, strict=True)
    ]
    rename = dict(zip(fields, domain.required, strict=True))
    if "domain" not in domain.required:
        spec.append(("domain", str | None, None))
    kind = msgspec.defstruct("Row", spec, rename=rename, gc=False)
    # keeps the domain alive too, so that its id stays its own
    return _readers.setdefault(id(domain), _Reader(domain, msgspec.json.Decoder(kind).decode, fields))


def _decode_all(objects: Sequence[bytes], reader: _Reader, own: str | None) -> tuple[list[Any], list[int], list[int]]:
    good: list[Any] = []
    index: list[int] = []
    failed: list[int] = []
    decode = reader.decode
    for i, text in enumerate(objects):
        try:
            row = decode(text)
        except (msgspec.DecodeError, UnicodeDecodeError):
            failed.append(i)
            continue
        if own is not None and row.domain is not None and row.domain != own:
            failed.append(i)
            continue
        good.append(row)
        index.append(i)
    return good, index, failed


def _explain(i: int, text: bytes, domain: Domain) -> BadRow:
    try:
        item = msgspec.json.decode(text)
    except (msgspec.DecodeError, UnicodeDecodeError) as err:
        return BadRow(i, text, "not_json", str(err))
    if not isinstance(item, dict):
        return BadRow(i, text, "not_an_object", f"a record is a JSON object, not {type(item).__name__}")
    for name in domain.metrics:
        if not isinstance(item.get(name), float | int | str | None) or isinstance(item.get(name), bool):
            return BadRow(i, text, "not_a_number", f"{name}={item[name]!r}")
    for name in domain.required:
        if not isinstance(item.get(name), float | int | str | None) or isinstance(item.get(name), bool):
            return BadRow(i, text, "not_a_text", f"{name}={item[name]!r}")
    if item.get("domain", domain.name) != domain.name:
        return BadRow(i, text, "unknown_domain", f"domain={item['domain']!r}: not {domain.name}")
    return BadRow(i, text, "not_a_number", "a number is larger than any float64")


def _numbers(
    values: list[Any], name: str, index: list[int], objects: Sequence[bytes], bad: list[BadRow], wrong: set[int]
) -> pa.Array:
    try:
        return pa.array(values, pa.float64())
    except (pa.ArrowInvalid, pa.ArrowTypeError):
        pass
    texts = [(at, value) for at, value in enumerate(values) if type(value) is str]
    parsed, no_number = numbers.parse(pa.array([value for _, value in texts], pa.string()))
    for (at, value), number, refused in zip(texts, parsed.to_pylist(), no_number.to_pylist(), strict=True):
        values[at] = number
        if refused and index[at] not in wrong:
            wrong.add(index[at])
            bad.append(BadRow(index[at], objects[index[at]], "not_a_number", f"{name}={value!r}"))
    return pa.array(values, pa.float64())


def _texts(values: list[Any]) -> pa.Array:
    try:
        return pa.array(values, pa.string())
    except (pa.ArrowInvalid, pa.ArrowTypeError):
        return pa.array([v if v is None or isinstance(v, str) else json.dumps(v) for v in values], pa.string())


def _without_metric(table: pa.Table, domain: Domain, objects: Sequence[bytes], bad: list[BadRow]) -> set[int]:
    """Objects in which no metric stands at all, not even as null: records of something else."""
    found: set[int] = set()
    metrics = [table[name] for name in domain.metrics]
    if not all(column.null_count for column in metrics):
        return found
    known = {row.row for row in bad}
    for i, *values in zip(table[INDEX].to_pylist(), *(c.to_pylist() for c in metrics), strict=True):
        if i in known or any(value is not None for value in values):
            continue
        item = msgspec.json.decode(objects[i])
        if not any(name in item for name in domain.metrics):
            bad.append(
                BadRow(i, objects[i], "no_known_field", f"has {sorted(item)}: none is a metric of {domain.name}")
            )
            found.add(i)
    return found


def _without(table: pa.Table, indices: set[int]) -> pa.Table:
    if not indices:
        return table
    gone = pa.array(sorted(indices), pa.int32())
    return table.filter(pc.invert(pc.is_in(table[INDEX], gone)))
