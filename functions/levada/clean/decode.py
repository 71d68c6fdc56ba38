"""Stream records to tables of source rows: what the producer wrote, column by column, still unvalidated."""

from __future__ import annotations

import re
from bisect import bisect_right
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import accumulate, chain

import msgspec
import pyarrow as pa

from levada.clean import json_rows
from levada.clean.bad_row import INDEX, BadRow
from levada.clean.json_open import OPEN
from levada.core import columns, packs
from levada.core.errors import BadRecordError
from levada.core.jsontext import NOT_JSON
from levada.core.keys import UNKNOWN_DOMAIN
from levada.core.kinesis_event import StreamRecord
from levada.core.packs import Header
from levada.domains.declaration import NUMBER, Domain

LINE = "__line"
"""Line of the source file, 1 = its first line."""
RAW = "__raw"
"""The whole line, where it could not be split into fields."""
REASON = "__reason"
"""Why it could not."""
RESERVED = (LINE, RAW, REASON)
REC, ROW = "__rec", "__row"
"""Which record of the batch a row is of, and which row of it: made here, never sent."""


@dataclass(slots=True)
class Decoded:
    """One stream record, or many of one domain, read."""

    domain: str
    tenant: str
    rows: pa.Table
    """n source rows: a column per source column and maybe ``__rec``, ``__row`` (int32), ``__line``, ``__raw``,
    ``__reason``. Without ``__row`` they are rows 0, 1, 2 … of their record."""
    bad: list[BadRow] = field(default_factory=list)
    """Rows that were refused while the record was read."""


@dataclass(frozen=True, slots=True)
class Lines:
    """One stream record that is text, cut into lines that should hold one JSON object each: still to be read."""

    domain: str
    tenant: str
    lines: Sequence[bytes]


def decode(record: StreamRecord, header: Header | None, domains: Mapping[str, Domain], tenant: str) -> Decoded:
    """Read one record by itself, then its lines.

    Raises:
        BadRecordError: the record as a whole cannot be read; its reason is a slug, its detail names the field.
    """
    if header is None:
        found: Unfolded = unfold_plain(record.data, domains, tenant)
    else:
        (found,) = unfold([(header, packs.split(record.data)[1])], domains)
    if isinstance(found, BadRecordError):
        raise found
    if isinstance(found, Decoded):
        return found
    rows, bad = read_lines([(0, found)], domains[found.domain])
    return Decoded(found.domain, found.tenant, rows.drop_columns([REC]), [row for _, row in bad])


Unfolded = Decoded | Lines | BadRecordError
"""A record's rows where they are columns, else its lines, else why it cannot be read as a whole."""


def unfold(packed: Sequence[tuple[Header, bytes]], domains: Mapping[str, Domain]) -> list[Unfolded]:
    """What each of these packs (header, body) holds."""
    arrow = [body for header, body in packed if header.codec == packs.ARROW_ZSTD and header.domain in domains]
    tables = iter(columns.from_all(arrow))
    return [_unfolded(header, body, domains, tables) for header, body in packed]


def _unfolded(
    header: Header, body: bytes, domains: Mapping[str, Domain], tables: Iterator[pa.Table | BadRecordError]
) -> Unfolded:
    try:
        if header.domain not in domains:
            known = ", ".join(sorted(domains))
            raise BadRecordError("unknown_domain", f"domain={header.domain!r}: enabled are {known}")
        if header.codec != packs.ARROW_ZSTD:
            return _lines(header, body)
        rows = next(tables)
        if isinstance(rows, BadRecordError):
            return rows
        _check_count(header, rows.num_rows)
        _check_columns(rows.schema, domains[header.domain])
        return Decoded(header.domain, header.tenant, rows)
    except BadRecordError as err:
        return err


def _lines(header: Header, body: bytes) -> Lines:
    text = packs.inflate(body, header.codec)
    if (n := text.count(b"\n")) > header.count:  # a list of millions of empty lines is larger than they are
        raise BadRecordError("pack_count", f"count={header.count}: the body holds {n} lines")
    lines = text.split(b"\n")
    if lines and not lines[-1].strip():
        lines.pop()
    _check_count(header, len(lines))
    return Lines(header.domain, header.tenant, lines)


def read_lines(found: Sequence[tuple[int, Lines]], domain: Domain) -> tuple[pa.Table, list[tuple[int, BadRow]]]:
    """The lines of many records at once, each line by itself.

    Args:
        found: (index of the record in the batch, its lines), all of this domain.

    Returns:
        (rows with ``__rec`` and ``__row``; record and bad row).
    """
    counts = [len(one.lines) for _, one in found]
    starts = [end - n for n, end in zip(counts, accumulate(counts), strict=True)]
    rows, bad = json_rows.read(list(chain.from_iterable(one.lines for _, one in found)), domain)
    index = rows[INDEX].combine_chunks()
    record = columns.repeat_each([record for record, _ in found], counts)
    row = columns.count_up_each(counts)
    if len(index) < len(row):
        record, row = record.take(index), row.take(index)
    refused = []
    for one in bad:
        at = bisect_right(starts, one.row) - 1
        refused.append((found[at][0], replace(one, row=one.row - starts[at])))
    return rows.drop_columns([INDEX]).append_column(REC, record).append_column(ROW, row), refused


