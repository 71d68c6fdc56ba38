"""What is new in a batch as partials of windows, latest states of entities, and notes of who was late."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping

import pyarrow as pa
import pyarrow.compute as pc

from levada.aggregate import derive, late, latest
from levada.aggregate.state import AggregateState, Windowed
from levada.aggregate.taking import OPENED, Kind, Taken
from levada.core.parts import Parts
from levada.core.rowparts import of_rows
from levada.domains.declaration import Domain


def windowed(taken: Taken, state: AggregateState, domains: Mapping[str, Domain], now_s: int) -> Windowed:
    """Of all that was taken. The state is only read: its watermarks are those of before the batch."""
    made = Windowed()
    for kind in taken.kinds:
        rows = taken.rows(kind)
        dated = rows.filter(pc.is_valid(rows["time"])) if rows["time"].null_count else rows
        count = made.counts.setdefault(kind.domain, Counter())
        count.update(rows=rows.num_rows, undated=rows.num_rows - dated.num_rows)
        if dated.num_rows:
            _window(dated, kind, domains[kind.domain], state, now_s, made)
    return made


def _window(rows: pa.Table, kind: Kind, domain: Domain, state: AggregateState, now_s: int, made: Windowed) -> None:
    stream = (kind.domain, kind.tenant)
    watermark_us = state.watermark(domain, kind.tenant)
    for partials in parts_of(rows, domain, is_event=kind.is_event, watermark_us=watermark_us):
        made.partials.append(partials)
        known_us = state.highest_us.get(stream)
        if watermark_us is not None and known_us is not None:
            behind = late.noted(partials, highest_us=known_us, lateness_s=domain.lateness_s, now_s=now_s)
            if behind is not None:
                made.late.append(behind)
                made.counts[kind.domain]["late"] += int(partials["late"].sum())
    if kind.is_event and domain.latest:
        made.latest.append(latest.newest(rows.drop_columns(OPENED), domain))
    # a clock that runs ahead moves the watermark no further than to now: others' rows are not late because of it
    highest = min(pc.max(rows["time"].cast(pa.int64())).as_py(), now_s * 1_000_000)
    made.highest_us[stream] = max(highest, made.highest_us.get(stream, highest))


def parts_of(rows: pa.Table, domain: Domain, *, is_event: bool, watermark_us: int | None) -> Iterator[Parts]:
    """Partials of the windows that rows of one domain and tenant fall into.

    Args:
        rows: with a time, and OPENED: measurements with NEEDED columns, or events as ``derive.canonical`` has them.
        watermark_us: rows of windows that end at or before it are counted as late; None for no watermark.
    """
    for some in _sources(rows, domain, is_event=is_event):
        yield of_rows(
            some.drop_columns(OPENED),
            width_s=domain.window_s,
            opened=some[OPENED].unify_dictionaries().combine_chunks(),
            watermark_us=watermark_us,
            quantile_error=domain.quantile_error,
        )


def _sources(rows: pa.Table, domain: Domain, *, is_event: bool) -> Iterator[pa.Table]:
    """What windows are made of: the measurements, or what each rollup makes of the events."""
    if not is_event:
        yield rows
        return
    for rollup in domain.rollups:
        made = derive.rows_of(rows, rollup, also=[OPENED])
        if made.num_rows:
            yield made
