"""Where the oracle's text comes from: a file as it was published, or the raw payloads that bronze keeps."""

# ruff: noqa: S608 - every name and literal that goes into a query is quoted here, and the database is in memory

from __future__ import annotations

import csv
import gzip
import io
import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from levada.core import columns, packs
from levada.core.errors import BadRecordError
from levada.core.redrive import root_of
from levada.domains.declaration import Domain
from levadactl.errors import LevadactlError
from levadactl.oracle import AT, REFUSED, SHIFT, TENANT, Truth, answer

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

REASONS = {"TOO MANY COLUMNS": "too_many_fields", "INVALID ENCODING": "not_utf8"}
"""DuckDB's words for a line that it cannot read, in ours."""
SPARE_COLUMNS = 16
"""Room for empty fields that a line has beyond those of the header line."""
NO_TEXT = "\x01"
"""Stands in no file, so that an empty field is an empty text."""
COMPRESSED = (".gz", ".zst")
JSON_LINES = (".ndjson", ".jsonl")


class SourceError(LevadactlError):
    """The file is not one of this domain; the message names what is missing."""


def of_file(path: Path, domain: Domain, *, tenant: str = "default", latest_us: int | None = None) -> Truth:
    """The truth about a CSV, NDJSON or Parquet file (the first two also as ``.gz`` or ``.zst``).

    Raises SourceError when it has not the domain's columns, OSError when it cannot be read.
    """
    import duckdb

    with duckdb.connect() as db:
        kind = path.with_suffix("").suffix if path.suffix in COMPRESSED else path.suffix
        if kind == ".parquet":
            _any_table(db, f"read_parquet('{_quoted(path)}')", domain, path)
        elif kind in JSON_LINES:
            _any_table(db, f"read_json('{_quoted(path)}', format='newline_delimited')", domain, path)
        else:
            _csv(db, path, domain)
        nothing = " AND ".join(f"coalesce(trim({_column(name)}), '') = ''" for name in domain.required)
        empty = db.execute(f"SELECT count(*) FROM read WHERE {REFUSED} IS NULL AND {nothing}").fetchone()
        db.execute(
            f"CREATE VIEW source AS SELECT *, '{_quoted(tenant)}' AS {TENANT} FROM read "
            f"WHERE {REFUSED} IS NOT NULL OR NOT ({nothing})"
        )
        return answer(db, domain, empty=int(empty[0]) if empty else 0, latest_us=latest_us)


def _csv(db: DuckDBPyConnection, path: Path, domain: Domain) -> None:
    """Lines split at the header's separator. A line may end with fewer or more empty fields than the header line."""
    names, delimiter = _header(path, domain)
    named = max(i for i, name in enumerate(names, 1) if name)
    wide = len(names) + SPARE_COLUMNS
    kinds = ", ".join(f"'c{i}': 'VARCHAR'" for i in range(wide))
    wanted = ", ".join(f"c{names.index(name)} AS {_column(name)}" for name in domain.required)
    behind = " OR ".join(["false", *(f"coalesce(trim(c{i}), '') != ''" for i in range(len(names), wide))])
    nothing = " AND ".join(f"coalesce(trim(c{i}), '') = ''" for i in range(wide))
    cases = " ".join(f"WHEN '{theirs}' THEN '{ours}'" for theirs, ours in REASONS.items())
    nulls = ", ".join(f"NULL::VARCHAR AS {_column(name)}" for name in domain.required)
    # With padding a field that is not there is NULL; nullstr keeps an empty one apart from it.
    db.execute(
        f"""
        CREATE TABLE lines AS SELECT row_number() OVER () AS {AT}, *
        FROM read_csv('{_quoted(path)}', columns={{{kinds}}}, delim='{delimiter}', quote='"', escape='"', header=true,
            auto_detect=false, store_rejects=true, parallel=false, null_padding=true, nullstr='{NO_TEXT}');
        CREATE VIEW read AS
        SELECT {AT}, CASE WHEN {nothing} THEN NULL WHEN c{named - 1} IS NULL THEN 'too_few_fields'
            WHEN {behind} THEN 'too_many_fields' END AS {REFUSED}, {wanted} FROM lines
        UNION ALL
        SELECT line, CASE min(error_type::VARCHAR) {cases} ELSE 'not_csv' END, {nulls} FROM reject_errors GROUP BY line
        """
    )


def _header(path: Path, domain: Domain) -> tuple[list[str], str]:
    with _open(path) as file:
        line = file.readline()
    for delimiter in domain.delimiters:
        names = [name.strip() for name in next(csv.reader([line], delimiter=delimiter), [])]
        if set(domain.required) <= set(names):
            return names, delimiter
    raise SourceError(f"{path}: its first line has not the columns of {domain.name}: {', '.join(domain.required)}")


def _open(path: Path) -> io.TextIOBase:
    if path.suffix == ".gz":
        return gzip.open(path, "rt", encoding="utf-8-sig", errors="replace")
    if path.suffix == ".zst":
        import zstandard

        return io.TextIOWrapper(
            zstandard.ZstdDecompressor().stream_reader(path.open("rb")), encoding="utf-8-sig", errors="replace"
        )
    return path.open(encoding="utf-8-sig", errors="replace", newline="")


