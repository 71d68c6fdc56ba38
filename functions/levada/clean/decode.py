"""Stream records to tables of source rows: what the producer wrote, column by column, still unvalidated."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

import msgspec
import pyarrow as pa

from levada.clean import json_rows
from levada.clean.json_rows import INDEX, BadRow
from levada.core import columns, packs
from levada.core.errors import BadRecordError
from levada.core.keys import UNKNOWN_DOMAIN
from levada.core.kinesis_event import StreamRecord
from levada.core.packs import Header
from levada.domains.declaration import Domain

LINE = "__line"
"""Line of the source file, 1 = its first line."""
RAW = "__raw"
"""The whole line, where it could not be split into fields."""
REASON = "__reason"
"""Why it could not."""
RESERVED = (LINE, RAW, REASON)


@dataclass(slots=True)
class Decoded:
    """One stream record, or all single-event records of a batch and domain, read."""

    domain: str
    tenant: str
    rows: pa.Table
    """n source rows; a column per source column, ``__row`` (int32) and maybe ``__rec``, ``__line``, ``__raw``,
    ``__reason``."""
    bad: list[BadRow] = field(default_factory=list)
    """Rows that were refused while the record was read."""
    lines: Sequence[bytes] = ()
    """The rows as they came, where the body was text: what the quarantine keeps."""


def decode(record: StreamRecord, header: Header | None, domains: Mapping[str, Domain], tenant: str) -> Decoded:
    """Read one record's body; header: its pack's, None for a plain record of another producer.

    Raises:
        BadRecordError: the record as a whole cannot be read; its reason is a slug, its detail names the field.
    """
    if header is None:
        return _plain(record, domains, tenant)
    if header.domain not in domains:
        raise BadRecordError("unknown_domain", f"domain={header.domain!r}: enabled are {', '.join(sorted(domains))}")
    body = packs.split(record.data)[1]
    if header.codec == packs.ARROW_ZSTD:
        rows = columns.from_bytes(body)
        _check_count(header, rows.num_rows)
        rows = rows.append_column("__row", pa.array(range(rows.num_rows), pa.int32()))
        return Decoded(header.domain, header.tenant, rows)
    lines = packs.inflate(body, header.codec).split(b"\n")
    if lines and not lines[-1].strip():
        lines.pop()
    _check_count(header, len(lines))
    return _rows(lines, domains[header.domain], header.tenant)


@dataclass(slots=True)
class Singles:
    """Plain records that were taken for one JSON object each. Records are known by their index in what was given."""

    rows: list[tuple[Decoded, list[int]]]
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
        rows, bad = json_rows.read([datas[i] for i in mine], domains[name], own=True)
        for row in bad:
            i = mine[row.row]
            if row.reason in AMBIGUOUS and (datas[i].lstrip()[:1] == b"[" or b"\n" in datas[i].strip()):
                out.others.append(i)
            else:
                known = UNKNOWN_DOMAIN if row.reason in AMBIGUOUS else name
                out.bad.append((replace(row, row=i), known))
        out.rows.append((Decoded(name, tenant, rows), mine))
    return out


AMBIGUOUS = ("not_json", "not_an_object", "unknown_domain")
_NAMED = re.compile(rb'"domain"\s*:\s*"([^"\\]*)"')


def _by_domain(datas: Sequence[bytes], domains: Mapping[str, Domain]) -> tuple[dict[str, list[int]], list[int]]:
    """A guess from the bytes; the decoder checks it against the object's own ``domain``."""
    if len(domains) == 1:
        return {next(iter(domains)): list(range(len(datas)))}, []
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


def _rows(lines: Sequence[bytes], domain: Domain, tenant: str) -> Decoded:
    rows, bad = json_rows.read(lines, domain)
    return Decoded(
        domain.name, tenant, rows.rename_columns(["__row" if n == INDEX else n for n in rows.schema.names]), bad, lines
    )


def _plain(record: StreamRecord, domains: Mapping[str, Domain], tenant: str) -> Decoded:
    """One JSON object, an array of objects, or NDJSON; the first object names the ``domain``."""
    text = record.data.strip()
    lines = _array_items(text) if text.startswith(b"[") else text.split(b"\n")
    name = _domain_of(lines[0] if lines else b"", domains)
    return _rows(lines, domains[name], tenant)


def _array_items(text: bytes) -> list[bytes]:
    try:
        return [bytes(item) for item in msgspec.json.decode(text, type=list[msgspec.Raw])]
    except msgspec.DecodeError as err:
        raise BadRecordError("not_json", str(err)) from err


def _domain_of(line: bytes, domains: Mapping[str, Domain]) -> str:
    try:
        first = msgspec.json.decode(line)
    except (msgspec.DecodeError, UnicodeDecodeError) as err:
        raise BadRecordError("not_json", str(err)) from err
    if not isinstance(first, dict):
        raise BadRecordError("not_an_object", f"a record is a JSON object, not {type(first).__name__}")
    name = first.get("domain", next(iter(domains)) if len(domains) == 1 else UNKNOWN_DOMAIN)
    if not isinstance(name, str) or name not in domains:
        raise BadRecordError("unknown_domain", f"domain={name!r}: enabled are {', '.join(sorted(domains))}")
    return name
