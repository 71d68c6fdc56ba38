"""What the rollups must hold: every value of the distinct input once in each period, whatever happened on the way."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from levada.core import keys, rollups
from levada.core.periods import DAY, HOUR, MONTH, PERIODS, WEEK

if TYPE_CHECKING:
    from tests.simulation.world import World


def check(world: World, good: Iterable[Mapping[str, Any]]) -> None:
    """good: sensor, time_s, a, b. Raises AssertionError with the first difference."""
    rows = list(good)
    for period in PERIODS:
        want: dict[tuple[str, str, int], list[float | None]] = defaultdict(list)
        for row in rows:
            for metric in ("a", "b"):
                want[row["sensor"], metric, _start(period, row["time_s"])].append(row[metric])
        found = _held(world, period)
        assert found.keys() == want.keys(), f"rollups {period}: {sorted(found.keys() ^ want.keys())[:5]}"
        for key, values in want.items():
            there, got = [v for v in values if v is not None], found[key]
            counts = (got["count"], got["missing"])
            assert counts == (len(there), len(values) - len(there)), f"rollups {period}: {key}: {counts}"
            assert math.isclose(got["sum"], math.fsum(there), rel_tol=1e-9, abs_tol=1e-9), f"rollups {period}: {key}"
            assert (got["min"], got["max"]) == (min(there, default=None), max(there, default=None))


def _held(world: World, period: str) -> dict[tuple[str, str, int], dict[str, Any]]:
    found = {}
    for blob in world.blobs.list(keys.rollup_prefix("sim", period)):
        for row in rollups.from_bytes(world.blobs.get(blob.key)[0]).to_pylist():
            found[row["series"], row["metric"], int(row["window_start"].timestamp())] = row
    return found


def _start(period: str, time_s: int) -> int:
    """Worked out with the calendar alone, in UTC."""
    at = datetime.fromtimestamp(time_s, UTC)
    day = at.replace(hour=0, minute=0, second=0)
    starts = {HOUR: at.replace(minute=0, second=0), DAY: day, MONTH: day.replace(day=1)}
    return int((starts | {WEEK: day - timedelta(days=day.weekday())})[period].timestamp())
