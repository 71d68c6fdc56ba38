"""What aggregate remembers of a shard: fences, watermarks, open windows, and the outbox of closed ones."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from levada.aggregate.windowing import Windowed

import pyarrow as pa
import pyarrow.compute as pc

from levada.aggregate import late, latest
from levada.aggregate.late import LATE
from levada.aggregate.latest import LATEST
from levada.aggregate.watching import Watched
from levada.core import bins, columns
from levada.core.checkpoint import Checkpoint
from levada.core.partials import PARTIAL, conform, merge
from levada.core.positions import RowFences, ShardToken
from levada.domains.declaration import Domain

STAGE = "aggregate"
BIN_COUNTS = "bin_counts"
Stream = tuple[str, str]
"""(domain, tenant): what has a watermark of its own, so that one tenant's clock cannot close another's windows."""


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
    open: pa.Table = field(default_factory=lambda: columns.empty(PARTIAL))
    outbox: pa.Table = field(default_factory=lambda: columns.empty(PARTIAL))
    """Closed windows that may not have been emitted yet: emitted only after this state is committed."""
    latest: pa.Table = field(default_factory=lambda: columns.empty(LATEST))
    """Newest states of entities that may not have been emitted yet, beside the outbox."""
    late: pa.Table = field(default_factory=lambda: columns.empty(LATE))
    """Series that were late since the shard began, see ``late.py``."""
    counters: dict[str, Counter[str]] = field(default_factory=dict)
    """Domain → rows, late, closed (partials), quarantined, undated."""
    updated_s: int = 0
    """When rows last came, seconds."""
    watched: Watched = field(default_factory=Watched)
    inherited: dict[str, int] = field(default_factory=dict)
    """Shards that this one has taken over from → their generation then: what is known of series comes from there."""

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
        self.outbox, self.latest = columns.empty(PARTIAL), columns.empty(LATEST)
        self.watched.clear()

    def add(self, made: Windowed) -> None:
        """What a batch has brought; newest states of entities go straight to the outbox, as the next emission."""
        for stream, us in made.highest_us.items():
            self.highest_us[stream] = max(us, self.highest_us.get(stream, us))
        for domain, count in made.counts.items():
            self.counters.setdefault(domain, Counter()).update(count)
        self.open = merge([self.open, *made.partials])
        self.late = late.merge([self.late, *made.late])
        if states := [table for table in made.latest if table.num_rows]:
            self.latest = latest.merge(states)
            self.generation += 1

    def close(self, ends_us: dict[Stream, int]) -> None:
        """Move open windows that end at or before their stream's watermark to the outbox, as the next emission."""
        closed = _closed(self.open, ends_us)
        self.outbox = columns.empty(PARTIAL)
        if not pc.any(closed, min_count=0).as_py():
            return
        self.generation += 1
        self.outbox = self.open.filter(closed)
        self.open = self.open.filter(pc.invert(closed))
        for value in pc.value_counts(self.outbox["domain"].cast(pa.string())).to_pylist():
            self.counters.setdefault(value["values"], Counter())["closed"] += value["counts"]

    def to_checkpoint(self) -> Checkpoint:
        header = {
            "mark": str(self.mark),
            "fences": self.fences.to_bytes(),
            "highest_us": _pairs(self.highest_us),
            "forced_us": _pairs(self.forced_us),
            "generation": self.generation,
            "counters": {name: dict(sorted(c.items())) for name, c in sorted(self.counters.items())},
            "open": self.open.num_rows,
            "outbox": self.outbox.num_rows,
            "latest": self.latest.num_rows,
            "updated_s": self.updated_s,
            "inherited": self.inherited,
        }
        tables = {"open": self.open, "outbox": self.outbox, "latest": self.latest, "late": self.late}
        tables |= self.watched.tables()
        return Checkpoint(header, {name: _packed(table) for name, table in tables.items()})

    @classmethod
    def from_checkpoint(cls, saved: Checkpoint) -> AggregateState:
        head = saved.header
        return cls(
            mark=int(head["mark"]),
            fences=RowFences.from_bytes(head["fences"]),
            highest_us=_unpaired(head["highest_us"]),
            forced_us=_unpaired(head["forced_us"]),
            generation=int(head["generation"]),
            open=_unpacked(saved.tables["open"]),
            outbox=_unpacked(saved.tables["outbox"]),
            latest=saved.tables.get("latest", columns.empty(LATEST)),
            late=saved.tables.get("late", columns.empty(LATE)),
            counters={name: Counter(c) for name, c in head["counters"].items()},
            updated_s=int(head["updated_s"]),
            watched=Watched.of(saved.tables),
            inherited=head.get("inherited", {}),
        )


def _packed(table: pa.Table) -> pa.Table:
    """As small as it goes: ``conform`` reads it again."""
    if not table.num_rows:
        return table
    table = columns.compact(table)
    if BIN_COUNTS in table.schema.names:
        counts = bins.narrow(table[BIN_COUNTS])
        table = table.set_column(table.schema.get_field_index(BIN_COUNTS), BIN_COUNTS, counts)
    return table


def _unpacked(table: pa.Table) -> pa.Table:
    """PARTIAL rows as ``_packed`` left them."""
    at = table.schema.get_field_index(BIN_COUNTS)
    if at >= 0 and table.schema.field(at).type != bins.COUNTS:
        table = table.set_column(at, PARTIAL.field(BIN_COUNTS), bins.wide(table[BIN_COUNTS]))
    return conform(table)


def _closed(open_windows: pa.Table, ends_us: dict[Stream, int]) -> pa.ChunkedArray:
    width = pc.multiply(open_windows["width_s"].cast(pa.int64()), 1_000_000)
    end = pc.add(open_windows["window_start"].cast(pa.int64()), width)
    closed = pc.and_(pc.is_null(end), False)
    for (domain, tenant), until in ends_us.items():
        mine = pc.and_(pc.equal(_text(open_windows, "domain"), domain), pc.equal(_text(open_windows, "tenant"), tenant))
        closed = pc.or_(closed, pc.and_(mine, pc.less_equal(end, until)))
    return closed


def _text(table: pa.Table, name: str) -> pa.ChunkedArray:
    return table[name].cast(pa.string())


def _pairs(times: dict[Stream, int]) -> list[list[Any]]:
    return [[domain, tenant, us] for (domain, tenant), us in sorted(times.items())]


def _unpaired(raw: list[list[Any]]) -> dict[Stream, int]:
    return {(domain, tenant): int(us) for domain, tenant, us in raw}
