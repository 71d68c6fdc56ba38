"""What would change: windows and rows of each day as they are, and as bronze makes them now."""

from __future__ import annotations

# ruff: noqa: S608 - column names are ours, and the database is in memory
import hashlib
from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from levada.core.partials import PARTIAL, merge
from levadactl.compare import CLOSE, EXACT, TOLERANCE, spread
from levadactl.oracle import KEY, QUANTILES

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

EXAMPLES = 5
WINDOW = (*KEY, "width_s")
SHOWN = (*EXACT, *CLOSE, "stddev", *QUANTILES)
EVERY = (*SHOWN, "bin_error")
APART = (*EXACT, "bin_error")
"""Statistics that must be the same; the others may differ in the last digits."""
WHERE = frozenset({"shard", "sequence"})
"""Which of several copies of a row was read first is no content."""
UNTOLD = ("late", "opened")
"""What bronze does not tell of a window: how many of its rows were late, and what opened it."""


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


@contextmanager
def differing() -> Iterator[Differing]:
    """One database for all days: to make one takes longer than a day of a small domain."""
    import duckdb

    with duckdb.connect() as db:
        yield Differing(db)


@dataclass(frozen=True, slots=True)
class Differing:
    """Compares days."""

    db: DuckDBPyConnection

    def content_of(self, tables: Iterable[pa.Table]) -> Rows:
        """Of rows in any order, all columns but WHERE."""
        found = Rows()
        for table in tables:
            if not table.num_rows:
                continue
            rows = table.select(sorted(set(table.schema.names) - WHERE))
            self.db.register("given", _texts(rows))
            listed = ", ".join(f'"{name}"' for name in rows.schema.names)
            values = "count(value)" if "value" in rows.schema.names else "0"
            counted = self.db.execute(f"SELECT count(*), {values}, sum(hash({listed})::HUGEINT) FROM given").fetchall()
            found.rows, found.values = found.rows + counted[0][0], found.values + counted[0][1]
            found.content += int(counted[0][2] or 0)
        return found

    def compare(self, day: Day, before: pa.Table, after: pa.Table) -> None:
        """Fill in what differs between the windows (PARTIAL, ``before`` unmerged) of a day."""
        now = merge(before)
        day.windows = now.num_rows
        if _equal(now, after):  # what the same code makes of the same rows mostly is, to the last bit
            day.same = now.num_rows
            return
        self.db.register("b", _statistics(now))
        self.db.register("a", _statistics(after))
        _join(self.db)
        _tell(self.db, day)

    def digest(self, days: Iterable[tuple[Day, pa.Table]]) -> str:
        """What names a set of changes: the days that differ, their rows, and the exact statistics of their windows."""
        found = hashlib.sha256()
        for day, after in days:
            if day.differs:
                rows = {layer: (one.rows, one.content) for layer, one in sorted(day.after.items())}
                windows = self.content_of([_statistics(after).select([*WINDOW, *EXACT])])
                found.update(f"{day.date} {rows} {windows}\n".encode())
        return found.hexdigest()[:16]


def _equal(before: pa.Table, after: pa.Table) -> bool:
    names = [name for name in PARTIAL.names if name not in UNTOLD]
    return before.num_rows == after.num_rows and bool(_texts(before.select(names)).equals(_texts(after.select(names))))


def _statistics(windows: pa.Table) -> pa.Table:
    return spread(windows).append_column("width_s", windows["width_s"])


def _texts(rows: pa.Table) -> pa.Table:
    """Texts as texts: which code stands for one is no content."""
    for i, spec in enumerate(rows.schema):
        if pa.types.is_dictionary(spec.type):
            rows = rows.set_column(i, spec.name, rows[spec.name].cast(pa.string()))
    return rows


def _join(db: DuckDBPyConnection) -> None:
    on = " AND ".join(f"b.{name} = a.{name}" for name in WINDOW)
    names = ", ".join(f"coalesce(b.{name}, a.{name}) AS {name}" for name in WINDOW)
    sides = ", ".join(f"b.{name} AS b_{name}, a.{name} AS a_{name}" for name in EVERY)
    differ = ", ".join(f'coalesce({_apart(name)}, false) AS "d_{name}"' for name in EVERY)
    anything = " OR ".join(f'"d_{name}"' for name in EVERY)
    db.execute(
        f"""
        CREATE OR REPLACE TEMP TABLE told AS
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


def _tell(db: DuckDBPyConnection, day: Day) -> None:
    kinds = dict(db.execute("SELECT kind, count(*) FROM told GROUP BY kind").fetchall())
    for name in ("same", "changed", "added", "removed"):
        setattr(day, name, kinds.get(name, 0))
    differing = ", ".join(f"count(*) FILTER (kind = 'changed' AND \"d_{name}\")" for name in EVERY)
    (found,) = db.execute(f"SELECT {differing} FROM told").fetchall()
    day.columns = Counter({name: n for name, n in zip(EVERY, found, strict=True) if n})
    per_metric = db.execute("SELECT metric, count(*) FROM told WHERE kind != 'same' GROUP BY metric").fetchall()
    day.metrics = Counter(dict(per_metric))
    cursor = db.execute(f"SELECT * FROM told WHERE kind != 'same' ORDER BY {', '.join(WINDOW)} LIMIT {EXAMPLES}")
    names = [column[0] for column in cursor.description or []]
    day.examples = [_example(dict(zip(names, row, strict=True))) for row in cursor.fetchall()]


def _example(row: dict[str, Any]) -> dict[str, Any]:
    told: dict[str, Any] = {**{name: row[name] for name in WINDOW}, "kind": row["kind"]}
    if row["kind"] != "added":
        told["before"] = {name: row[f"b_{name}"] for name in SHOWN if row["kind"] == "removed" or row[f"d_{name}"]}
    if row["kind"] != "removed":
        told["after"] = {name: row[f"a_{name}"] for name in SHOWN if row["kind"] == "added" or row[f"d_{name}"]}
    return told
