"""What rollups of the published air quality file must be: one DuckDB query over the file itself."""

# ruff: noqa: S608 - the file and its columns are ours

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import duckdb
import pytest

from levada.domains.air_quality import AIR_QUALITY

SENTINEL = -200.0
EXACT = ("count", "missing", "min", "max", "first", "last")
CLOSE = {"sum": 1e-9, "mean": 1e-9, "stddev": 1e-9, "p50": 0.0101, "p95": 0.0101, "p99": 0.0101}
"""Relative error that is allowed; of quantiles the domain's, and rounding."""


def rollups(file: Path, unit: str) -> dict[tuple[str, str], dict[str, Any]]:
    """(metric, first day) → statistics of every ``day`` or ``month`` of UTC that has rows."""
    metrics = AIR_QUALITY.metrics
    valid = []
    for name, metric in metrics.items():
        number = f"replace(\"{name}\", ',', '.')::DOUBLE"
        low = "'-inf'::DOUBLE" if metric.low is None else repr(metric.low)
        high = "'inf'::DOUBLE" if metric.high is None else repr(metric.high)
        kept = f"CASE WHEN {number} != {SENTINEL} AND {number} BETWEEN {low} AND {high} THEN {number} END"
        valid.append(f"SELECT '{metric.name}' AS metric, moment, {kept} AS v FROM dated")
    query = f"""
        WITH dated AS (
            SELECT *, strptime("Date" || ' ' || "Time", '%d/%m/%Y %H.%M.%S') AS moment
            FROM read_csv('{file}', delim = ';', header = true, all_varchar = true) WHERE "Date" IS NOT NULL
        )
        SELECT metric, strftime(date_trunc('{unit}', moment), '%Y-%m-%d') AS day, count(v) AS count,
            count(*) - count(v) AS missing, fsum(v) AS sum, fsum(v) / count(v) AS mean, stddev_samp(v) AS stddev,
            min(v) AS min, max(v) AS max, arg_min(v, moment) AS first, arg_max(v, moment) AS last,
            quantile_cont(v, 0.5) AS p50, quantile_cont(v, 0.95) AS p95, quantile_cont(v, 0.99) AS p99
        FROM ({" UNION ALL ".join(valid)}) GROUP BY ALL
    """
    found = duckdb.connect().execute(query)
    names = [column[0] for column in found.description or ()]
    rows = [dict(zip(names, row, strict=True)) for row in found.fetchall()]
    return {(row.pop("metric"), row.pop("day")): row for row in rows}


def assert_same(served: Iterable[Mapping[str, Any]], wanted: Mapping[tuple[str, str], Mapping[str, Any]]) -> None:
    """served: rows of ``/v1/rollups``."""
    found = {(row["metric"], row["start"][:10]): row for row in served}
    assert found.keys() == wanted.keys()
    for key, want in wanted.items():
        got = found[key]
        assert {name: got[name] for name in EXACT} == {name: want[name] for name in EXACT}, key
        for name, error in CLOSE.items():
            expected = want[name] if want["count"] or name == "sum" else None
            if name == "sum" and expected is None:
                expected = 0.0
            if expected is None or (isinstance(expected, float) and math.isnan(expected)):
                assert got[name] is None, (key, name)
            else:
                assert got[name] == pytest.approx(expected, rel=error, abs=1e-9), (key, name)
