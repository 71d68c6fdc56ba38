"""The demo: an empty stack, one file through all stages, and the proof. Every number comes from what was stored."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pyarrow as pa

from levada.domains.declaration import Domain
from levadactl import embedded, generate, verify
from levadactl.console import Advance
from levadactl.loading import Lake, Load, LoadError, close_idle_windows, sha256_of, upload, wait_for_open_windows
from levadactl.places import Place
from levadactl.verify import Report

GENERATED = "generated.csv"
DAY_US = 86_400_000_000
Say = Callable[[str], None]


@dataclass(slots=True, kw_only=True)
class Demo:
    """What the demo did and found."""

    place: Place
    file: Path
    ledger: dict[str, Any]
    counters: Counter[str]
    """clean's counters of the domain, over all shards' checkpoints."""
    quarantined: int
    report: Report
    windows: pa.Table
    """Gold's windows, merged."""
    seconds: float
    steps: dict[str, float] = field(default_factory=dict)
    """Seconds by step."""

    def to_json(self) -> dict[str, Any]:
        """The answer of ``levada demo --json``."""
        counts, silver = self.ledger["counts"], self.report.silver
        return {
            "file": str(self.file),
            "rows_read": counts["rows_read"],
            "bad_rows": counts["bad_rows"],
            "empty_rows": counts["empty_rows"],
            "lines": counts["lines"],
            "measurements": self.counters["measurements"],
            "values": self.counters["values"],
            "missing": self.counters["missing"],
            "out_of_range": self.counters["out_of_range"],
            "quarantined": self.quarantined,
            "silver_rows": silver.rows,
            "silver_dates": silver.dates,
            "windows": self.windows.num_rows,
            "seconds": round(self.seconds, 1),
            "steps": {name: round(seconds, 2) for name, seconds in self.steps.items()},
            "endpoint": self.place.endpoint_url,
            "api_url": self.place.api_url,
            "verify": {
                "windows": self.report.windows,
                "mismatches": self.report.mismatches,
                "examples": self.report.examples,
            },
        }


class _Steps:
    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}
        self._since = time.monotonic()

    def done(self, name: str) -> None:
        now = time.monotonic()
        self.seconds[name] = now - self._since
        self._since = now


def run(
    domain: Domain, *, data: Path | None, rows: int | None = None, say: Say, bar: Callable[[str, float, str], Any]
) -> Demo:
    """Replace the last demo's stack, load the file, close its windows, verify.

    Args:
        data: the file, or None for a generated one.
        rows: of a generated file; None for as many as the published one has.
        bar: ``console.progress``.

    Raises LoadError, StartError, DeployError; a wrong result raises nothing: it stands in the report.
    """
    began = time.monotonic()
    steps = _Steps()
    started = embedded.start(owner="demo", fresh=True, say=say)
    place, lake = started.place, Lake.of(started.place)
    steps.done("stack")
    file = data or _generated(started.folder / GENERATED, rows or generate.DEFAULT_ROWS, bar)
    steps.done("data")
    ledger = load_file(place, lake, domain, file, say=say, bar=bar)
    steps.done("load")
    say("closing idle windows (archive does it by itself after a minute without rows)")
    close_idle_windows(place)
    if left := wait_for_open_windows(lake):
        raise LoadError(f"{left} windows are still open after archive has run")
    steps.done("close")
    say("comparing every window with one DuckDB query over the file")
    truth = verify.truth_of(lake, domain, file=file)
    report = verify.verify(lake, domain, truth, source=str(file))
    steps.done("verify")
    counters = lake.counters("clean")
    return Demo(
        place=place,
        file=file,
        ledger=ledger,
        counters=counters.get(domain.name, Counter()),
        quarantined=sum(counted["quarantined"] for counted in counters.values()),
        report=report,
        windows=report.gold_windows,
        seconds=time.monotonic() - began,
        steps=steps.seconds,
    )


def _generated(path: Path, rows: int, bar: Callable[[str, float, str], Any]) -> Path:
    with bar("writing sample data", rows, "rows") as advance:
        generate.write(path, n=rows, on_rows=advance)
    return path


def load_file(
    place: Place, lake: Lake, domain: Domain, file: Path, *, say: Say, bar: Callable[[str, float, str], Any]
) -> dict[str, Any]:
    """Upload a file and wait until its last row is in its window. Returns its ledger. Raises LoadError."""
    content = sha256_of(file)
    known = lake.ledger(domain.name, "default", content)
    with bar(f"uploading {file.name}", file.stat().st_size, "bytes") as advance:
        key = upload(place, file, domain=domain.name, advance=_whole(advance))
    load = Load(lake, place, domain.name, content, key)
    return load.wait(known=known, on_state=say)


def _whole(advance: Advance) -> Callable[[float], None]:
    return lambda amount: advance(float(amount))


def daily_means(windows: pa.Table) -> dict[str, list[float | None]]:
    """Metric → mean of each day from the first to the last day of the table; None for a day without a value."""
    import duckdb

    with duckdb.connect() as db:
        db.register("windows", windows)
        rows = db.execute(
            f"SELECT metric, window_start // {DAY_US}, fsum(sum) / sum(count) FROM windows GROUP BY ALL"  # noqa: S608
        ).fetchall()
    if not rows:
        return {}
    first, last = min(day for _, day, _ in rows), max(day for _, day, _ in rows)
    out: dict[str, list[float | None]] = {}
    for metric, day, mean in rows:
        out.setdefault(metric, [None] * (last - first + 1))[day - first] = mean
    return out


def per_metric(demo: Demo, domain: Domain) -> list[dict[str, Any]]:
    """One row per metric, in the domain's order: counts from gold and clean's checkpoints, statistics from gold."""
    import duckdb

    query = "SELECT metric, count(*), sum(count), min(min), fsum(sum) / sum(count), max(max) FROM windows GROUP BY 1"
    with duckdb.connect() as db:
        db.register("windows", demo.windows)
        found = {row[0]: row[1:] for row in db.execute(query).fetchall()}
    return [
        {
            "metric": metric.name,
            "windows": found[metric.name][0],
            "values": int(found[metric.name][1]),
            "missing": demo.counters[f"missing:{metric.name}"],
            "out_of_range": demo.counters[f"out_of_range:{metric.name}"],
            "min": found[metric.name][2],
            "mean": found[metric.name][3],
            "max": found[metric.name][4],
        }
        for metric in domain.metrics.values()
        if metric.name in found
    ]
