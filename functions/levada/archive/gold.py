"""What counts of a domain's gold, day by day, and which of it a rollup holds that no longer does."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from levada.core import editions
from levada.core.editions import Edition
from levada.core.periods import DAY_US, Partition, us_of
from levada.core.rollups import Manifest
from levada.ports import Blob, BlobStore


@dataclass(slots=True)
class Gold:
    """What counts of a domain's gold."""

    domain: str
    days: dict[str, list[Blob]] = field(default_factory=dict)
    """Day of UTC → its objects, in ascending order."""
    editions: dict[str, Edition] = field(default_factory=dict)
    """Of the days that were made anew."""

    def add(self, blobs: BlobStore, day: str, listed: Sequence[Blob]) -> None:
        """One day's listing. Raises LevadaError when it cannot be understood."""
        edition = editions.of_listed(blobs, self.domain, day, (blob.key for blob in listed))
        self.days[day] = [blob for blob in listed if editions.shows_gold(edition, blob.key)]
        if edition.number:
            self.editions[day] = edition

    def stale(self, manifest: Manifest) -> str:
        """A day of which the rollup holds gold that an edition has replaced; empty when there is none."""
        held = (day for day in manifest.gold if day in self.editions)
        return next((day for day in held if manifest.is_stale(day, self.editions[day])), "")

    def gone(self, manifest: Manifest) -> str:
        """A day of which the rollup holds gold that is neither there nor replaced; empty when there is none."""
        for day in sorted(manifest.gold):
            there = {editions.emission_of(blob.key) for blob in self.days.get(day, ())}
            edition = self.editions.get(day, editions.NONE)
            if any(one not in there and not edition.replaces_gold(*one) for one in manifest.emissions(day)):
                return day
        return ""

    def within(self, partition: Partition) -> set[str]:
        """Days with gold that a rollup's time touches."""
        return {day for day in self.days if us_of(day) < partition.end_us and us_of(day) + DAY_US > partition.start_us}
