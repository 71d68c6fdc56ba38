"""What answering /v1/rollups from the objects of the lake takes: calls, bytes and CPU, in a cold and a warm process.

The store is in memory, so that what is measured is what the function does itself; calls and bytes say what a network
adds. ``python -m bench.rollup_reads`` prints one JSON object. See docs/adr/0002-rollups-are-read-from-the-lake.md.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from datetime import UTC
from typing import Any

import numpy as np
import pyarrow as pa

from levada.archive.rollups import make
from levada.core import columns, keys, parquet
from levada.core.partials import from_rows
from levada.core.periods import DAY, DAY_US, HOUR_US, Calendar, day_of
from levada.core.positions import ShardToken, pad_sequence
from levada.core.records import MEASUREMENT, SERIES
from levada.domains.air_quality import AIR_QUALITY
from levada.ports import Blob
from levada.query import stored
from levada.query.route_rollups import READ, _rows
from levadactl.memory import MemoryBlobStore

SERIES_COUNT, DAYS, PER_DAY = 500, 91, 24
RUNS = 5
TOKEN = ShardToken(1_700_000_000, 0)
FIRST_US = 1_704_067_200_000_000  # 2024-01-01


class Counted(MemoryBlobStore):
    """Counts what would go over a network."""

    calls = sent = 0

    def get(self, key: str) -> tuple[bytes, str]:
        body, etag = super().get(key)
        self.calls, self.sent = self.calls + 1, self.sent + len(body)
        return body, etag

    def list(self, prefix: str) -> Iterator[Blob]:
        self.calls += 1
        return super().list(prefix)


def rows(day: int) -> pa.Table:
    """A day of all series, hourly, log-normal values."""
    n = SERIES_COUNT * PER_DAY
    texts = {"domain": AIR_QUALITY.name, "tenant": "default", "metric": "co"}
    made: dict[str, Any] = {name: columns.constant(texts.get(name, ""), n) for name in SERIES}
    codes = pa.array(np.repeat(np.arange(SERIES_COUNT, dtype=np.int32), PER_DAY))
    made["series"] = pa.DictionaryArray.from_arrays(codes, pa.array([f"s{i:03d}" for i in range(SERIES_COUNT)]))
    hours = np.tile(np.arange(PER_DAY), SERIES_COUNT) * HOUR_US
    made["time"] = pa.array(FIRST_US + day * DAY_US + hours).cast(MEASUREMENT.field("time").type)
    made["value"] = pa.array(np.random.default_rng(day).lognormal(size=n))
    made |= {"row": pa.array(np.arange(n, dtype=np.int32)), "sequence": columns.constant(pad_sequence(1), n)}
    arrays = [made.get(f.name, pa.nulls(n, f.type)) for f in MEASUREMENT]
    return pa.table(arrays, names=MEASUREMENT.names).cast(MEASUREMENT)


def main() -> int:
    blobs = Counted()
    for day in range(DAYS):
        closed = from_rows(rows(day), width_s=3600, opened=pad_sequence(1), watermark_us=None)
        blobs.put(keys.gold(AIR_QUALITY.name, day_of(FIRST_US + day * DAY_US), TOKEN, day), parquet.to_bytes(closed))
    begun = time.process_time()
    made = make(blobs, Calendar(UTC), AIR_QUALITY.name, lambda: 1e9, periods=(DAY,))
    answer: dict[str, Any] = {"made": made.counts() | {"cpu_s": round(time.process_time() - begun, 2)}}
    asked = {
        "one series, 91 days": {"series": "s007", "limit": "10000"},
        "500 series, 20 days": {"since": "2024-03-01", "until": "2024-03-21", "limit": "10000"},
        "one series, a week": {"series": "s007", "since": "2024-03-01", "until": "2024-03-08"},
    }
    answer |= {name: _measured(blobs, query) for name, query in asked.items()}
    sys.stdout.write(json.dumps(answer, indent=2) + "\n")
    return 0


def _measured(blobs: Counted, query: Mapping[str, str]) -> dict[str, Any]:
    wanted = stored.asked(query, {AIR_QUALITY.name: AIR_QUALITY}, "default", FIRST_US)
    prefix, memo = keys.rollup_prefix(AIR_QUALITY.name, DAY), dict[str, Any]()

    def read(remembered: dict[str, Any]) -> int:
        return len(stored.page(blobs, remembered, prefix, wanted, _rows, columns.empty(READ)).rows)

    read(memo)
    return {"cold": _run(blobs, lambda: read({})), "warm": _run(blobs, lambda: read(memo))}


def _run(blobs: Counted, read: Callable[[], int]) -> dict[str, Any]:
    spent, n = [], 0
    for _ in range(RUNS):
        blobs.calls = blobs.sent = 0
        begun = time.process_time()
        n = read()
        spent.append(time.process_time() - begun)
    return {
        "rows": n,
        "calls": blobs.calls,
        "kilobytes": round(blobs.sent / 1000),
        "cpu_ms": round(min(spent) * 1e3, 1),
    }


if __name__ == "__main__":
    sys.exit(main())
