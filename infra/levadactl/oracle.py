"""What the windows must be, worked out by another engine: one DuckDB query over the source's text.

It knows a domain's declaration and nothing of levada's own reading, cleaning and aggregating, so that agreement
means something. A source is a file as it was published, or the raw payloads that bronze keeps (``sources.py``).
"""

# ruff: noqa: S608 - every name and literal that goes into a query is quoted here, and the database is in memory

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from levada.domains.declaration import KEY_PARTS, Domain, Metric
from levadactl.errors import LevadactlError

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

KEY = ("domain", "tenant", *KEY_PARTS, "metric", "window_start")
"""What names a window; ``window_start`` in microseconds since 1970-01-01 UTC."""
STATISTICS = ("count", "missing", "sum", "min", "max", "mean", "first", "last")
QUANTILES = {"p50": 0.5, "p95": 0.95, "p99": 0.99}
"""Of the values, interpolated between neighbours; beside them the truth has ``stddev``, the sample's."""
NUMBER = r"[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]+)?"
FIRST_YEAR = 1000
"""A year is written with four digits: 04 is not the year 4."""
REFUSED = "__refused"
AT = "__at"
TENANT = "__tenant"
SHIFT = "__shift"
"""Microseconds that are added to the time of a row, where the relation has the column."""


@dataclass(slots=True, kw_only=True)
class Truth:
    """What a source holds, and the windows that follow from it."""

    rows: int
    """Source rows that are not empty, refused ones included."""
    empty: int
    """Rows of nothing but separators."""
    refused: dict[str, int]
    """Rows that cannot be read, by reason."""
    measurements: int
    values: int
    missing: int
    out_of_range: int
    undated: int
    """Rows without a time: kept, and in no window."""
    metrics: dict[str, dict[str, Any]] = field(default_factory=dict)
    """metric → values, missing, out_of_range, min, mean, max, windows; in the domain's order."""
    windows: Any = None
    """Arrow table of KEY, STATISTICS, ``stddev`` and QUANTILES: per metric and base window, half-open, aligned with
    1970-01-01."""


def check(domain: Domain) -> None:
    """Raises LevadactlError for a domain that one query over its source cannot recompute."""
    strptime = all("%" in form and "%f" not in form and "%z" not in form for form in domain.time.formats)
    plain = not (domain.missing or domain.decimal or domain.affixes or domain.needed or domain.optional)
    scaled = any(metric.scale != 1 or metric.offset for metric in domain.metrics.values())
    if not (domain.is_wide and strptime and plain and domain.time.zone == "UTC" and not scaled):
        raise LevadactlError(
            f"domain {domain.name}: verify recomputes wide domains with strptime formats in UTC and plain numbers only"
        )


def answer(db: DuckDBPyConnection, domain: Domain, *, empty: int, latest_us: int | None = None) -> Truth:
    """Work out everything about the relation ``source``.

    Args:
        db: holds a relation ``source``: ``__at`` (BIGINT, the order in which rows were written), ``__tenant``,
            ``__refused`` (why a row could not be split into fields, or NULL) and the domain's columns as VARCHAR.
        empty: rows that the reader has left out because nothing stood in them.
        latest_us: the latest time to believe, microseconds; None for no limit. Later rows are ``future_time``.
    """
    there = [row[0] for row in db.execute("DESCRIBE source").fetchall()]
    db.execute(f"CREATE TABLE judged AS {_judged(domain, latest_us, SHIFT if SHIFT in there else '0')}")
    db.execute(f"CREATE TABLE measurement AS {_melted(domain)}")
    rows, undated = _one(db, f"SELECT count(*), count(*) FILTER ({REFUSED} IS NULL AND t IS NULL) FROM judged")
    refused = db.execute(
        f"SELECT {REFUSED}, count(*) FROM judged WHERE {REFUSED} IS NOT NULL GROUP BY 1 ORDER BY 1"
    ).fetchall()
    counts = _one(
        db,
        "SELECT count(*), count(value), count(*) FILTER (fate = 'missing'), count(*) FILTER (fate = 'out_of_range') "
        "FROM measurement",
    )
    return Truth(
        rows=rows,
        empty=empty,
        refused=dict(refused),
        measurements=counts[0],
        values=counts[1],
        missing=counts[2],
        out_of_range=counts[3],
        undated=undated,
        metrics=_per_metric(db, domain),
        windows=db.sql(_windows(domain)).to_arrow_table(),
    )


def _judged(domain: Domain, latest_us: int | None, shift: str) -> str:
    """Source rows with their time (microseconds), numbers ``n0 …`` and the first reason to refuse them."""
    texts = [
        f"nullif(replace(trim({_name(column)}, {BLANKS}), ',', '.'), '') AS x{i}" for i, column in _metrics(domain)
    ]
    numbers = [f"{_number(f'x{i}')} AS n{i}" for i, _ in _metrics(domain)]
    wrong = " OR ".join(f"(x{i} IS NOT NULL AND n{i} IS NULL)" for i, _ in _metrics(domain))
    future = "false" if latest_us is None else f"t > {latest_us}"
    values = ", ".join(f"n{i}" for i, _ in _metrics(domain))
    return f"""
        WITH texts AS (
            SELECT {AT}, {TENANT}, {REFUSED}, {shift} AS {SHIFT}, {_joined_time(domain)} AS written, {_keys(domain)},
                {", ".join(texts)}
            FROM source
        ), parsed AS (
            SELECT *, {_time(domain)} + {SHIFT} AS t, {", ".join(numbers)} FROM texts
        )
        SELECT {AT}, {TENANT}, {", ".join(KEY_PARTS)}, t, {values},
            CASE WHEN {REFUSED} IS NOT NULL THEN {REFUSED}
                 WHEN t IS NULL AND trim(written) != '' THEN 'not_a_time'
                 WHEN {future} THEN 'future_time'
                 WHEN {wrong} THEN 'not_a_number' END AS {REFUSED}
        FROM parsed
    """


