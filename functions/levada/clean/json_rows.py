"""JSON objects to columns: a typed decoder per domain reads what it declares and skips the rest.

One object per line or record is decoded by itself, so that a bad one cannot shift its neighbours, and only bad ones
take the slow path that finds out why.
"""

from __future__ import annotations

import json
from bisect import bisect_right
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import reduce
from itertools import compress
from typing import Any, Literal

import msgspec
import pyarrow as pa
import pyarrow.compute as pc

from levada.clean import json_open, numbers
from levada.clean.bad_row import INDEX, BadRow
from levada.core import columns
from levada.core.jsontext import NOT_JSON
from levada.domains.declaration import JSON, NUMBER, TEXT, Domain

__all__ = ["INDEX", "BadRow", "read"]


@dataclass(frozen=True, slots=True)
class _Decoders:
    strict: Callable[[bytes], Any]
    """Metrics are numbers."""
    loose: Callable[[bytes], Any]
    """Metrics are numbers, or text that may hold one."""


@dataclass(frozen=True, slots=True)
class _Reader:
    domain: Domain
    decoders: tuple[_Decoders, _Decoders]
    """For any object, and for those whose ``domain`` must not name another one."""
    fields: tuple[str, ...]
    """Attribute of each declared column, in order."""
    pick: tuple[Callable[[Sequence[Any]], list[Any]], ...]
    """What each of them is in all of some rows."""
    kinds: dict[str, str]
    """Declared columns, in order, with what they hold."""
    telling: tuple[str, ...]


_readers: dict[int, _Reader] = {}


def read(objects: Sequence[bytes], domain: Domain, *, own: bool = False) -> tuple[pa.Table, list[BadRow]]:
    """The objects that are rows of the domain, as columns, and those that are not.

    Args:
        objects: n texts, one JSON object each.
        own: refuse objects whose ``domain`` names another one.

    Returns:
        (m rows: a column per declared source column, text or float64, and ``__index`` int32; bad ones by index).
        Of a domain with open metrics: a column per field that any of the objects has.
    """
    if domain.open_metrics and domain.long is None:
        return json_open.read(objects, domain, own=own)
    reader = _readers.get(id(domain)) or _reader(domain)
    n = len(objects)
    blocks = [_block(objects[i : i + BLOCK], reader, own=own) for i in range(0, max(1, n), BLOCK)]
    failed = [i * BLOCK + at for i, block in enumerate(blocks) for at in block.failed]
    wrong = {i * BLOCK + at: why for i, block in enumerate(blocks) for at, why in block.wrong.items()}
    bad = [_explain(i, objects[i], domain) for i in failed]
    bad += [BadRow(i, objects[i], "not_a_number", why) for i, why in wrong.items()]
    index = columns.count_up(n)
    index = index.filter(columns.all_but(n, (*failed, *wrong))) if bad else index
    found = {name: pa.concat_arrays([b.arrays[k] for b in blocks]) for k, name in enumerate(reader.kinds)}
    table = pa.table(found | {INDEX: index})
    if reader.telling:
        gone = _without_metric([found[name] for name in reader.telling], index, domain, objects, bad)
        table = table.filter(columns.all_but(len(index), gone)) if gone else table
    return table, bad


BLOCK = 2048
"""Objects that are decoded and put into columns at a time: few enough to stay in a core's own cache meanwhile."""


@dataclass(frozen=True, slots=True)
class _Block:
    arrays: list[pa.Array]
    """One per required column, of n rows."""
    failed: list[int]
    """Objects that could not be decoded, by index in the block."""
    wrong: dict[int, str]
    """Objects with text for a number that is none: column and text. They gave no row either."""


def _block(objects: Sequence[bytes], reader: _Reader, *, own: bool) -> _Block:
    good, loose, failed = _decode_all(objects, reader.decoders[own])
    wrong = _read_texts(good, loose, reader) if loose else {}
    for at in sorted(wrong, reverse=True):
        del good[at]
    before = [at - k for k, at in enumerate(failed)]  # how many good ones stand before each
    block = _Block([], failed, {at + bisect_right(before, at): why for at, why in wrong.items()})
    for kind, pick in zip(reader.kinds.values(), reader.pick, strict=True):
        values = pick(good)
        if kind == NUMBER:
            block.arrays.append(pa.array(values, pa.float64()))
        else:
            block.arrays.append(_texts(values) if kind == TEXT else _nested(values))
    return block


def _read_texts(good: Sequence[Any], loose: Sequence[int], reader: _Reader) -> dict[int, str]:
    """Put a number in place of each text that holds one; which rows have a text that holds none, and what it is."""
    wrong: dict[int, str] = {}
    for (name, kind), field in zip(reader.kinds.items(), reader.fields, strict=True):
        texts = {at: text for at in loose if type(text := getattr(good[at], field)) is str} if kind == NUMBER else {}
        none = {at for at, text in texts.items() if numbers.is_word(text, reader.domain)}
        rest = {at: text for at, text in texts.items() if at not in none}
        if rest:
            values, wrong_rest = numbers.parse(pa.array(rest.values(), pa.string()), reader.domain)
            for at, value in zip(rest, values.to_pylist(), strict=True):
                setattr(good[at], field, value)
            none.update(compress(rest, wrong_rest.to_pylist()))
        for at, text in texts.items():
            if at in none:
                wrong.setdefault(at, f"{name}={text!r}")
    return wrong


