"""Bronze through the code of the stages once more: canonical rows by day, and the partials of their windows."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

import pyarrow as pa
import pyarrow.compute as pc

from levada.aggregate import derive
from levada.aggregate.taking import NEEDED, OPENED
from levada.aggregate.windowing import parts_of
from levada.clean.lake import by_day
from levada.clean.reading import Reading, Rules
from levada.clean.reading import read as read_batch
from levada.clean.shapes import Part, flat
from levada.core import columns, merging
from levada.core.intervals import IntervalSet
from levada.core.partials import PARTIAL
from levada.core.parts import Parts
from levada.core.periods import DAY_US, day_of
from levada.core.positions import PackFences, pad_sequence
from levadactl.reprocessing import bronze
from levadactl.reprocessing.bronze import Records, Redriven
from levadactl.reprocessing.cut import Cut
from levadactl.reprocessing.ports import Days, Ports
from levadactl.reprocessing.spill import Spill

MAX_PARTIALS = 200_000
"""Partials that wait to be merged."""
NOT_OPENED = pad_sequence(0)
"""No record of the clean stream has opened these windows."""
SORTED_BY = {"silver": ("series", "metric"), "events": ("entity_type", "entity_id")}


@dataclass(slots=True)
class Rebuilt:
    """What bronze makes now."""

    spill: Spill
    """Rows of ``silver`` and ``events`` by day."""
    windows: pa.Table
    """PARTIAL, merged, all days."""
    refused: Counter[str] = field(default_factory=Counter)
    """Reason → rows and records, of whatever day: what cannot be read has none."""
    records: int = 0


def rebuild(ports: Ports, days: Days, cut: Cut, spill: Spill, advance: Callable[[float], None]) -> Rebuilt:
    """All records up to the cut whose rows may be of these days.

    Args:
        advance: told bytes of bronze.
    """
    objects = held(ports, days)
    run = _Run(ports, days, spill, objects)
    for batch in bronze.batches(objects):
        found = bronze.read(ports.blobs, batch, cut.raw.get(str(batch[0].span.token), -1), ports.config.tenant)
        if found is not None:
            run.take(found)
        advance(sum(one.blob.size for one in batch))
    run.take_redriven()
    return Rebuilt(spill, run.windows(), run.refused, run.records)


def held(ports: Ports, days: Days) -> list[bronze.Held]:
    """The objects of bronze to read. No row is of a later time than its arrival and the skew that is allowed."""
    skew_us = max(ports.config.max_skew_s, ports.domain.skew_s or 0) * 1_000_000
    first = "" if days.since_us is None else day_of(days.since_us - skew_us - DAY_US)
    return bronze.listed(ports.blobs, ports.domain.name, first)


class _Run:
    def __init__(self, ports: Ports, days: Days, spill: Spill, objects: list[bronze.Held]) -> None:
        self._ports, self._days, self._spill, self._objects = ports, days, spill, objects
        self._skew_s = ports.config.max_skew_s if ports.domain.skew_s is None else ports.domain.skew_s
        self._packs = PackFences()
        self._redriven = Redriven()
        self._refused_rows: dict[tuple[str, int], IntervalSet] = {}
        """(source, position) → rows that were refused: a later attempt at them counts."""
        self._unread: set[tuple[str, int]] = set()
        """(source, position) of records that were refused as a whole."""
        self._parts: list[Parts] = []
        self._merged = 0
        """Partials that are merged already: what does not shrink must not be merged again and again."""
        self.refused: Counter[str] = Counter()
        self.records = 0

    def take(self, found: Records) -> None:
        """The records but for redriven ones, which wait."""
        again = self._redriven.hold(found)
        if again:
            found = bronze.part_of(found, [i for i in range(len(found.batch)) if i not in again])
        if len(found.batch):
            self._keep(self._read(found), found, None)

    def take_redriven(self) -> None:
        """Of each dead letter that was sent again the latest attempt: those of its rows that the root does not give."""
        for root, records, i in self._redriven.latest.values():
            at = (root.source, root.position)
            wanted = _shifted(self._refused_rows.get(at), root.row) if self._is_read(*at) else None
            one = bronze.part_of(records, [i])
            self._keep(self._read(one), one, wanted)

    def _is_read(self, source: str, position: int) -> bool:
        """Whether the rows of this root have been judged, one by one."""
        if (source, position) in self._unread:
            return False
        if bronze.is_plain(source):
            return bronze.holds(self._ports.blobs, self._objects, source)
        return position in self._packs.applied(source)

    def _read(self, found: Records) -> Reading:
        latest_us = (max(found.judged_s) + self._skew_s) * 1_000_000
        rules = Rules(
            domains={self._ports.domain.name: self._ports.domain},
            tenant=self._ports.config.tenant,
            latest_us=latest_us,
        )
        reading = read_batch(found.batch, 0, rules, lambda h: self._packs.apply(h.source, h.position, 0))
        self.records += len(found.batch) - len(reading.duplicates)
        readable = {i for some in reading.records.values() for i in some}
        for bad, _ in reading.bad:
            if bad.record in readable:
                self._refuse(bad.reason, found, bad.record, bad.row)
            else:
                self.refused[bad.reason] += 1
                self._unread.add((found.origin.sources[bad.record], found.origin.positions[bad.record]))
        return reading

    def _keep(self, reading: Reading, found: Records, wanted: IntervalSet | None) -> None:
        for part in reading.tables:
            rows = self._believed(part.rows, found)
            if wanted is not None:
                rows = rows.filter(pc.is_in(rows["row"], pa.array(list(_numbers(wanted)), pa.int32())))
            if rows.num_rows and part.domain.name == self._ports.domain.name:
                self._add(part, part.canonical(rows.combine_chunks(), found.origin))

    def _believed(self, rows: pa.Table, found: Records) -> pa.Table:
        """Without those that clean refused as of a wrong clock: each record was judged at its own time."""
        limits = pa.array([(at + self._skew_s) * 1_000_000 for at in found.judged_s], pa.int64())
        ahead = pc.fill_null(pc.greater(flat(rows, "time").cast(pa.int64()), limits.take(flat(rows, "rec"))), False)
        if not ahead.true_count:
            return rows
        for place in rows.filter(ahead).select(["rec", "row"]).group_by(["rec", "row"]).aggregate([]).to_pylist():
            self._refuse("future_time", found, place["rec"], place["row"])
        return rows.filter(pc.invert(ahead))

    def _refuse(self, reason: str, found: Records, record: int, row: int) -> None:
        self.refused[reason] += 1
        at = (found.origin.sources[record], found.origin.positions[record])
        self._refused_rows.setdefault(at, IntervalSet()).add(row)

    def _add(self, part: Part, rows: pa.Table) -> None:
        layer = "events" if part.is_event else "silver"
        some = []
        for date, of_day in by_day(rows, SORTED_BY[layer]):
            if date in self._days:
                self._spill.add(layer, date, of_day)
                some.append(of_day)
        dated = [table for table in some if not table["time"].null_count]
        if dated:
            self._window(pa.concat_tables(dated), is_event=part.is_event)

    def _window(self, rows: pa.Table, *, is_event: bool) -> None:
        domain = self._ports.domain
        rows = derive.canonical(rows, domain) if is_event else rows.select(NEEDED)
        tenants = rows["tenant"].cast(pa.string())
        for tenant in pc.unique(tenants).to_pylist():
            mine = rows.filter(pc.equal(tenants, tenant)).unify_dictionaries().combine_chunks()
            mine = mine.append_column(OPENED, columns.constant(NOT_OPENED, mine.num_rows))
            self._parts += parts_of(mine, domain, is_event=is_event, watermark_us=None)
        if sum(len(one) for one in self._parts) > 2 * self._merged + MAX_PARTIALS:
            self._parts = [merging.merged(self._parts)]
            self._merged = len(self._parts[0])

    def windows(self) -> pa.Table:
        return merging.merged(self._parts).table() if self._parts else columns.empty(PARTIAL)


def _shifted(rows: IntervalSet | None, by: int) -> IntervalSet:
    spans = [] if rows is None else rows.spans()
    return IntervalSet([max(start - by, 0), end - by] for start, end in spans if end > by)


def _numbers(rows: IntervalSet) -> Iterator[int]:
    for start, end in rows.spans():
        yield from range(start, end)
