"""A file cut in two by time: what a model may learn from, and what comes after it."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from levada.clean import times
from levada.clean.decode import LINE
from levada.clean.source import text
from levada.domains.declaration import Domain
from levada.ingest import readers, texts
from levada.ingest.content import CSV, PARQUET, survey
from levada.ingest.files import BLOCK_BYTES, BLOCK_ROWS
from levada.ingest.ledger import Plan
from levada.ingest.parts import Part
from levadactl import replaying
from levadactl.errors import LevadactlError

AT = "__at"
SIDES = {"train": f"{AT} < {{until}}", "stream": f"{AT} >= {{until}}", "undated": f"{AT} IS NULL"}
"""Which rows stand in which file."""


@dataclass(slots=True)
class Split:
    """``rows`` = ``train`` + ``stream`` + ``undated`` + ``refused``."""

    rows: int = 0
    train: int = 0
    """Rows before the cut."""
    stream: int = 0
    """Rows at the cut and after it."""
    undated: int = 0
    """Rows without a time that can be read: in neither."""
    refused: int = 0
    """Lines that are no rows."""
    empty: int = 0
    """Lines of nothing but separators."""
    files: list[str] = field(default_factory=list)


def split(
    path: Path, domain: Domain, until_us: int, folder: Path, *, on_rows: Callable[[float], None] = lambda _: None
) -> Split:
    """Write ``<name>.train.csv``, ``.train.parquet``, ``.stream.csv`` …: each in the order of time, equal times as they
    stood. Files of any size: what does not fit into memory is sorted on the disk.

    Args:
        until_us: the cut, microseconds since 1970; rows of exactly this time are the stream's.
        on_rows: told how many rows were read.

    Raises BadRecordError when the file as a whole cannot be read, LevadactlError for JSON.
    """
    with path.open("rb") as file:
        content = survey(file)
    kind = texts.format_of(path.name, content, domain.encoding)
    if kind not in (CSV, PARQUET):
        raise LevadactlError(f"{path}: split reads CSV and Parquet")
    done = Split()
    folder.mkdir(parents=True, exist_ok=True)
    base = folder / path.name.split(".")[0]
    with TemporaryDirectory(prefix=".split-", dir=folder) as scratch:
        rows = Path(scratch) / "rows.parquet"
        refused = Path(scratch) / "refused.txt"
        plan = Plan(kind, content.compression, BLOCK_BYTES, BLOCK_ROWS, replaying.PACK_ROWS)
        parts, separator = replaying.parts_of(path, content, domain, plan), ","
        if kind == CSV:
            separator = readers.top_of(content, domain).dialect.delimiter
        _collect(parts, domain, rows, refused, done, on_rows)
        if done.rows > done.refused:
            _write(rows, base, separator, until_us, Path(scratch), done)
        if done.refused:
            shutil.move(refused, f"{base}.refused.txt")
            done.files.append(f"{base}.refused.txt")
    return done


def _collect(
    parts: Iterator[Part], domain: Domain, rows: Path, refused: Path, done: Split, on_rows: Callable[[float], None]
) -> None:
    """All rows with their time to one file, lines that are none to another."""
    writer: pq.ParquetWriter | None = None
    with refused.open("w", encoding="utf-8") as lines:
        for part in parts:
            done.rows += part.good + len(part.bad)
            done.empty += part.empty
            done.refused += len(part.bad)
            lines.writelines(f"{bad.raw}\n" for bad in part.bad)
            if part.rows is not None and part.rows.num_rows:
                table = part.rows.combine_chunks()
                at = times.parse([text(table, name, domain) for name in domain.time.columns], domain.time)[0]
                table = table.append_column(AT, at.cast(pa.int64()))
                writer = writer or pq.ParquetWriter(rows, table.schema, compression="zstd")
                writer.write_table(table.cast(writer.schema))
            on_rows(part.good + len(part.bad))
    if writer is not None:
        writer.close()


def _write(rows: Path, base: Path, separator: str, until_us: int, scratch: Path, done: Split) -> None:
    import duckdb

    with duckdb.connect(config={"temp_directory": str(scratch), "preserve_insertion_order": True}) as db:
        for side, where in SIDES.items():
            chosen = f"FROM read_parquet({_quoted(rows)}) WHERE {where.format(until=until_us)}"
            n = int(_one(db, f"SELECT count(*) {chosen}"))
            setattr(done, side, n)
            if side == "undated" and not n:
                continue
            ordered = f"SELECT * EXCLUDE ({AT}, {LINE}) {chosen} ORDER BY {AT}, {LINE}"
            csv, parquet = f"{base}.{side}.csv", f"{base}.{side}.parquet"
            db.execute(f"COPY ({ordered}) TO {_quoted(csv)} (FORMAT csv, HEADER, DELIMITER {_quoted(separator)})")
            db.execute(f"COPY ({ordered}) TO {_quoted(parquet)} (FORMAT parquet, COMPRESSION zstd)")
            done.files += [csv, parquet]


def _one(db: Any, query: str) -> Any:
    row = db.execute(query).fetchone()
    assert row is not None  # noqa: S101 - an aggregate without GROUP BY has one row
    return row[0]


def _quoted(text: object) -> str:
    return "'" + str(text).replace("'", "''") + "'"
