"""Loading files in stack tests: upload, wait until nothing is under way, look at what silver and quarantine hold."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from levada.core import parquet
from levada.core.records import SERIES
from levadactl.loading import TENANT, Lake, Load, sha256_of, upload
from levadactl.places import Place

DOMAIN = "air_quality"


def load(place: Place, file: Path, *, name: str | None = None, domain: str = DOMAIN) -> dict[str, Any]:
    """Upload a file and wait until its last row is in its window. Returns its ledger."""
    lake, content = Lake.of(place), sha256_of(file)
    known = lake.ledger(domain, TENANT, content)
    key = upload(place, file, domain=domain, name=name)
    return Load(lake, place, domain, content, key).wait(known=known)


def source_of(file: Path) -> str:
    """Beginning of the source of every pack of a file."""
    return f"file/{DOMAIN}/{TENANT}/{sha256_of(file)[:32]}#"


def rows_of(place: Place, files: Sequence[Path], prefix: str = f"silver/domain={DOMAIN}/") -> list[pa.Table]:
    """For each file all rows under prefix that came from it; texts as texts."""
    tables = []
    for _, body in Lake.of(place).bodies(prefix):
        rows = parquet.from_bytes(body)
        for i, field in enumerate(rows.schema):
            if pa.types.is_dictionary(field.type):
                rows = rows.set_column(i, field.name, rows.column(i).cast(pa.string()))
        tables.append(rows)
    table = pa.concat_tables(tables)
    return [table.filter(pc.starts_with(table["source"], source_of(file))) for file in files]


def canonical(rows: pa.Table) -> pa.Table:
    """What a measurement says, without where it came from; sorted, so that equal sets are equal tables."""
    names = ["time", *SERIES, "value", "quality"]
    return rows.select(names).sort_by([(name, "ascending") for name in ("series", "metric", "time")]).combine_chunks()
