"""What would change: windows and rows of each day as they are, and as bronze makes them now."""

from __future__ import annotations

# ruff: noqa: S608 - column names are ours, and the database is in memory
import hashlib
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from levada.core.partials import merge
from levadactl.compare import CLOSE, EXACT, TOLERANCE, plain, spread
from levadactl.oracle import KEY, QUANTILES

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

EXAMPLES = 5
SHOWN = (*EXACT, *CLOSE, "stddev", *QUANTILES)
APART = (*EXACT, "bin_error")
"""Statistics that must be the same; the others may differ in the last digits."""


@dataclass(slots=True, kw_only=True)
class Rows:
    """Rows of silver or events, and a sum over what stands in them that does not depend on their order."""

    rows: int = 0
    values: int = 0
    content: int = 0


@dataclass(slots=True, kw_only=True)
class Day:
    """One day as it is and as it would be."""

    date: str
    before: dict[str, Rows]
    """Layer → its rows."""
    after: dict[str, Rows]
    windows: int = 0
    """Now."""
    same: int = 0
    changed: int = 0
    added: int = 0
    removed: int = 0
    columns: Counter[str] = field(default_factory=Counter)
    """Statistic → windows in which it differs."""
    metrics: Counter[str] = field(default_factory=Counter)
    """Metric → windows that are changed, added or removed."""
    examples: list[dict[str, Any]] = field(default_factory=list)

    @property
    def differs(self) -> bool:
        return bool(self.changed or self.added or self.removed) or self.before != self.after

    def counts(self) -> dict[str, Any]:
        rows = {side: {layer: one.rows for layer, one in getattr(self, side).items()} for side in ("before", "after")}
        windows = {name: getattr(self, name) for name in ("windows", "same", "changed", "added", "removed")}
        return {"date": self.date, "rows": rows, **windows}


def content_of(tables: Iterable[pa.Table], names: Iterable[str]) -> Rows:
    """Of rows in any order; ``names`` are the columns that count."""
    import duckdb

    found, wanted = Rows(), list(names)
    with duckdb.connect() as db:
        for table in tables:
            rows = table.select([name for name in wanted if name in table.schema.names])
            db.register("given", _texts(rows))
            listed = ", ".join(f'"{name}"' for name in rows.schema.names)
            values = "count(value)" if "value" in rows.schema.names else "0"
            one = db.execute(f"SELECT count(*), {values}, sum(hash({listed})::HUGEINT) FROM given").fetchone()
            if one is not None:
                found.rows, found.values = found.rows + one[0], found.values + one[1]
                found.content += int(one[2] or 0)
    return found


def _texts(rows: pa.Table) -> pa.Table:
    """Texts as texts: which code stands for one is no content."""
    for i, spec in enumerate(rows.schema):
        if pa.types.is_dictionary(spec.type):
            rows = rows.set_column(i, spec.name, rows[spec.name].cast(pa.string()))
    return rows


def compare(day: Day, before: pa.Table, after: pa.Table) -> None:
    """Fill in what differs between the windows (PARTIAL, ``before`` unmerged) of a day."""
    import duckdb

    old = spread(merge(before))
    with duckdb.connect() as db:
        db.register("b", old)
        db.register("a", spread(after))
        _join(db)
        day.windows = old.num_rows
        kinds = dict(db.execute("SELECT kind, count(*) FROM told GROUP BY kind").fetchall())
        for name in ("same", "changed", "added", "removed"):
            setattr(day, name, kinds.get(name, 0))
        differing = ", ".join(f"count(*) FILTER (kind = 'changed' AND \"d_{name}\")" for name in (*SHOWN, "bin_error"))
        found = db.execute(f"SELECT {differing} FROM told").fetchone() or ()
        day.columns = Counter({name: n for name, n in zip((*SHOWN, "bin_error"), found, strict=True) if n})
        day.metrics = Counter(
            dict(db.execute("SELECT metric, count(*) FROM told WHERE kind != 'same' GROUP BY metric").fetchall())
        )
        cursor = db.execute(f"SELECT * FROM told WHERE kind != 'same' ORDER BY {', '.join(KEY)} LIMIT {EXAMPLES}")
        names = [column[0] for column in cursor.description or []]
        day.examples = [_example(dict(zip(names, row, strict=True))) for row in cursor.fetchall()]


def _join(db: DuckDBPyConnection) -> None:
    on = " AND ".join(f"b.{name} = a.{name}" for name in KEY)
    names = ", ".join(f"coalesce(b.{name}, a.{name}) AS {name}" for name in KEY)
    every = (*SHOWN, "bin_error")
    sides = ", ".join(f"b.{name} AS b_{name}, a.{name} AS a_{name}" for name in every)
    differ = ", ".join(f'coalesce({_apart(name)}, false) AS "d_{name}"' for name in every)
    anything = " OR ".join(f'"d_{name}"' for name in every)
    db.execute(
        f"""
        CREATE TABLE told AS
        SELECT *, CASE WHEN absent THEN 'added' WHEN surplus THEN 'removed'
            WHEN {anything} THEN 'changed' ELSE 'same' END AS kind
        FROM (SELECT {names}, b.domain IS NULL AS absent, a.domain IS NULL AS surplus, {sides}, {differ}
              FROM b FULL JOIN a ON {on})
        """
    )


def _apart(name: str) -> str:
    if name in APART:
        return f"b.{name} IS DISTINCT FROM a.{name}"
    largest = "greatest(abs(b.min), abs(b.max))"
    scale = f"greatest(abs(b.{name}), abs(a.{name}), {largest} * {'b.count' if name == 'sum' else '1'})"
    return f"((b.{name} IS NULL) != (a.{name} IS NULL) OR abs(b.{name} - a.{name}) > {TOLERANCE} * {scale})"


def _example(row: dict[str, Any]) -> dict[str, Any]:
    key = {name: row[name] for name in KEY}
    told: dict[str, Any] = {**key, "kind": row["kind"]}
    if row["kind"] != "added":
        told["before"] = {name: row[f"b_{name}"] for name in SHOWN if row["kind"] == "removed" or row[f"d_{name}"]}
    if row["kind"] != "removed":
        told["after"] = {name: row[f"a_{name}"] for name in SHOWN if row["kind"] == "added" or row[f"d_{name}"]}
    return told


def digest(days: Iterable[tuple[Day, pa.Table]]) -> str:
    """What names a set of changes: the days that differ, their rows, and the exact statistics of their windows."""
    found = hashlib.sha256()
    for day, after in days:
        if day.differs:
            rows = {layer: (one.rows, one.content) for layer, one in sorted(day.after.items())}
            found.update(f"{day.date} {rows}\n".encode())
            found.update(f"{content_of([plain(after)], (*KEY, *EXACT))}\n".encode())
    return found.hexdigest()[:16]
