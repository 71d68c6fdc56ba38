"""What aggregate remembers of a shard: fences, watermarks, open windows, and the outbox of closed ones."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pyarrow as pa

from levada.aggregate import late, latest, layers
from levada.aggregate.late import LATE
from levada.aggregate.latest import LATEST
from levada.aggregate.layers import NO_PARTIALS, Layer, Leaving, Stream
from levada.aggregate.watching import Watched
from levada.core import columns
from levada.core.checkpoint import Checkpoint
from levada.core.parts import Parts
from levada.core.positions import RowFences, ShardToken
from levada.domains.declaration import Domain

STAGE = "aggregate"
NO_LATEST = columns.empty(LATEST)
NO_LATE = columns.empty(LATE)


@dataclass(slots=True)
class Windowed:
    """What one batch adds to the state."""

    partials: list[Parts] = field(default_factory=list)
    latest: list[pa.Table] = field(default_factory=list)
    late: list[pa.Table] = field(default_factory=list)
    highest_us: dict[Stream, int] = field(default_factory=dict)
    counts: dict[str, Counter[str]] = field(default_factory=dict)
    """Domain → rows, undated, late."""


@dataclass(slots=True)
class AggregateState:
    mark: int = -1
    """The last applied sequence number of the clean stream's shard."""
    fences: RowFences = field(default_factory=RowFences)
    highest_us: dict[Stream, int] = field(default_factory=dict)
    """Highest event time seen, microseconds. Never falls."""
    forced_us: dict[Stream, int] = field(default_factory=dict)
    """How far the schedule has pushed the watermark of an idle shard. Never falls."""
    generation: int = 0
    """Number of the emission in the outbox; each commit that closes windows takes the next one."""
    layers: list[Layer] = field(default_factory=list)
    """Open windows, not merged."""
    leaving: Leaving = field(default_factory=Leaving)
    """Closed windows that may not have been emitted yet: emitted only after this state is committed."""
    latest: pa.Table = field(default_factory=lambda: NO_LATEST)
    """Newest states of entities that may not have been emitted yet, beside the outbox."""
    late: pa.Table = field(default_factory=lambda: NO_LATE)
    """Series that were late since the shard began, see ``late.py``."""
    counters: dict[str, Counter[str]] = field(default_factory=dict)
    """Domain → rows, late, closed (partials), quarantined, undated."""
    updated_s: int = 0
    """When rows last came, seconds."""
    watched: Watched = field(default_factory=Watched)
    inherited: dict[str, int] = field(default_factory=dict)
    """Shards that this one has taken over from → their generation then: what is known of series comes from there."""

    @property
    def outbox(self) -> pa.Table:
        """``leaving`` (PARTIAL)."""
        return self.leaving.table

    @property
    def open(self) -> pa.Table:
        """Open windows (PARTIAL), merged."""
        found = layers.open_parts(self.layers)
        return NO_PARTIALS if found is None else found.table()

    @property
    def open_rows(self) -> int:
        """Partials of open windows, as the layers hold them: 0 only when none is open."""
        return sum(layer.rows for layer in self.layers)

    def inherit(self, parent: ShardToken, other: AggregateState) -> None:
        """Take over the fences of a shard that this one follows, and what it knew of its series.

        Its open windows stay its own: the schedule closes them there.
        """
        self.fences.inherit(other.fences)
        self.watched.inherit(other.watched)
        self.inherited[str(parent)] = other.generation

    def watermark(self, domain: Domain, tenant: str) -> int | None:
        """Event time up to which windows are closed, microseconds; None before the first row."""
        stream = (domain.name, tenant)
        times = []
        if stream in self.highest_us:
            times.append(self.highest_us[stream] - domain.lateness_s * 1_000_000)
        if stream in self.forced_us:
            times.append(self.forced_us[stream])
        return max(times, default=None)

    def clear_outbox(self) -> None:
        """All that was in it has been emitted."""
        self.leaving, self.latest = Leaving(), NO_LATEST
        self.watched.clear()

    def add(self, made: Windowed) -> None:
        """What a batch has brought; newest states of entities go straight to the outbox, as the next emission."""
        for stream, us in made.highest_us.items():
            self.highest_us[stream] = max(us, self.highest_us.get(stream, us))
        for domain, count in made.counts.items():
            self.counters.setdefault(domain, Counter()).update(count)
        self.layers = layers.laid(self.layers, made.partials)
        if made.late:
            self.late = late.merge([self.late, *made.late])
        if states := [table for table in made.latest if table.num_rows]:
            self.latest = latest.merge(states)
            self.generation += 1

    def close(self, ends_us: dict[Stream, int]) -> None:
        """Move open windows that end at or before their stream's watermark to the outbox, as the next emission."""
        self.leaving, self.layers = layers.closed(self.layers, ends_us)
        closed = self.leaving.parts
        if closed is None:
            return
        self.generation += 1
        domains = closed.texts["domain"]
        found = np.bincount(domains.codes, minlength=len(domains.dictionary)).tolist()
        for name, count in zip(domains.dictionary.to_pylist(), found, strict=True):
            if count:
                self.counters.setdefault(name, Counter())["closed"] += count

    def to_checkpoint(self) -> Checkpoint:
        header = {
            "mark": str(self.mark),
            "fences": self.fences.to_bytes(),
            "highest_us": _pairs(self.highest_us),
            "forced_us": _pairs(self.forced_us),
            "generation": self.generation,
            "counters": {name: dict(sorted(c.items())) for name, c in sorted(self.counters.items())},
            "open": self.open_rows,
            "latest": self.latest.num_rows,
            "updated_s": self.updated_s,
            "inherited": self.inherited,
            **layers.stored(self.layers, self.leaving),
        }
        tables = {"latest": self.latest, "late": self.late, **self.watched.tables()}
        return Checkpoint(header, {name: columns.compact(table) for name, table in tables.items() if table.num_rows})

    @classmethod
    def from_checkpoint(cls, saved: Checkpoint) -> AggregateState:
        head = saved.header
        known, leaving = _layers(saved)
        return cls(
            mark=int(head["mark"]),
            fences=RowFences.from_bytes(head["fences"]),
            highest_us=_unpaired(head["highest_us"]),
            forced_us=_unpaired(head["forced_us"]),
            generation=int(head["generation"]),
            layers=known,
            leaving=leaving,
            latest=saved.tables.get("latest", NO_LATEST),
            late=saved.tables.get("late", NO_LATE),
            counters={name: Counter(c) for name, c in head["counters"].items()},
            updated_s=int(head["updated_s"]),
            watched=Watched.of(saved.tables),
            inherited=head.get("inherited", {}),
        )


OF_PARTIALS = ("open", "outbox")
"""Tables of version 2 that hold partials."""


def open_of(saved: Checkpoint) -> pa.Table:
    """Open windows (PARTIAL) of a shard's checkpoint, merged."""
    found = layers.open_parts(_layers(saved)[0])
    return NO_PARTIALS if found is None else found.table()


def outbox_of(saved: Checkpoint) -> pa.Table:
    """Closed windows (PARTIAL) of a shard's checkpoint that may not have been emitted yet."""
    return _layers(saved)[1].table


def _layers(saved: Checkpoint) -> tuple[list[Layer], Leaving]:
    if "bodies" in saved.header:
        return layers.read(saved.header)
    old, leaving = (Parts.of(saved.tables[name]) for name in OF_PARTIALS)
    return layers.laid([], [old] if len(old) else []), Leaving.of(leaving)


def _pairs(times: dict[Stream, int]) -> list[list[Any]]:
    return [[domain, tenant, us] for (domain, tenant), us in sorted(times.items())]


def _unpaired(raw: list[list[Any]]) -> dict[Stream, int]:
    return {(domain, tenant): int(us) for domain, tenant, us in raw}
