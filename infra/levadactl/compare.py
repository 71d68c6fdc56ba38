"""Two tables of windows side by side: which are missing, which should not be, which differ, and in what."""

from __future__ import annotations

# ruff: noqa: S608 - column names are ours, and the database is in memory
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from levada.core import partials as core
from levada.core.vectors import to_arrow
from levadactl.oracle import KEY, QUANTILES, STATISTICS

EXACT = ("count", "missing", "min", "max", "first", "last")
CLOSE = ("sum", "mean")
"""Sums of floats depend on their order: these may differ in the last digits."""
TOLERANCE = 1e-9
"""Relative to the larger of the two sides and, for sums with cancellation, of count times the largest value."""
EXAMPLES = 5


@dataclass(slots=True, kw_only=True)
class Difference:
    """Expected against actual windows."""

    windows: int
    """Expected ones."""
    found: int
    mismatches: int
    examples: list[dict[str, Any]] = field(default_factory=list)
    """The first few mismatches: the window, what was expected and what was found."""


def compare(expected: pa.Table, actual: pa.Table) -> Difference:
    """Windows by KEY; both tables have KEY and the statistics of ``oracle``, a window stands once in each.

    Deviations and quantiles are compared where ``actual`` has them, quantiles within its ``bin_error``.
    """
    import duckdb

    spread = "bin_error" in actual.schema.names
    shown = (*EXACT, *CLOSE, *(("stddev", *QUANTILES) if spread else ()))
    with duckdb.connect() as db:
        db.register("expected", expected)
        db.register("actual", actual)
        on = " AND ".join(f"e.{name} = a.{name}" for name in KEY)
        differs = " OR ".join(
            [
                "e.domain IS NULL",
                "a.domain IS NULL",
                *(f"e.{name} IS DISTINCT FROM a.{name}" for name in EXACT),
                *(_apart(name) for name in (*CLOSE, *(["stddev"] if spread else []))),
                *(_beyond(name) for name in QUANTILES if spread),
            ]
        )
        names = ", ".join(f"coalesce(e.{name}, a.{name}) AS {name}" for name in KEY)
        sides = ", ".join(f"e.{name} AS expected_{name}, a.{name} AS found_{name}" for name in shown)
        db.execute(
            f"CREATE TABLE wrong AS SELECT {names}, e.domain IS NULL AS surplus, a.domain IS NULL AS absent, {sides} "
            f"FROM expected e FULL JOIN actual a ON {on} WHERE {differs}"
        )
        total = db.execute("SELECT count(*) FROM wrong").fetchone()
        cursor = db.execute(f"SELECT * FROM wrong ORDER BY {', '.join(KEY)} LIMIT {EXAMPLES}")
        columns = [column[0] for column in cursor.description or []]
        examples = [_example(dict(zip(columns, row, strict=True)), shown) for row in cursor.fetchall()]
    return Difference(
        windows=expected.num_rows, found=actual.num_rows, mismatches=int(total[0]) if total else 0, examples=examples
    )


def _apart(name: str) -> str:
    largest = "greatest(abs(e.min), abs(e.max))"
    scale = f"greatest(abs(e.{name}), abs(a.{name}), {largest} * {'e.count' if name == 'sum' else '1'})"
    return (
        f"(e.{name} IS NULL) != (a.{name} IS NULL) OR coalesce(abs(e.{name} - a.{name}) > {TOLERANCE} * {scale}, false)"
    )


def _beyond(name: str) -> str:
    """Further from the true quantile than the error allows; of values of both signs, than it allows for the largest."""
    largest = "greatest(abs(e.min), abs(e.max))"
    scale = f"CASE WHEN e.min < 0 AND e.max > 0 THEN {largest} ELSE abs(e.{name}) END"
    apart = f"coalesce(abs(e.{name} - a.{name}) > a.bin_error * {scale} * (1 + {TOLERANCE}), false)"
    return f"(a.bin_error > 0 AND ((e.{name} IS NULL) != (a.{name} IS NULL) OR {apart}))"


def _example(row: dict[str, Any], shown: Sequence[str]) -> dict[str, Any]:
    key = {name: row[name] for name in KEY}
    if row["surplus"]:
        return {**key, "problem": "not expected", "found": _side(row, "found", shown)}
    if row["absent"]:
        return {**key, "problem": "missing", "expected": _side(row, "expected", shown)}
    return {**key, "problem": "differs", "expected": _side(row, "expected", shown), "found": _side(row, "found", shown)}


def _side(row: dict[str, Any], side: str, shown: Sequence[str]) -> dict[str, Any]:
    return {name: row[f"{side}_{name}"] for name in shown}


def spread(merged: pa.Table) -> pa.Table:
    """``plain`` windows of merged partials with what follows from M2 and bins: stddev, QUANTILES, bin_error."""
    table = plain(merged)
    found = dict(zip(QUANTILES, core.quantiles(merged, list(QUANTILES.values())), strict=True))
    for name, values in {"stddev": core.stddev(merged), **found}.items():
        table = table.append_column(name, to_arrow(values, pa.float64()))
    return table.append_column("bin_error", merged["bin_error"])


def plain(partials: pa.Table, *names: str) -> pa.Table:
    """Partials for DuckDB: texts as texts, times as microseconds, no sum where there is no value."""
    made = {}
    for name in names or (*KEY, *STATISTICS):
        column = partials[name]
        if pa.types.is_dictionary(column.type):
            column = column.cast(pa.string())
        elif pa.types.is_timestamp(column.type):
            column = column.cast(pa.int64())
        made[name] = column
    if not names:
        made["sum"] = pc.if_else(pc.greater(made["count"], 0), made["sum"], pa.scalar(None, pa.float64()))
    return pa.table(made)
