"""Answers as JSON and CSV: exact numbers, no NaN, and no cell that a spreadsheet would evaluate."""

from __future__ import annotations

import csv
import io
import json
import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import pyarrow as pa

from levada.core.instants import instant
from levada.core.records import SERIES
from levada.query.errors import ParameterError

JSON = "application/json"
CSV = "text/csv"
FORMATS = {"json": JSON, "csv": CSV}
WINDOW_COLUMNS = (
    *SERIES,
    "start",
    "end",
    "width_s",
    "count",
    "missing",
    "sum",
    "mean",
    "stddev",
    "min",
    "max",
    "first",
    "last",
    "late",
    "revisions",
)
TEXT_COLUMNS = frozenset(SERIES)
"""What a stranger may have named; all other columns are numbers and times of ours."""
EVALUATED = ("=", "+", "-", "@", "\t", "\r")


def media_type(format_name: str | None, accept: str | None) -> str:
    """``application/json`` or ``text/csv``: the format parameter decides, else whether Accept prefers CSV."""
    if format_name is not None:
        if format_name not in FORMATS:
            raise ParameterError("format", format_name, f"one of {', '.join(FORMATS)}")
        return FORMATS[format_name]
    wanted = {JSON: 0.0, CSV: 0.0}
    for part in (accept or "").lower().split(","):
        name, *options = (piece.strip() for piece in part.split(";"))
        if name in wanted:
            wanted[name] = max(wanted[name], _quality(options))
    return CSV if wanted[CSV] > wanted[JSON] else JSON


def _quality(options: Iterable[str]) -> float:
    for option in options:
        if option.startswith("q="):
            try:
                return float(option[2:])
            except ValueError:
                return 0.0
    return 1.0


def windows(rows: pa.Table) -> list[dict[str, Any]]:
    """Windows (WINDOW) as values of WINDOW_COLUMNS; what has no finite value is None."""
    out = []
    starts = rows["window_start"].cast(pa.int64()).to_pylist()
    names = [n for n in WINDOW_COLUMNS if n not in ("start", "end", "stddev")]
    for start_us, row in zip(starts, rows.select([*names, "m2"]).to_pylist(), strict=True):
        count, m2 = row["count"], row["m2"]  # null where numbers were too large to add
        row["start"], row["end"] = instant(start_us), instant(start_us + row["width_s"] * 1_000_000)
        row["stddev"] = math.sqrt(m2 / (count - 1)) if count > 1 and m2 is not None else None
        out.append({name: _finite(row[name]) for name in WINDOW_COLUMNS})
    return out


def _finite(value: Any) -> Any:
    return None if isinstance(value, float) and not math.isfinite(value) else value


def to_json(answer: Mapping[str, Any]) -> str:
    """Floats as the shortest text that reads back as the same number."""
    return json.dumps(answer, ensure_ascii=False, allow_nan=False, separators=(",", ":"))


def to_csv(rows: Iterable[Mapping[str, Any]], columns: Sequence[str]) -> str:
    """RFC 4180 with a header; None is an empty cell."""
    sink = io.StringIO()
    writer = csv.writer(sink, lineterminator="\r\n")
    writer.writerow(columns)
    writer.writerows([[_cell(name, row[name]) for name in columns] for row in rows])
    return sink.getvalue()


def _cell(name: str, value: Any) -> Any:
    if name in TEXT_COLUMNS and isinstance(value, str) and value.startswith(EVALUATED):
        return "'" + value
    return value