def _melted(domain: Domain) -> str:
    parts = []
    for i, column in _metrics(domain):
        metric = domain.metrics[column]
        fate = f"CASE WHEN {_is_missing(f'n{i}', domain)} THEN 'missing' WHEN {_is_outside(f'n{i}', metric)} "
        fate += "THEN 'out_of_range' ELSE 'value' END"
        parts.append(
            f"SELECT {AT}, {TENANT}, {', '.join(KEY_PARTS)}, t, {_text(metric.name)} AS metric, {fate} AS fate, "
            f"CASE WHEN {fate} = 'value' THEN n{i} END AS value FROM judged WHERE {REFUSED} IS NULL"
        )
    return " UNION ALL ".join(parts)


def _windows(domain: Domain) -> str:
    width = domain.window_s * 1_000_000
    return f"""
        SELECT {_text(domain.name)} AS domain, {TENANT} AS tenant, {", ".join(KEY_PARTS)}, metric,
            t - ((t % {width}) + {width}) % {width} AS window_start,
            count(value) AS count, count(*) - count(value) AS missing,
            fsum(value) AS sum, min(value) AS min, max(value) AS max, fsum(value) / count(value) AS mean,
            first(value ORDER BY t, {AT}) FILTER (value IS NOT NULL) AS first,
            last(value ORDER BY t, {AT}) FILTER (value IS NOT NULL) AS last,
            CASE WHEN count(value) > 1 THEN stddev_samp(value) END AS stddev,
            {", ".join(f"quantile_cont(value, {q}) AS {name}" for name, q in QUANTILES.items())}
        FROM measurement WHERE t IS NOT NULL
        GROUP BY ALL ORDER BY ALL
    """


def _per_metric(db: DuckDBPyConnection, domain: Domain) -> dict[str, dict[str, Any]]:
    width = domain.window_s * 1_000_000
    names = ("values", "missing", "out_of_range", "min", "mean", "max", "windows")
    found = {
        row[0]: dict(zip(names, row[1:], strict=True))
        for row in db.execute(
            f"""
            SELECT metric, count(value), count(*) FILTER (fate = 'missing'), count(*) FILTER (fate = 'out_of_range'),
                min(value), fsum(value) / count(value), max(value),
                count(DISTINCT ({TENANT}, {", ".join(KEY_PARTS)}, t - ((t % {width}) + {width}) % {width}))
                    FILTER (t IS NOT NULL)
            FROM measurement GROUP BY 1
            """
        ).fetchall()
    }
    return {metric.name: found[metric.name] for metric in domain.metrics.values() if metric.name in found}


BLANKS = r"E' \t\r\n\x0b\x0c'"


def _metrics(domain: Domain) -> list[tuple[int, str]]:
    return list(enumerate(domain.metrics))


def _number(text: str) -> str:
    cast = f"TRY_CAST({text} AS DOUBLE)"
    return f"CASE WHEN regexp_full_match({text}, '{NUMBER}') AND isfinite({cast}) THEN {cast} END"


def _joined_time(domain: Domain) -> str:
    columns = [f"coalesce(trim({_name(name)}, {BLANKS}), '')" for name in domain.time.columns]
    if len(columns) > 1:
        dates = [f"replace(replace({text}, '/', '-'), '.', '-')" for text in columns[:-1]]
        columns = [*dates, f"replace({columns[-1]}, '.', ':')"]
    return " || ' ' || ".join(columns)


def _time(domain: Domain) -> str:
    tries = []
    for form in domain.time.formats:
        made = f"try_strptime(written, {_text(form)})"
        tries.append(f"CASE WHEN year({made}) >= {FIRST_YEAR} THEN epoch_us({made}) END")
    return f"coalesce({', '.join(tries)})"


def _keys(domain: Domain) -> str:
    parts = []
    for part in KEY_PARTS:
        if part in domain.keys:
            parts.append(f"coalesce(trim({_name(domain.keys[part])}, {BLANKS}), '') AS {part}")
        else:
            parts.append(f"{_text(domain.constants.get(part, ''))} AS {part}")
    return ", ".join(parts)


def _is_missing(number: str, domain: Domain) -> str:
    return " OR ".join([f"{number} IS NULL", *(f"{number} = {value!r}::DOUBLE" for value in domain.sentinels)])


def _is_outside(number: str, metric: Metric) -> str:
    tests = []
    if metric.low is not None:
        tests.append(f"{number} < {metric.low!r}::DOUBLE")
    if metric.high is not None:
        tests.append(f"{number} > {metric.high!r}::DOUBLE")
    return " OR ".join(tests) or "false"


def _name(column: str) -> str:
    return '"' + column.replace('"', '""') + '"'


def _text(value: str) -> str:
    return "'" + value.replace("'", "''") + "'"


def _one(db: DuckDBPyConnection, query: str) -> tuple[int, ...]:
    row = db.execute(query).fetchone()
    assert row is not None  # noqa: S101 - an aggregate without GROUP BY has one row
    return tuple(int(value) for value in row)