def _reader(domain: Domain) -> _Reader:
    kinds = domain.columns
    fields = tuple(map(FIELD.format, range(len(kinds))))
    rename = dict(zip(fields, kinds, strict=True))
    literal: Any = Literal  # a type made at run time is none that a type checker knows

    def decoder(number: Any, named: Any) -> Callable[[bytes], Any]:
        spec: list[tuple[str, Any, Any]] = [
            (field, msgspec.Raw, msgspec.Raw())
            if kind == JSON
            else (field, number if kind == NUMBER else str | int | float | None, None)
            for field, kind in zip(fields, kinds.values(), strict=True)
        ]
        if "domain" not in kinds:
            spec.append(("domain", named | None, None))
        return msgspec.json.Decoder(msgspec.defstruct("Row", spec, rename=rename, gc=False)).decode

    any_or_own = (
        _Decoders(decoder(float | None, named), decoder(float | str | None, named))
        for named in (str, literal[domain.name])
    )
    # keeps the domain alive too, so that its id stays its own
    pick = tuple(map(_picker, range(len(fields))))
    made = _Reader(domain, (next(any_or_own), next(any_or_own)), fields, pick, kinds, domain.telling)
    return _readers.setdefault(id(domain), made)


FIELD = "f{}"


def _picker(i: int) -> Callable[[Sequence[Any]], list[Any]]:
    """Field i of all rows: code that names its attribute looks it up in half the time of an ``attrgetter``."""
    made: Callable[[Sequence[Any]], list[Any]]
    made = eval(f"lambda rows: [row.{FIELD.format(i)} for row in rows]", {})  # noqa: S307  # a number and our own text
    return made


MANY = 64
"""So many objects with text for a number, and an eighth of all: then it is no accident but how the producer writes."""


def _decode_all(objects: Sequence[bytes], decoders: _Decoders) -> tuple[list[Any], Sequence[int], list[int]]:
    """Decode all, and run no Python code for a good one.

    Returns:
        (those that could be decoded; which of them may hold text for a number; indices of those that could not).
    """
    good: list[Any] = []
    loose: list[int] = []
    failed: list[int] = []
    rest, decode = iter(objects), decoders.strict
    since = None  # from this one on all are decoded loosely
    while True:
        try:
            good.extend(map(decode, rest))  # what came before a bad one stays, and rest stands behind it
            return good, loose if since is None else [*loose, *range(since, len(good))], failed
        except NOT_JSON:
            i = len(good) + len(failed)
        try:
            good.append(decoders.loose(objects[i]))
            loose.append(len(good) - 1)
        except NOT_JSON:
            failed.append(i)
        if since is None and len(loose) > max(MANY, len(good) // 8):
            since, decode = len(good), decoders.loose


def _explain(i: int, text: bytes, domain: Domain) -> BadRow:
    try:
        item = msgspec.json.decode(text)
    except NOT_JSON as err:
        return BadRow(i, text, "not_json", str(err))
    if not isinstance(item, dict):
        return BadRow(i, text, "not_an_object", f"a record is a JSON object, not {type(item).__name__}")
    for reason, wanted in (("not_a_number", NUMBER), ("not_a_text", TEXT)):
        for name, kind in domain.columns.items():
            value = item.get(name)
            if kind == wanted and (not isinstance(value, float | int | str | None) or isinstance(value, bool)):
                return BadRow(i, text, reason, f"{name}={value!r}")
    if item.get("domain", domain.name) != domain.name:
        return BadRow(i, text, "unknown_domain", f"domain={item['domain']!r}: not {domain.name}")
    return BadRow(i, text, "not_a_number", "a number is larger than any float64")


def _texts(values: list[Any]) -> pa.Array:
    try:
        return pa.array(values, pa.string())
    except (pa.ArrowInvalid, pa.ArrowTypeError):
        return pa.array([v if v is None or isinstance(v, str) else json.dumps(v) for v in values], pa.string())


def _nested(values: list[msgspec.Raw]) -> pa.Array:
    """JSON texts; of a string, what it holds, for that is how a table carries nested values."""
    texts = [bytes(value) or None for value in values]
    for i, one in enumerate(texts):
        if one and one.startswith(b'"'):
            texts[i] = msgspec.json.decode(one, type=str).encode()
    return pa.array(texts, pa.binary()).cast(pa.string())


def _without_metric(
    metrics: Sequence[pa.Array],
    index: pa.Array,
    domain: Domain,
    objects: Sequence[bytes],
    bad: list[BadRow],
) -> set[int]:
    """Rows in which no telling column stands at all, not even as null: records of something else."""
    found: set[int] = set()
    if not all(column.null_count for column in metrics):
        return found
    empty = reduce(pc.and_, map(pc.is_null, metrics))
    for at in pc.indices_nonzero(empty).to_pylist():
        i = index[at].as_py()
        item = msgspec.json.decode(objects[i])
        if not any(name in item for name in domain.telling):
            detail = f"has {sorted(item)}: none is a {'metric' if domain.is_wide else 'field'} of {domain.name}"
            bad.append(BadRow(i, objects[i], "no_known_field", detail))
            found.add(at)
    return found
