"""What retention has taken from a domain: days that nobody may ask of the lake or the serving table any more."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

import pyarrow as pa
import pyarrow.compute as pc

from levada.archive.retention import load_ledger
from levada.core import keys
from levada.core.keys import UNDATED
from levada.core.periods import DAY_US, day_of, us_of
from levada.core.retention import DAY_S, Keep, begin_s
from levada.core.segments import WINDOWS
from levada.domains.declaration import Domain
from levadactl.loading import Lake


@dataclass(frozen=True, slots=True, kw_only=True)
class Retained:
    """Days of UTC, as ``2004-03-10``, of which something may be gone."""

    silver: frozenset[str] = frozenset()
    """``__undated__`` when undated rows are."""
    gold: frozenset[str] = frozenset()
    serving: frozenset[str] = frozenset()

    def counts(self) -> dict[str, int]:
        return {name: len(getattr(self, name)) for name in ("gold", "serving", "silver")}


def retained(lake: Lake, domain: Domain, days: Collection[str], keep: Keep, now_s: float) -> Retained:
    """What may be gone of these days: of the lake by its ledger, of the serving table by the policy.

    Items of a day expire by when they were written, which the objects of gold tell within a day.
    """
    gone = {layer: frozenset(_ledger(lake, layer, domain)) for layer in ("silver", "gold")}
    keep_s = keep.seconds(WINDOWS, domain.name)
    if keep_s is None:
        return Retained(**gone)
    written: dict[str, int] = {}
    for blob in lake.blobs.list(f"gold/domain={domain.name}/"):
        day = blob.key.split("/date=")[1].partition("/")[0]
        written[day] = min(written.get(day, blob.modified_s), blob.modified_s)
    expired = {
        day
        for day in {*days, *written} - {UNDATED}
        if begin_s(us_of(day), 0) + keep_s <= now_s
        and (day in gone["gold"] or begin_s(us_of(day), written.get(day, 1 << 40) - DAY_S) + keep_s <= now_s)
    }
    return Retained(serving=frozenset(expired), **gone)


def _ledger(lake: Lake, layer: str, domain: Domain) -> Collection[str]:
    return load_ledger(lake.blobs, keys.retention_ledger(layer, domain.name))[0]


def days_of(windows: pa.Table) -> set[str]:
    """Days of ``window_start``."""
    starts = pc.unique(pc.divide(windows["window_start"].cast(pa.int64()), DAY_US)).to_pylist()
    return {day_of(start * DAY_US) for start in starts}


def without(windows: pa.Table, days: Collection[str]) -> pa.Table:
    """The windows that start on none of these days."""
    gone = pa.array([us_of(day) // DAY_US for day in days if day != UNDATED], pa.int64())
    if not len(gone):
        return windows
    return windows.filter(pc.invert(pc.is_in(pc.divide(windows["window_start"].cast(pa.int64()), DAY_US), gone)))
