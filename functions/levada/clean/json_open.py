"""JSON objects of domains with open metrics: declared fields to columns, all other numbers to one list per object."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import accumulate, chain
from operator import methodcaller
from typing import Any

import msgspec
import pyarrow as pa
import pyarrow.compute as pc

from levada.clean import numbers
from levada.clean.bad_row import INDEX, BadRow
from levada.core import columns
from levada.core.jsontext import NOT_JSON
from levada.domains.declaration import JSON, NUMBER, Domain

OPEN = "__open"
"""Column of those lists: made here, never sent."""
CELLS = pa.struct([pa.field("name", pa.string()), pa.field("value", pa.float64())])
_decode = msgspec.json.Decoder(dict[str, Any]).decode
_PLAIN = {str, int, float, type(None)}


def read(objects: Sequence[bytes], domain: Domain, *, own: bool) -> tuple[pa.Table, list[BadRow]]:
    """As ``json_rows.read``: a column per declared field, and ``__open``, a list of (name, number) of all others.

    Text that is no number, truth values and nested ones are left out of the lists.
    """
    good, failed = _decode_all(objects)
    bad = [_explain(i, objects[i]) for i in failed]
    index = [i for i in range(len(objects)) if i not in failed] if failed else range(len(objects))
    kinds, gone = domain.columns, dict[int, tuple[str, str]]()
    if own and "domain" not in kinds:
        for at, name in enumerate(map(methodcaller("get", "domain", domain.name), good)):
            if name != domain.name:
                gone[at] = ("unknown_domain", f"domain={name!r}: not {domain.name}")
    found = {name: _declared(good, name, kind, domain, gone) for name, kind in kinds.items()}
    table = pa.table(found | {OPEN: _others(good, kinds, domain), INDEX: pa.array(index, pa.int32())})
    bad += [BadRow(index[at], objects[index[at]], *why) for at, why in gone.items()]
    return table.filter(columns.all_but(len(good), gone)) if gone else table, bad


def _decode_all(objects: Sequence[bytes]) -> tuple[list[dict[str, Any]], set[int]]:
    """(the objects, indices of what is none); no Python code runs for a good one."""
    good: list[dict[str, Any]] = []
    failed: set[int] = set()
    rest = iter(objects)
    while True:
        try:
            good.extend(map(_decode, rest))
            return good, failed
        except NOT_JSON:
            failed.add(len(good) + len(failed))


def _explain(i: int, text: bytes) -> BadRow:
    try:
        item = msgspec.json.decode(text)
    except NOT_JSON as err:
        return BadRow(i, text, "not_json", str(err))
    return BadRow(i, text, "not_an_object", f"a record is a JSON object, not {type(item).__name__}")


def _declared(
    good: Sequence[dict[str, Any]], name: str, kind: str, domain: Domain, gone: dict[int, tuple[str, str]]
) -> pa.Array:
    values = list(map(methodcaller("get", name), good))
    if kind == JSON:
        texts = [None if v is None else v if isinstance(v, str) else msgspec.json.encode(v).decode() for v in values]
        return pa.array(texts, pa.string())
    strange = set(map(type, values)) - _PLAIN
    if strange:
        reason = "not_a_number" if kind == NUMBER else "not_a_text"
        for at, value in enumerate(values):
            if type(value) in strange:
                gone.setdefault(at, (reason, f"{name}={value!r}"))
                values[at] = None
    if kind == NUMBER:
        result, wrong = _numbers(values, domain)
        for at in pc.indices_nonzero(wrong).to_pylist():
            gone.setdefault(at, ("not_a_number", f"{name}={values[at]!r}"))
        return result
    try:
        return pa.array(values, pa.string())
    except (pa.ArrowInvalid, pa.ArrowTypeError):
        texts = [v if v is None or isinstance(v, str) else msgspec.json.encode(v).decode() for v in values]
        return pa.array(texts, pa.string())


def _others(good: Sequence[dict[str, Any]], kinds: dict[str, str], domain: Domain) -> pa.Array:
    names = pa.array(list(chain.from_iterable(good)), pa.string()).dictionary_encode()
    values, _ = _numbers(list(chain.from_iterable(map(dict.values, good))), domain)
    declared = [name in kinds or name == "domain" for name in names.dictionary.to_pylist()]
    keep = pc.and_(pc.is_valid(values), pc.invert(pa.array(declared, pa.bool_()).take(names.indices)))
    kept = pa.concat_arrays([pa.array([0], pa.int64()), pc.cumulative_sum(keep.cast(pa.int64()))])
    ends = pa.array(list(accumulate(map(len, good), initial=0)), pa.int64())
    cells = pa.StructArray.from_arrays([names.cast(pa.string()).filter(keep), values.filter(keep)], fields=list(CELLS))
    return pa.ListArray.from_arrays(kept.take(ends).cast(pa.int32()), cells)


def _numbers(values: list[Any], domain: Domain) -> tuple[pa.Array, pa.Array]:
    """(float64, null for what is no number; where there is text, or a number beyond any float, that is none)."""
    kinds = set(map(type, values))
    plain = values
    if not kinds <= {int, float, type(None)}:
        plain = [v if v.__class__ is float or v.__class__ is int else None for v in values]
    try:
        result = pa.array(plain, pa.float64())
    except (pa.ArrowInvalid, OverflowError):  # a whole number beyond 2^53
        result = pa.array([None if v is None else _as_float(v) for v in plain], pa.float64())
    wrong = pc.fill_null(pc.invert(pc.is_finite(result)), False)
    result = pc.if_else(wrong, pa.scalar(None, pa.float64()), result)
    if str in kinds:
        texts = pa.array([v if v.__class__ is str else None for v in values], pa.string())
        parsed, none = numbers.parse(texts, domain)
        result, wrong = pc.coalesce(result, parsed), pc.or_(wrong, none)
    return result, wrong


def _as_float(value: float) -> float:
    try:
        return float(value)
    except OverflowError:
        return float("inf")