@dataclass(slots=True)
class Singles:
    """Plain records that were taken for one JSON object each. Records are known by their index in what was given."""

    rows: list[tuple[Decoded, Sequence[int]]]
    """Rows of one domain with ``__index``: index into the list beside it, which holds the records' indices."""
    bad: list[tuple[BadRow, str]]
    """Records that are no rows, with the domain that refused them."""
    others: list[int]
    """Records of another form (arrays, several lines, no telling domain): ``decode`` finds out what they are."""


def singles(datas: Sequence[bytes], domains: Mapping[str, Domain], tenant: str) -> Singles:
    """Read plain records together, as if each held one JSON object."""
    by_domain, others = _by_domain(datas, domains)
    out = Singles([], [], others)
    for name, mine in by_domain.items():
        own = datas if len(mine) == len(datas) else [datas[i] for i in mine]
        rows, bad = json_rows.read(own, domains[name], own=True)
        for row in bad:
            i = mine[row.row]
            if row.reason in AMBIGUOUS and (datas[i].lstrip()[:1] == b"[" or b"\n" in datas[i].strip()):
                out.others.append(i)
            else:
                known = UNKNOWN_DOMAIN if row.reason in AMBIGUOUS else name
                out.bad.append((BadRow(i, row.payload, row.reason, row.detail), known))
        out.rows.append((Decoded(name, tenant, rows), mine))
    return out


AMBIGUOUS = ("not_json", "not_an_object", "unknown_domain")
_NAMED = re.compile(rb'"domain"\s*:\s*"([^"\\]*)"')


def _by_domain(datas: Sequence[bytes], domains: Mapping[str, Domain]) -> tuple[Mapping[str, Sequence[int]], list[int]]:
    """A guess from the bytes; the decoder checks it against the object's own ``domain``."""
    if len(domains) == 1:
        return {next(iter(domains)): range(len(datas))}, []
    found: dict[str, list[int]] = {}
    others = []
    for i, data in enumerate(datas):
        match = _NAMED.search(data)
        name = match[1].decode(errors="replace") if match else ""
        if name in domains:
            found.setdefault(name, []).append(i)
        else:
            others.append(i)
    return found, others


def _check_count(header: Header, n: int) -> None:
    if n != header.count:
        raise BadRecordError("pack_count", f"count={header.count}: the body holds {n} rows")


def _check_columns(schema: pa.Schema, domain: Domain) -> None:
    """Whoever writes Arrow may write any type: what cannot become text or a number must not stop the whole batch."""
    seen = _seen.get(id(domain))
    if seen is not None and schema.equals(seen[1]):
        return
    names = schema.names if domain.open_metrics else domain.columns
    for name in (*names, *RESERVED, REC, ROW, OPEN):
        wrong = _wrong_with(schema, name, domain)
        if wrong:
            raise BadRecordError("pack_columns", f"{name}: {wrong}")
    _seen[id(domain)] = domain, schema  # keeps the domain alive, so that its id stays its own


_seen: dict[int, tuple[Domain, pa.Schema]] = {}
"""By domain: the schema that passed last, nearly always the next one's too."""


def _wrong_with(schema: pa.Schema, name: str, domain: Domain) -> str | None:
    found = [schema.field(i).type for i in schema.get_all_field_indices(name)]
    if not found:
        return "stands beside __reason" if name == RAW and REASON in schema.names else None
    if len(found) > 1:
        return f"stands {len(found)} times"
    kind, types = found[0], pa.types
    if name in (REC, ROW, OPEN):
        return "is a name of our own"
    if name == LINE:
        return None if types.is_integer(kind) else f"is {kind}: must be a whole number"
    if name in (RAW, REASON):
        return None if types.is_string(kind) else f"is {kind}: must be text"
    if types.is_dictionary(kind):
        kind = kind.value_type
    text = types.is_string(kind) or types.is_large_string(kind) or types.is_null(kind)
    number = types.is_integer(kind) or types.is_floating(kind) or types.is_decimal(kind) or types.is_boolean(kind)
    if text or number or (types.is_temporal(kind) and domain.columns.get(name) != NUMBER):
        return None
    if name not in domain.columns:
        return None  # open columns hold whatever they like
    return f"is {kind}: must be text or a number"


def unfold_plain(data: bytes, domains: Mapping[str, Domain], tenant: str) -> Lines:
    """A record of another producer: one JSON object, an array of objects, or NDJSON; the first object names the
    ``domain``. Raises BadRecordError."""
    text = data.strip()
    lines = _array_items(text) if text.startswith(b"[") else text.split(b"\n")
    if len(lines) > packs.MAX_PACK_ROWS:
        raise BadRecordError("pack_rows", f"a record of {len(lines)} lines: at most {packs.MAX_PACK_ROWS}")
    name = _domain_of(lines[0] if lines else b"", domains)
    return Lines(name, tenant, lines)


def _array_items(text: bytes) -> list[bytes]:
    try:
        return [bytes(item) for item in msgspec.json.decode(text, type=list[msgspec.Raw])]
    except NOT_JSON as err:
        raise BadRecordError("not_json", str(err)) from err


def _domain_of(line: bytes, domains: Mapping[str, Domain]) -> str:
    try:
        first = msgspec.json.decode(line)
    except NOT_JSON as err:
        raise BadRecordError("not_json", str(err)) from err
    if not isinstance(first, dict):
        raise BadRecordError("not_an_object", f"a record is a JSON object, not {type(first).__name__}")
    name = first.get("domain", next(iter(domains)) if len(domains) == 1 else UNKNOWN_DOMAIN)
    if not isinstance(name, str) or name not in domains:
        raise BadRecordError("unknown_domain", f"domain={name!r}: enabled are {', '.join(sorted(domains))}")
    return name
