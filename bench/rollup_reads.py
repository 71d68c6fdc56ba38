"""Rollups read as objects of the lake, or as items of the serving table: calls, bytes and CPU of the same answers.

Both stores are in memory, so that what is measured is what a function does itself; calls and bytes say what a network
adds.
``python -m bench.rollup_reads`` prints one JSON object. See docs/adr/0002.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from datetime import UTC
from typing import Any

import numpy as np
import pyarrow as pa

from levada.aggregate.emit import Emitted, emit
from levada.archive.rollups import make_due
from levada.core import columns, keys, rollups, segments
from levada.core.partials import from_rows
from levada.core.periods import DAY, Calendar
from levada.core.positions import ShardToken, pad_sequence
from levada.core.records import MEASUREMENT, SERIES
from levada.domains.air_quality import AIR_QUALITY
from levada.query import stored
from levada.query.route_rollups import READ, _rows
from levadactl.memory import MemoryBlobStore, MemoryServingStore

SERIES_COUNT, DAYS, PER_DAY = 500, 366, 24
RUNS = 5
TOKEN = ShardToken(1_700_000_000, 0)
DAY_US = 86_400_000_000
FIRST_US = 1_704_067_200_000_000  # 2024-01-01


class Counted(MemoryBlobStore):
    calls = 0
    sent = 0

    def get(self, key: str) -> tuple[bytes, str]:
        body, etag = super().get(key)
        self.calls, self.sent = self.calls + 1, self.sent + len(body)
        return body, etag

    def list(self, prefix: str) -> Iterator[Any]:
        self.calls += 1
        return super().list(prefix)


class CountedTable(MemoryServingStore):
    calls = 0
    sent = 0

    def query(self, pk: str, **bounds: Any) -> Iterator[dict[str, Any]]:
        self.calls += 1
        for sk, item in sorted((s, i) for (p, s), i in self.items.items() if p == pk):
            if bounds.get("first", "") <= sk <= bounds.get("last", "\uffff"):
                self.sent += len(item["data"])
                yield dict(item)


def rows(day: int) -> pa.Table:
    """A day of all series, hourly."""
    n = SERIES_COUNT * PER_DAY
    rng = np.random.default_rng(day)
    texts = {"domain": AIR_QUALITY.name, "tenant": "default", "metric": "co"}
    made: dict[str, Any] = {name: columns.constant(texts.get(name, ""), n) for name in SERIES}
    named = pa.array([f"s{i:03d}" for i in range(SERIES_COUNT)])
    made["series"] = pa.DictionaryArray.from_arrays(
        pa.array(np.repeat(np.arange(SERIES_COUNT, dtype=np.int32), 24)), named
    )
    hours = np.tile(np.arange(PER_DAY), SERIES_COUNT) * 3_600_000_000
    made |= {"time": pa.array(FIRST_US + day * DAY_US + hours).cast(MEASUREMENT.field("time").type)}
    made |= {"value": pa.array(rng.lognormal(size=n)), "row": pa.array(np.arange(n, dtype=np.int32))}
    made["sequence"] = columns.constant(pad_sequence(1), n)
    fill = {f.name: made.get(f.name, pa.nulls(n, f.type)) for f in MEASUREMENT}
    return pa.table(list(fill.values()), names=list(fill)).cast(MEASUREMENT)


def main() -> int:
    blobs, table = Counted(), CountedTable()
    for day in range(DAYS):
        closed = from_rows(rows(day), width_s=3600, opened=pad_sequence(1), watermark_us=None)
        emit(closed, TOKEN, day, blobs=blobs, serving=MemoryServingStore(), done=Emitted(), fresh=True)
    make_due(blobs, Calendar(UTC), lambda: 1e9)
    months = [blob.key for blob in blobs.list(keys.rollup_prefix(AIR_QUALITY.name, DAY))]
    for n, key in enumerate(months):  # one item per series and month: what an index would hold
        table.put(list(_items(rollups.from_bytes(blobs.get(key)[0]), n)))
    asked = {
        "one series, a year of days": {"series": "s007", "limit": "10000"},
        "500 series, a month of days, first page": {"since": "2024-03-01", "until": "2024-04-01", "limit": "10000"},
    }
    answer = {name: _compare(blobs, table, query) for name, query in asked.items()}
    sys.stdout.write(json.dumps(answer, indent=2) + "\n")
    return 0


def _items(part: pa.Table, n: int) -> Iterator[Mapping[str, Any]]:
    """Segments span a day; here all days of the month make one item, as they would."""
    plain = part.drop_columns([f.name for f in rollups.WITHIN])
    names = {"window_start": plain["window_start"], "series": plain["series"].cast(pa.string())}
    for name in names["series"].unique().to_pylist():
        mine = plain.filter(pa.compute.equal(names["series"], name))
        yield segments._item(mine, str(TOKEN), n)


def _compare(blobs: Counted, table: CountedTable, query: Mapping[str, str]) -> dict[str, Any]:
    wanted = stored.asked(query, {AIR_QUALITY.name: AIR_QUALITY}, "default", FIRST_US)
    prefix = keys.rollup_prefix(AIR_QUALITY.name, DAY)
    memo: dict[str, Any] = {}

    def cold() -> int:
        return stored.page(blobs, {}, prefix, wanted, _rows, columns.empty(READ)).rows.num_rows

    def warm() -> int:
        return stored.page(blobs, memo, prefix, wanted, _rows, columns.empty(READ)).rows.num_rows

    def items() -> int:
        at = wanted.selection
        names = [at.series] if at.series else [f"s{i:03d}" for i in range(SERIES_COUNT)]
        first = segments.sort_time(at.since_us) if at.since_us else ""
        last = segments.sort_time(at.until_us) if at.until_us else "\uffff"
        n = 0
        for name in names:
            series = {"domain": AIR_QUALITY.name, "tenant": "default", "metric": "co", "site": "", "unit": ""}
            series["series"] = name or ""
            found = segments.to_partials(table.query(segments.window_pk(series), first=first, last=last), series)
            n += found.num_rows
            if n > replace(wanted).limit:
                break
        return n

    warm()
    return {
        "objects, cold": _measure(cold, blobs),
        "objects, warm": _measure(warm, blobs),
        "items": _measure(items, table),
    }


def _measure(run: Callable[[], int], store: Counted | CountedTable) -> dict[str, Any]:
    spent = []
    for _ in range(RUNS):
        store.calls = store.sent = 0
        begun = time.process_time()
        n = run()
        spent.append(time.process_time() - begun)
    return {
        "rows": n,
        "calls": store.calls,
        "kilobytes": round(store.sent / 1000),
        "cpu_ms": round(min(spent) * 1000, 1),
    }


if __name__ == "__main__":
    sys.exit(main())
