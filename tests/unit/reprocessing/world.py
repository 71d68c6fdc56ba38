"""A pipeline in memory whose windows have all closed, a domain that has changed, and what must hold at the end."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import Any
from zoneinfo import ZoneInfo

import pyarrow as pa

from levada.archive import rollups as making
from levada.archive.handler import handler as archive
from levada.core import editions, keys, lake, parquet, rollups
from levada.core.partials import merge
from levada.core.periods import PERIODS, Calendar
from levada.core.retention import Keep
from levada.domains.air_quality import AIR_QUALITY
from levada.domains.declaration import Domain
from levada.ports import BlobStore, ServingStore
from levadactl import events
from levadactl.loading import Lake
from levadactl.memory import MemoryDeps
from levadactl.reprocessing.ports import Days, Ports
from levadactl.reprocessing.run import Report, reprocess
from levadactl.verify import truth_of, verify
from tests.unit.tools import pipeline

UTC = Calendar(ZoneInfo("UTC"))
EVERYTHING = Days()


def with_co_up_to(high: float, domain: Domain = AIR_QUALITY) -> Domain:
    """The air quality domain with another range for carbon monoxide."""
    return replace(domain, metrics={**domain.metrics, "CO(GT)": replace(domain.metrics["CO(GT)"], high=high)})


TIGHTER = with_co_up_to(2.0)


def load(deps: MemoryDeps, rows: int = 60, *, seed: int = 1) -> Lake:
    """A file through clean and aggregate, all of its windows closed and rolled up."""
    text = pipeline.generated(rows, seed)
    return settle(deps, pipeline.file_packs(text, source=f"file/{seed}"))


def settle(deps: MemoryDeps, records: Sequence[bytes]) -> Lake:
    """The same of any records for the raw stream."""
    found = pipeline.run(deps, records)
    close()
    return found


def close() -> None:
    """Close all windows, and roll them up."""
    archive(events.schedule(idle_after_s=0, rollups={"domain": AIR_QUALITY.name}), None)


def ports(
    deps: MemoryDeps,
    domain: Domain = TIGHTER,
    *,
    blobs: BlobStore | None = None,
    serving: ServingStore | None = None,
    waiting: Callable[[], str] = lambda: "",
) -> Ports:
    store = deps.blobs if blobs is None else blobs

    def roll_up(since: str) -> Mapping[str, Any]:
        made = making.make(store, UTC, domain.name, lambda: 1e9, since=since)
        assert made.failures == []
        return made.counts()

    return Ports(
        blobs=store,
        serving=deps.serving if serving is None else serving,
        clock=deps.clock,
        config=deps.config,
        domain=domain,
        calendar=UTC,
        keep=Keep(),
        waiting=waiting,
        roll_up=roll_up,
    )


@contextmanager
def quietly(_what: str, _total: float, _unit: str) -> Iterator[Callable[[float], None]]:
    yield lambda _amount: None


def anew(deps: MemoryDeps, domain: Domain = TIGHTER, days: Days = EVERYTHING, **options: Any) -> Report:
    """Make everything anew that differs."""
    return reprocess(ports(deps, domain), days, quietly, apply=True, wait_s=0, **options)


def looked(deps: MemoryDeps, domain: Domain = TIGHTER, days: Days = EVERYTHING) -> Report:
    return reprocess(ports(deps, domain), days, quietly, wait_s=0)


def must_be_exact(found: Lake, domain: Domain) -> None:
    """Everything that anybody reads is what the domain makes of bronze, each row once."""
    report = verify(found, domain, truth_of(found, domain, file=None), source="bronze")
    assert report.mismatches == 0, report.examples
    assert report.open == 0
    must_be_rolled_up(found.blobs, domain)


def must_be_rolled_up(blobs: BlobStore, domain: Domain) -> None:
    """Every period's rows hold as many values of each series as gold does, and the same least and largest."""
    gold = _statistics([shown_gold(blobs, domain)])
    for period in PERIODS:
        listed = blobs.list(keys.rollup_prefix(domain.name, period))
        assert _statistics([rollups.from_bytes(blobs.get(blob.key)[0]) for blob in listed]) == gold, period


def shown_gold(blobs: BlobStore, domain: Domain) -> pa.Table:
    """The windows of gold that count, merged."""
    tables = []
    for _, date, listed in lake.partitions(blobs.list(f"gold/domain={domain.name}/")):
        counting = editions.gold_shown(blobs, domain.name, date, listed)
        tables += [parquet.from_bytes(blobs.get(blob.key)[0]) for blob in counting]
    return merge(tables)


def _statistics(tables: Sequence[pa.Table]) -> dict[tuple[str, str], tuple[int, int, float, float]]:
    count: Counter[tuple[str, str]] = Counter()
    missing: Counter[tuple[str, str]] = Counter()
    low: dict[tuple[str, str], float] = {}
    high: dict[tuple[str, str], float] = {}
    for table in tables:
        for row in table.select(["series", "metric", "count", "missing", "min", "max"]).to_pylist():
            key = (row["series"], row["metric"])
            count[key] += row["count"]
            missing[key] += row["missing"]
            if row["count"]:
                low[key] = min(low.get(key, row["min"]), row["min"])
                high[key] = max(high.get(key, row["max"]), row["max"])
    return {key: (count[key], missing[key], low.get(key, 0.0), high.get(key, 0.0)) for key in count}
