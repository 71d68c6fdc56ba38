"""The tables as readers see them: what counts of a day's objects, each row once."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from levada.core import editions, lake, parquet
from levada.domains.declaration import Metric

if TYPE_CHECKING:
    from tests.simulation.world import World


def silver(world: World, domain: str) -> Iterator[dict[str, Any]]:
    for _, date, _ in lake.partitions(world.blobs.list(f"silver/domain={domain}/")):
        yield from lake.read_partition(world.blobs, domain, date).to_pylist()


def events(world: World, domain: str) -> Iterator[dict[str, Any]]:
    for _, date, listed in lake.partitions(world.blobs.list(f"events/domain={domain}/")):
        day = lake.shown(world.blobs, domain, date, listed)
        live = [(one, day.counting(one, _read(world, one.key))) for one in day.live]
        for table in lake.distinct_events(live, [_read(world, key) for key in day.made_anew]):
            yield from table.to_pylist()


def gold(world: World, domain: str) -> list[pa.Table]:
    """Partials, as they were emitted or made anew."""
    return [
        _read(world, blob.key)
        for _, date, listed in lake.partitions(world.blobs.list(f"gold/domain={domain}/"))
        for blob in editions.gold_shown(world.blobs, domain, date, listed)
    ]


def valid(value: float | None, metric: Metric) -> float | None:
    """What clean leaves of a value."""
    if value is None or value < (metric.low if metric.low is not None else value):
        return None
    return None if value > (metric.high if metric.high is not None else value) else value


def _read(world: World, key: str) -> pa.Table:
    return parquet.from_bytes(world.blobs.get(key)[0])