def _any_table(db: DuckDBPyConnection, relation: str, domain: Domain, path: Path) -> None:
    there = [row[0] for row in db.execute(f"DESCRIBE SELECT * FROM {relation}").fetchall()]
    if missing := [name for name in domain.required if name not in there]:
        raise SourceError(f"{path}: has not the columns {', '.join(missing)} of {domain.name}")
    wanted = ", ".join(f"{_column(name)}::VARCHAR AS {_column(name)}" for name in domain.required)
    positions = f"row_number() OVER () AS {AT}, NULL::VARCHAR AS {REFUSED}"
    db.execute(f"CREATE TABLE read AS SELECT {positions}, {wanted} FROM {relation}")


@dataclass(frozen=True, slots=True)
class RawRecord:
    """One record of the raw stream, as bronze keeps it."""

    shard: str
    sequence: str
    """Padded to 56 digits."""
    tenant: str
    payload: bytes


def read_bronze(objects: Iterable[bytes]) -> Iterator[RawRecord]:
    """The records of bronze objects (Parquet bytes)."""
    for body in objects:
        table = pq.read_table(pa.BufferReader(body), columns=["shard", "sequence", "tenant", "payload"])
        for row in table.to_pylist():
            yield RawRecord(**row)


def of_bronze(records: Iterable[RawRecord], domain: Domain, *, latest_us: int | None = None) -> Truth:
    """The truth about the distinct packs and plain records of one domain; those that came twice count once."""
    import duckdb

    parts = [_shifted(_rows(record, domain), record) for record in distinct(records)]
    rows = pa.concat_tables(parts) if parts else _table([], domain, "")
    rows = rows.append_column(AT, pa.array(range(rows.num_rows), pa.int64()))
    with duckdb.connect() as db:
        db.register("source", rows)
        return answer(db, domain, empty=0, latest_us=latest_us)


def distinct(records: Iterable[RawRecord]) -> list[RawRecord]:
    """Each pack and plain record once, and of what was redriven the root alone, or its latest attempt without one.

    A root in bronze was read as a whole: the rows of it that were refused then are judged again with all others.
    """
    first: dict[tuple[str, int], RawRecord] = {}
    redriven: dict[tuple[str, int, int], tuple[int, RawRecord]] = {}
    for record in sorted(records, key=lambda r: (r.shard, r.sequence)):
        source, position = _identity(record)
        root = root_of(source, position, 0)
        if not root.attempt:
            first.setdefault((source, position), record)
        elif root.attempt > redriven.get((root.source, root.position, root.row), (0, record))[0]:
            redriven[root.source, root.position, root.row] = (root.attempt, record)
    return [*first.values(), *(record for root, (_, record) in redriven.items() if root[:2] not in first)]


def _identity(record: RawRecord) -> tuple[str, int]:
    if packs.is_pack(record.payload):
        header = packs.split(record.payload)[0]
        return header.source, header.position
    return f"{record.shard}/{record.sequence}", 0


def _rows(record: RawRecord, domain: Domain) -> pa.Table:
    """The domain's columns of one record as text."""
    if not packs.is_pack(record.payload):
        return _table(list(_plain(record.payload)), domain, record.tenant)
    header, body = packs.split(record.payload)
    if header.codec != packs.ARROW_ZSTD:
        lines = packs.inflate(body, header.codec).split(b"\n")
        return _table([_item(line) for line in lines if line.strip()], domain, header.tenant)
    found = columns.from_bytes(body)
    n = found.num_rows

    def text(name: str) -> pa.ChunkedArray | pa.Array:
        return found[name].cast(pa.string()) if name in found.column_names else pa.nulls(n, pa.string())

    made = {name: text(name) for name in domain.required}
    # a line that could not be split carries its reason: "too_few_fields: 3 of 17"
    reason = pc.list_element(pc.split_pattern(text("__reason"), ":", max_splits=1), 0)
    return pa.table({**made, REFUSED: reason, TENANT: pa.repeat(pa.scalar(header.tenant), n)})


def _shifted(rows: pa.Table, record: RawRecord) -> pa.Table:
    """With what the pack's header says its times are moved by."""
    extra = packs.split(record.payload)[0].extra if packs.is_pack(record.payload) else None
    shift_us = int((extra or {}).get("shift_us", 0))
    return rows.append_column(SHIFT, pa.array([shift_us] * rows.num_rows, pa.int64()))


def _plain(payload: bytes) -> Iterator[Any]:
    text = payload.strip()
    if text.startswith(b"["):
        yield from json.loads(text)
    else:
        yield from (_item(line) for line in text.split(b"\n"))


def _item(line: bytes) -> Any:
    try:
        return json.loads(line, parse_constant=_no_constant)
    except ValueError:
        return BadRecordError("not_json")


def _no_constant(name: str) -> Any:
    raise ValueError(f"{name} is not JSON")


def _table(items: list[Any], domain: Domain, tenant: str) -> pa.Table:
    reasons = [_fault(item, domain) for item in items]
    made = {
        name: pa.array([_text_of(item, name) for item in items], pa.string())
        for name in domain.required
    }  # fmt: skip
    n = len(items)
    return pa.table({**made, REFUSED: pa.array(reasons, pa.string()), TENANT: pa.array([tenant] * n, pa.string())})


def _fault(item: Any, domain: Domain) -> str | None:
    if isinstance(item, BadRecordError):
        return item.reason
    if not isinstance(item, dict):
        return "not_an_object"
    return "no_known_field" if set(domain.metrics).isdisjoint(item) else None


def _text_of(item: Any, name: str) -> str | None:
    value = item.get(name) if isinstance(item, dict) else None
    return value if value is None or isinstance(value, str) else json.dumps(value)


def _column(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'


def _quoted(value: Path | str) -> str:
    return str(value).replace("'", "''")
