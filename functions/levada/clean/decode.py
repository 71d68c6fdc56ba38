"""Stream records to tables of source rows: what the producer wrote, column by column, still unvalidated."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import msgspec
import pyarrow as pa

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


@dataclass(frozen=True, slots=True)
class BadRow:
    """A row that was refused while its record was read: row index in the record, payload, reason, detail."""

    row: int
    payload: bytes
    reason: str
    detail: str


@dataclass(slots=True)
class Decoded:
    """One stream record, read."""

    record: StreamRecord
    header: Header | None
    """None for a plain record of another producer."""
    domain: str
    tenant: str
    rows: pa.Table
    """n source rows; a column per source column, ``__row`` (int32) and maybe ``__line``, ``__raw``, ``__reason``."""
    bad: list[BadRow] = field(default_factory=list)
    lines: Sequence[bytes] = ()
    """The rows as they came, where the body was text: what the quarantine keeps."""


def decode(record: StreamRecord, header: Header | None, domains: Mapping[str, Domain], tenant: str) -> Decoded:
    """Read one record's body.

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
        return Decoded(record, header, header.domain, header.tenant, rows)
    lines = packs.inflate(body, header.codec).split(b"\n")
    if lines and not lines[-1].strip():
        lines.pop()
    _check_count(header, len(lines))
    rows, bad = _from_lines(lines, domains[header.domain])
    return Decoded(record, header, header.domain, header.tenant, rows, bad, lines)


def _check_count(header: Header, n: int) -> None:
    if n != header.count:
        raise BadRecordError("pack_count", f"count={header.count}: the body holds {n} rows")


def _plain(record: StreamRecord, domains: Mapping[str, Domain], tenant: str) -> Decoded:
    """One JSON object, an array of objects, or NDJSON; each object names its ``domain``."""
    text = record.data.strip()
    lines = _array_items(text) if text.startswith(b"[") else text.split(b"\n")
    name = _domain_of(lines[0] if lines else b"", domains)
    rows, bad = _from_lines(lines, domains[name])
    return Decoded(record, None, name, tenant, rows, bad, lines)


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


def _from_lines(lines: Sequence[bytes], domain: Domain) -> tuple[pa.Table, list[BadRow]]:
    good: list[dict[str, object]] = []
    index: list[int] = []
    bad: list[BadRow] = []
    decode_line = msgspec.json.Decoder().decode
    wanted = frozenset(domain.metrics)
    for i, line in enumerate(lines):
        try:
            item = decode_line(line)
        except (msgspec.DecodeError, UnicodeDecodeError) as err:
            bad.append(BadRow(i, line, "not_json", str(err)))
            continue
        if not isinstance(item, dict):
            bad.append(BadRow(i, line, "not_an_object", f"a record is a JSON object, not {type(item).__name__}"))
        elif wanted.isdisjoint(item):
            bad.append(BadRow(i, line, "no_known_field", f"has {sorted(item)}: none is a metric of {domain.name}"))
        else:
            good.append(item)
            index.append(i)
    table = pa.table({name: _column([item.get(name) for item in good]) for name in domain.required})
    return table.append_column("__row", pa.array(index, pa.int32())), bad


def _column(values: list[object]) -> pa.Array:
    """Numbers stay numbers when all are; anything mixed becomes the text it was."""
    kinds = {type(v) for v in values} - {type(None)}
    if kinds <= {int, float}:
        try:
            return pa.array(values, pa.float64())
        except (pa.ArrowInvalid, OverflowError):  # an integer that no float64 holds: let the text be judged
            pass
    return pa.array([v if v is None or isinstance(v, str) else json.dumps(v) for v in values], pa.string())
