"""One column of source rows, as whatever a shape needs it, and what may be wrong with a row."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import msgspec
import pyarrow as pa
import pyarrow.compute as pc

from levada.clean import numbers
from levada.clean.shapes import flat
from levada.core import columns
from levada.core.jsontext import NOT_JSON
from levada.domains.declaration import JSON, NUMBER, Domain


@dataclass(frozen=True, slots=True)
class Fault:
    """Rows that are no good for one reason."""

    reason: str
    """Slug."""
    column: str
    """Source column, or several with blanks between."""
    where: pa.Array
    """n booleans without nulls."""
    details: Mapping[int, str] | None = None
    """Row → detail, where it is more than the column's value."""


def column(table: pa.Table, name: str) -> pa.Array:
    """As it came; nulls where the source has no such column."""
    return flat(table, name) if name in table.schema.names else pa.nulls(table.num_rows, pa.float64())


def text(table: pa.Table, name: str, domain: Domain) -> pa.Array:
    """Strings, or a dictionary of strings; null for the domain's marks of a missing value."""
    found = column(table, name)
    kind = found.type
    if pa.types.is_dictionary(kind) and pa.types.is_string(kind.value_type) and not domain.missing:
        return found
    return numbers.marked(found if pa.types.is_string(kind) else found.cast(pa.string()), domain)


def trimmed(table: pa.Table, name: str, domain: Domain) -> pa.Array:
    """n strings without blanks around them, empty where nothing stands."""
    return pc.fill_null(pc.utf8_trim_whitespace(text(table, name, domain).cast(pa.string())), "")


def blank(table: pa.Table, name: str, domain: Domain) -> pa.Array:
    """n booleans: nothing stands there."""
    return pc.equal(trimmed(table, name, domain), "")


def of_kind(table: pa.Table, name: str, kind: str, domain: Domain) -> tuple[pa.Array, Fault | None]:
    """A declared column as text, float64 or JSON text, and the rows in which it is something else."""
    if kind == NUMBER:
        values, wrong = numbers.parse(column(table, name), domain)
        values, _ = numbers.without(values, domain.sentinels)
        return values, Fault("not_a_number", name, wrong)
    texts = trimmed(table, name, domain)
    if kind != JSON:
        return texts, None
    texts = pc.if_else(pc.or_(pc.equal(texts, ""), pc.equal(texts, "null")), pa.scalar(None, pa.string()), texts)
    return texts, Fault("not_json", name, _no_json(texts))


def _no_json(texts: pa.Array) -> pa.Array:
    """n booleans: text that is no JSON value. All are looked at in one go, and one by one only when that fails."""
    found = [text.encode() for text in texts.drop_null().to_pylist()]
    try:
        raw = msgspec.json.decode(b"[" + b",".join(found) + b"]", type=list[msgspec.Raw])
        if len(raw) == len(found) and all(map(bytes.__eq__, map(bytes, raw), found)):
            return columns.zeros(len(texts), pa.bool_())
    except NOT_JSON:
        pass
    return pa.array([one is not None and not _is_json(one) for one in texts.to_pylist()], pa.bool_())


def _is_json(one: str) -> bool:
    try:
        msgspec.json.decode(one)
    except NOT_JSON:
        return False
    return True
