"""Answers as JSON and CSV: exact numbers, no NaN, and no cell that a spreadsheet would evaluate."""

from __future__ import annotations

import csv
import io
import json
import math
from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any

import pyarrow as pa

from levada.core import distinct, partials
from levada.core.instants import instant
from levada.core.records import SERIES
from levada.query.errors import ParameterError

JSON = "application/json"
CSV = "text/csv"
FORMATS = {"json": JSON, "csv": CSV}
QUANTILES = {"p50": 0.5, "p95": 0.95, "p99": 0.99}
"""Within the domain's quantile_error of the true ones."""
SUCCESS_RATE = "success_rate"
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
    *QUANTILES,
    "distinct",
    SUCCESS_RATE,
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


def windows(
    rows: pa.Table, names: Sequence[str] = WINDOW_COLUMNS, *, rates: Collection[str] = ()
) -> list[dict[str, Any]]:
    """Windows (WINDOW) as values of these of WINDOW_COLUMNS; what has no finite value is None.

    Args:
        rates: metrics whose values are 1 for a success and 0 for none, which makes a rate of sum and count; see
            ``Domain.rates``.
    """
    starts = rows["window_start"].cast(pa.int64()).to_pylist()
    widths = rows["width_s"].to_pylist()
    columns: dict[str, Sequence[Any]] = {
        "start": [instant(start_us) for start_us in starts],
        "end": [instant(start_us + width * 1_000_000) for start_us, width in zip(starts, widths, strict=True)],
        "stddev": partials.stddev(rows).tolist(),
        "distinct": distinct.estimates(rows["distinct_sketch"]),
        SUCCESS_RATE: _rates(rows, rates),
    }
    found = partials.quantiles(rows, list(QUANTILES.values()))
    columns |= {name: values.tolist() for name, values in zip(QUANTILES, found, strict=True)}
    columns |= {name: rows[name].to_pylist() for name in names if name not in columns}
    listed = [columns[name] for name in names]
    return [dict(zip(names, map(finite, row), strict=True)) for row in zip(*listed, strict=True)]


def _rates(rows: pa.Table, rates: Collection[str]) -> list[float | None]:
    """Successes of how many, 0 to 1; None where the metric is no rate, or nothing was counted."""
    found = (rows[name].to_pylist() for name in ("metric", "sum", "count"))
    return [total / n if n and metric in rates else None for metric, total, n in zip(*found, strict=True)]


def finite(value: Any) -> Any:
    """JSON has no NaN and no infinity: None in their place."""
    return None if isinstance(value, float) and not math.isfinite(value) else value


def to_json(answer: Mapping[str, Any]) -> str:
    """Floats as the shortest text that reads back as the same number."""
    return json.dumps(answer, ensure_ascii=False, allow_nan=False, separators=(",", ":"))


def to_csv(rows: Iterable[Mapping[str, Any]], columns: Sequence[str], *, texts: Collection[str] = TEXT_COLUMNS) -> str:
    """RFC 4180 with a header; None is an empty cell.

    Args:
        texts: columns in which a stranger's text may stand; a spreadsheet must not evaluate it.
    """
    sink = io.StringIO()
    writer = csv.writer(sink, lineterminator="\r\n")
    writer.writerow(columns)
    writer.writerows([[_cell(row[name], name in texts) for name in columns] for row in rows])
    return sink.getvalue()


def _cell(value: Any, text: bool) -> Any:
    if text and isinstance(value, str) and value.startswith(EVALUATED):
        return "'" + value
    if isinstance(value, bool):
        return str(value).lower()
    return value
